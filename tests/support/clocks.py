"""A clock that only moves when somebody sleeps."""

from __future__ import annotations

import threading


class SimulatedClock:
    """Starts at `start` seconds since the epoch; `sleeps` are the pauses asked for, in order."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.time = start
        self.sleeps: list[float] = []
        self.lock = threading.Lock()

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        with self.lock:
            self.sleeps.append(seconds)
            self.time += seconds
