"""A network of a given speed between an engine and a registry on this machine: a proxy that counts what passes."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

_PIECE = 64 << 10


class Network:
    """Forwards connections to `port`; answers take `bits` a second together, and `delay` seconds each to begin."""

    def __init__(self, port: int, bits: float, delay: float = 0.0) -> None:
        self._target, self._bytes, self._delay = port, bits / 8, delay
        self._lock, self._free = threading.Lock(), 0.0
        self.received = self.requests = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near = self._server.accept()[0]
                far = socket.create_connection(("127.0.0.1", self._target))
                for one, other, down in ((near, far, False), (far, near, True)):
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._carry, args=(one, other, down), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, down: bool) -> None:
        with suppress(OSError):
            while piece := source.recv(_PIECE):
                if down:
                    self._pay(len(piece))
                else:
                    self.requests += 1
                    time.sleep(self._delay)
                target.sendall(piece)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _pay(self, size: int) -> None:
        with self._lock:
            self.received += size
            now = time.monotonic()
            self._free = max(self._free, now) + (size / self._bytes if self._bytes else 0)
            wait = self._free - now
        if wait > 0:
            time.sleep(wait)
