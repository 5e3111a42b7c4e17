"""An HTTP server whose path says how it fails; also a proxy that refuses to connect.

`/status/429/anything` answers 429, `/reset/…` closes in the middle of the body, `/auth/…` wants a password,
`/v2/<mode>/…` is a registry that answers by the mode `limit`, `login`, `denied`, `unknown` or `broken`,
`/files/<name>` serves a small file. CONNECT answers 407 when the target's port is 407, else 403.
"""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from provoking.certificates import Pair

_REGISTRY = {
    "limit": (
        429,
        "TOOMANYREQUESTS",
        "You have reached your pull rate limit. You may increase the limit by authenticating and upgrading: https://www.docker.com/increase-rate-limit",
    ),
    "login": (401, "UNAUTHORIZED", "authentication required"),
    "denied": (403, "DENIED", "requested access to the resource is denied"),
    "unknown": (404, "MANIFEST_UNKNOWN", "manifest unknown"),
    "broken": (500, "UNKNOWN", "unknown error"),
}


@contextmanager
def serving(pair: Pair | None = None) -> Iterator[int]:
    """Serve on a free port of 127.0.0.1, with TLS when there is a certificate, and yield the port."""
    server = _Server(("127.0.0.1", 0), _Answers)
    if pair:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """A client that gives up is what this is for."""


class _Answers(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = self.path.strip("/").split("/")
        if parts[0] == "v2":
            self._registry(parts)
        elif parts[0] == "status":
            self._send(int(parts[1]), b"no\n")
        elif parts[0] == "auth":
            self._send(401, b"password\n", {"WWW-Authenticate": 'Basic realm="git"'})
        elif parts[0] == "reset":
            self._reset()
        elif parts[0] == "files":
            self._send(200, b"content\n")
        else:
            self._send(404, b"not found\n")

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - the server looks for these names

    def do_CONNECT(self) -> None:
        asked = self.path.endswith(":407") or "needs-login" in self.path
        headers = {"Proxy-Authenticate": 'Basic realm="proxy"'} if asked else {}
        self._send(407 if asked else 403, b"", headers)

    def log_message(self, *_: Any) -> None:
        """Nothing: the client's words are what counts."""

    def _registry(self, parts: list[str]) -> None:
        mode = next((part for part in parts if part in _REGISTRY), "")
        if not mode:
            self._send(200, b"{}", {"Docker-Distribution-Api-Version": "registry/2.0"})
            return
        status, code, message = _REGISTRY[mode]
        body = json.dumps({"errors": [{"code": code, "message": message}]}).encode()
        headers = {"Content-Type": "application/json"}
        if code == "UNAUTHORIZED":
            headers["WWW-Authenticate"] = 'Basic realm="registry"'
        self._send(status, body, headers)

    def _reset(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        self.wfile.write(b"x" * 1000)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
