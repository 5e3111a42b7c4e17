"""Small HTTP back ends in threads of this process: they say who they are and count what they were asked."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Backend:
    """`hits` counts requests other than health checks; `dies` ends connections without an answer;
    `hold` makes answers to `/slow` wait until it is set."""

    name: str
    port: int = 0
    hits: int = 0
    healthy: bool = True
    dies: bool = False
    waiting: int = 0
    hold: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def backend(name: str) -> Iterator[Backend]:
    """Run one back end on 127.0.0.1; `/ping` is its health, every other path answers its name."""
    state = Backend(name)

    class Request(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
            pass

        def do_GET(self) -> None:
            if self.path == "/ping":
                self._say(200 if state.healthy else 503)
                return
            with state.lock:
                state.hits += 1
            if state.dies:
                self.close_connection = True
                return
            if self.path == "/slow":
                with state.lock:
                    state.waiting += 1
                state.hold.wait(30)
            self._say(200)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.do_GET()

        def _say(self, status: int) -> None:
            body = state.name.encode()
            self.send_response_only(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that went away is part of the tests."""

    server = Server(("127.0.0.1", 0), Request)
    state.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        state.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
