"""A folder of wheels and source distributions as a package index that wants a password."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Index(BaseHTTPRequestHandler):
    """The files of a folder as a package index that wants a password."""

    house: Path
    seen: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        self.seen.append(self.path)
        if self.headers.get("Authorization") != "Basic bWU6czNjcmV0":  # me:s3cret
            self._answer(401, b"")
        elif "/files/" in self.path:
            self._answer(200, (self.house / self.path.rsplit("/", 1)[1]).read_bytes())
        else:
            name = self.path.strip("/").split("/")[-1].replace("-", "_")
            files = sorted(self.house.glob(f"{name}-*"))
            links = [
                f'<a href="/files/{p.name}#sha256={hashlib.sha256(p.read_bytes()).hexdigest()}">{p.name}</a>'
                for p in files
            ]
            self._answer(200 if files else 404, "".join(links).encode())

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        if status == 401:
            self.send_header("WWW-Authenticate", "Basic")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(house: Path) -> Iterator[str]:
    """The address (`127.0.0.1:PORT`) of an index of these files; its user is `me:s3cret`, any path is an index."""
    handler = type("Here", (Index,), {"house": house, "seen": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()
