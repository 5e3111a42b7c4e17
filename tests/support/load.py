"""A small load generator: threads that ask again and again, over kept connections or new ones."""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Load:
    """`answers` counts bodies of good answers, `failures` lists everything else."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, count: int) -> Counter[str]:
        """Let `count` more requests be answered, and return who answered those."""
        with self.lock:
            before = self.answers.copy()
        until(lambda: self.answers.total() - before.total() >= count, f"{count} more answers")
        with self.lock:
            return self.answers - before


@contextmanager
def load(
    port: int, *, clients: int = 6, keep: bool = True, method: str = "GET", path: str = "/"
) -> Iterator[Load]:
    """Keep `clients` threads asking 127.0.0.1:`port` for the length of the block."""
    state, stop = Load(), threading.Event()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        while not stop.is_set():
            try:
                connection.request(method, path, body=b"{}" if method == "POST" else None)
                answer = connection.getresponse()
                body = answer.read().decode()
                with state.lock:
                    if answer.status == 200:
                        state.answers[body] += 1
                    else:
                        state.failures.append(f"{answer.status} {body[:60]}")
            except (OSError, http.client.HTTPException) as error:
                with state.lock:
                    state.failures.append(repr(error))
                connection.close()
            if not keep:
                connection.close()
        connection.close()

    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield state
    finally:
        stop.set()
        for thread in threads:
            thread.join()
