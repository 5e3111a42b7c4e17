"""A proxy in front of a real registry that breaks things on request and counts the bytes that arrive."""

from __future__ import annotations

import http.client
import re
import socket
import struct
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator

PIECE = 1 << 14


@dataclass
class Fault:
    """What happens to the next `times` requests that match, after the first `skip` of them.

    `cut_upload`: reset the connection after so many bytes of body; `cut_answer`: end it after so many; `lose_answer`: the registry gets
    the whole request, the client no answer; `status`: answer that instead; `corrupt`: change a byte of the
    request's or the answer's body; `hold`: stop after so many bytes until `release` is set; `slow`: seconds that
    every piece of the body takes.
    """

    method: str
    path: str
    times: int = 1
    skip: int = 0
    cut_upload: int | None = None
    cut_answer: int | None = None
    lose_answer: bool = False
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    corrupt: str = ""
    replace: dict[str, str] = field(default_factory=dict)
    hold: int | None = None
    slow: float = 0.0
    release: threading.Event = field(default_factory=threading.Event)


@dataclass
class Seen:
    """One request as it arrived; `received` counts the bytes of its body."""

    method: str
    path: str
    headers: dict[str, str]
    received: int = 0


class Proxy:
    """`host` is its HOST:PORT. `guard`, when set, may answer a request itself (see `support.tokens`)."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.faults: list[Fault] = []
        self.seen: list[Seen] = []
        self.guard: Callable[[Any], bool] = lambda _: False
        self.lock = threading.Lock()
        self.host = ""
        self.secure = False

    def blob_bytes(self) -> int:
        """Bytes of blob content that arrived, repeated ones included."""
        return sum(seen.received for seen in self.seen if "/blobs/uploads/" in seen.path)

    def count(self, method: str, path: str) -> int:
        return sum(seen.method == method and bool(re.search(path, seen.path)) for seen in self.seen)

    def take(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and fault.method == method and re.search(fault.path, path):
                    if fault.skip:
                        fault.skip -= 1
                        continue
                    fault.times -= 1
                    return fault
        return None


@contextmanager
def proxy(upstream: str, *, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """Run a proxy in front of `upstream` (HOST:PORT) in threads of this process; with `tls` it speaks HTTPS."""
    state = Proxy(upstream)
    state.secure = tls is not None

    class Bound(_Request):
        proxy = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    state.host = f"127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        for fault in state.faults:
            fault.release.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Cut(Exception):  # noqa: N818 - the connection is cut on purpose
    pass


class _Request(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        pass

    def handle_any(self) -> None:
        seen = Seen(self.command, self.path, dict(self.headers.items()))
        with self.proxy.lock:
            self.proxy.seen.append(seen)
        try:
            if not self.proxy.guard(self):
                self._forward(seen, self.proxy.take(self.command, self.path) or Fault("", "", 0))
        except (_Cut, OSError) as end:
            self.close_connection = True
            if not (isinstance(end, _Cut) and end.args):
                with suppress(OSError):  # a reset, not an orderly end
                    self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815 - the parent names them

    def _forward(self, seen: Seen, fault: Fault) -> None:
        if fault.status:
            self._drain(seen)
            self.answer(fault.status, fault.headers, fault.body)
            return
        upstream = http.client.HTTPConnection(self.proxy.upstream)
        try:
            upstream.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                upstream.putheader(name, value)
            if self.proxy.secure:
                upstream.putheader("X-Forwarded-Proto", "https")
            upstream.endheaders()
            self._body(seen, fault, upstream)
            answer = upstream.getresponse()
            if fault.lose_answer:
                answer.read()
                raise _Cut
            self._relay(fault, answer)
        finally:
            upstream.close()

    def _body(self, seen: Seen, fault: Fault, upstream: http.client.HTTPConnection) -> None:
        for piece in self._pieces():
            seen.received += len(piece)
            if fault.hold is not None and seen.received > fault.hold:
                fault.release.wait(60)
            if fault.slow:
                fault.release.wait(fault.slow)
            sent = piece
            if fault.cut_upload is not None and seen.received > fault.cut_upload:
                upstream.send(piece[: len(piece) - (seen.received - fault.cut_upload)])
                raise _Cut
            if fault.corrupt == "request" and seen.received == len(piece):
                sent = bytes([piece[0] ^ 1]) + piece[1:]
            upstream.send(sent)

    def _pieces(self) -> Iterator[bytes]:
        left = int(self.headers.get("Content-Length") or 0)
        while left:
            piece = self.rfile.read(min(PIECE, left))
            if not piece:
                raise _Cut
            left -= len(piece)
            yield piece

    def _drain(self, seen: Seen) -> None:
        for piece in self._pieces():
            seen.received += len(piece)

    def _relay(self, fault: Fault, answer: http.client.HTTPResponse) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding"):
                self.send_header(name, fault.replace.get(name, value))
        body = b"" if self.command == "HEAD" else answer.read()
        if "content-length" not in {name.lower() for name, _ in answer.getheaders()}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if fault.corrupt == "answer" and body:
            body = bytes([body[0] ^ 1]) + body[1:]
        if fault.cut_answer is not None:
            self.wfile.write(body[: fault.cut_answer])
            raise _Cut("orderly, because a reset would take back what was sent")
        self.wfile.write(body)

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
