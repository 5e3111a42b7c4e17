"""A load generator, as a process of its own: `shifting_load.py PORT FILE [--keep N] [--close N] [--posts]`.

N clients ask over connections they keep, N others over a new connection for each request, each the next as soon as it
has an answer. What happened is written to FILE at SIGTERM: a JSON list of [sent, answered, who, kept], times in
seconds since the epoch; `who` is the answer's body, or `!` and why there is none. How many there are so far is
printed a few times a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from pathlib import Path

_TELL = 0.1
_PATIENCE = 60.0

Answer = tuple[float, float, str, bool]


class Client(asyncio.Protocol):
    """One client: asks, waits for the whole answer, asks again."""

    def __init__(self, load: Load, *, kept: bool) -> None:
        self.load, self.kept = load, kept
        self.sent = 0.0
        self.received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.received, self.sent = b"", time.time()
        self.transport.write(self.load.request[self.kept])  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, found, body = self.received.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        status = head[9:12]
        who = body.decode() if status == b"200" else f"!{status.decode()}"
        self.done(who)
        if self.load.over or not self.kept or b"connection: close" in head.lower():
            self.transport.close()
            self.load.again(self)
        else:
            self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        if self.sent:
            self.done(f"!{type(error).__name__ if error else 'closed'}")
            self.load.again(self)

    def done(self, who: str) -> None:
        self.load.answers.append((self.sent, time.time(), who, self.kept))
        self.sent = 0.0


def _length(head: bytes) -> int:
    lower = head.lower()
    start = lower.find(b"content-length:") + 15
    return int(lower[start:].split(b"\r\n", 1)[0])


class Load:
    """All clients and what they were answered."""

    def __init__(self, port: int, method: str) -> None:
        self.port = port
        self.over = False
        self.answers: list[Answer] = []
        body = "" if method == "GET" else "{}"
        length = f"Content-Length: {len(body)}\r\n" if body else ""
        self.request = {
            kept: f"{method} / HTTP/1.1\r\nHost: bench\r\n{length}{'' if kept else 'Connection: close' + chr(13) + chr(10)}\r\n{body}".encode()
            for kept in (True, False)
        }
        self.tasks: set[asyncio.Task[None]] = set()

    def again(self, client: Client) -> None:
        """Connect anew, unless it is over."""
        if not self.over:
            self.start(kept=client.kept)

    def start(self, *, kept: bool) -> None:
        task = asyncio.get_running_loop().create_task(self._connect(kept=kept))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _connect(self, *, kept: bool) -> None:
        while not self.over:
            began = time.time()
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda: Client(self, kept=kept), "127.0.0.1", self.port
                )
            except OSError as error:
                self.answers.append((began, time.time(), f"!{type(error).__name__}", kept))
                await asyncio.sleep(0.01)
            else:
                return


async def main() -> None:
    """Ask until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("file", type=Path)
    parser.add_argument("--keep", type=int, default=8)
    parser.add_argument("--close", type=int, default=8)
    parser.add_argument("--posts", action="store_true")
    asked = parser.parse_args()
    load = Load(asked.port, "POST" if asked.posts else "GET")
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    for number in range(asked.keep + asked.close):
        load.start(kept=number < asked.keep)
    while not over.is_set():
        print(len(load.answers), flush=True)
        try:
            await asyncio.wait_for(over.wait(), _TELL)
        except TimeoutError:
            continue
    load.over = True
    deadline = time.time() + 2
    before = -1
    while time.time() < deadline and len(load.answers) != before:
        before = len(load.answers)
        await asyncio.sleep(0.2)
    asked.file.write_text(json.dumps(load.answers), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
