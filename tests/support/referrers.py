"""A fake registry with the referrers API, for where none with it can be installed. It keeps everything in memory.

Source: OCI distribution-spec v1.1. Lists come in pages of two, so that those who read them must ask on.
"""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterator

_INDEX = "application/vnd.oci.image.index.v1+json"
_PAGE = 2


class _Registry(BaseHTTPRequestHandler):
    blobs: ClassVar[dict[str, bytes]] = {}
    manifests: ClassVar[dict[str, tuple[str, bytes]]] = {}
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _say(self, status: int, content: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_GET(self) -> None:
        if self.path == "/v2/":
            self._say(200, b"{}")
        elif match := re.search(r"/referrers/(sha256:[0-9a-f]{64})(?:\?from=(\d+))?$", self.path):
            self._referrers(match[1], int(match[2] or 0))
        elif match := re.search(r"/blobs/(sha256:[0-9a-f]{64})$", self.path):
            found = self.blobs.get(match[1])
            self._say(200 if found is not None else 404, found or b"")
        elif match := re.search(r"/manifests/([^/]+)$", self.path):
            kind, content = self.manifests.get(match[1], ("", b""))
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            self._say(200 if kind else 404, content, Content_Type=kind, Docker_Content_Digest=digest)
        else:
            self._say(404)

    do_HEAD = do_GET  # noqa: N815 - as http.server calls it

    def _referrers(self, digest: str, start: int) -> None:
        found: list[dict[str, Any]] = []
        for name, (kind, content) in self.manifests.items():
            told = json.loads(content)
            if name.startswith("sha256:") and (told.get("subject") or {}).get("digest") == digest:
                found.append(
                    {"mediaType": kind, "digest": name, "size": len(content), "artifactType": told["artifactType"],
                     "annotations": told.get("annotations", {})}
                )  # fmt: skip
        page = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": found[start : start + _PAGE]}
        more = (
            {"Link": f'<{self.path.partition("?")[0]}?from={start + _PAGE}>; rel="next"'}
            if found[start + _PAGE :]
            else {}
        )
        self._say(200, json.dumps(page).encode(), Content_Type=_INDEX, **more)

    def do_POST(self) -> None:
        self._say(202, Location=f"{self.path}one")

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def do_PATCH(self) -> None:
        self._body()
        self._say(405)

    def do_PUT(self) -> None:
        content = self._body()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if "/blobs/uploads/" in self.path:
            self.blobs[digest] = content
            self._say(201, Docker_Content_Digest=digest)
            return
        kind = self.headers["Content-Type"]
        self.manifests[self.path.rpartition("/")[2]] = self.manifests[digest] = (kind, content)
        subject = (json.loads(content).get("subject") or {}).get("digest")
        self._say(201, Docker_Content_Digest=digest, **({"OCI_Subject": subject} if subject else {}))


@contextmanager
def fake_registry_with_referrers() -> Iterator[tuple[str, dict[str, tuple[str, bytes]]]]:
    """HOST:PORT, and what its manifests are, by digest and by tag."""
    handler = type("Registry", (_Registry,), {"blobs": {}, "manifests": {}})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}", handler.manifests  # type: ignore[attr-defined]
        server.shutdown()
