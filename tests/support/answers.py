"""A server that answers from a list, for what no well-behaved program does."""

from __future__ import annotations

import ssl
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


@dataclass
class Answer:
    """`declared` is a Content-Length that differs from the body: the connection ends early. `hang`: no answer."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b"fine"
    declared: int | None = None
    hang: bool = False


@dataclass
class Server:
    """`asked` are the requests so far: method, target, headers; `bodies` what they brought. The last answer is given
    again and again.
    """

    url: str = ""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)


@contextmanager
def answering(answers: Sequence[Answer], certificate: Path | None = None) -> Iterator[Server]:
    """Serve `answers` in order on 127.0.0.1; over TLS with a PEM file that holds certificate and key."""
    state = Server()
    left = list(answers)

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
            pass

        def answer(self) -> None:
            state.bodies.append(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
            state.asked.append((self.command, self.path, dict(self.headers.items())))
            now = left.pop(0) if len(left) > 1 else left[0]
            if now.hang:
                state.stop.wait(30)
                self.close_connection = True
                return
            body, status = now.body, now.status
            if (start := self.headers.get("Range")) and status == 206:
                offset = int(start.removeprefix("bytes=").rstrip("-"))
                body = body[offset:]
            self.send_response_only(status)
            for name, value in now.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body) if now.declared is None else now.declared))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)
            if now.declared is not None:
                self.close_connection = True

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = answer  # noqa: N815 - the parent names them

    class Threads(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """Clients that refuse our certificate are part of the tests."""

    server = Threads(("127.0.0.1", 0), Request)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    scheme = "http" if certificate is None else "https"
    state.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        state.stop.set()
        server.shutdown()
        server.server_close()
        thread.join()
