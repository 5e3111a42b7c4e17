"""Several transfers at once; the first failure ends the others and is the one that is told."""

from __future__ import annotations

from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, TypeVar

from seatrial.clock import SystemClock

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from seatrial.clock import Clock
    from seatrial.transport import Link

T = TypeVar("T")
R = TypeVar("R")

WORKERS = 6
"""How many blobs are on their way at a time."""
ASKING = 16
"""How many small questions are."""


class Cancelled(Exception):  # noqa: N818 - no error: another transfer's failure ends this one
    """Another transfer has failed, so this one stops."""


class StoppableClock:
    """A clock whose pauses end when the transfers are told to stop: nobody waits out a Retry-After after Ctrl-C."""

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self.clock = clock
        self.stop = stop

    def now(self) -> float:
        return self.clock.now()

    def sleep(self, seconds: float) -> None:
        if not isinstance(self.clock, SystemClock):
            self.clock.sleep(seconds)
        elif self.stop.wait(seconds):
            raise Cancelled


def each(
    work: Callable[[T], R], items: Sequence[T], stop: threading.Event, workers: int = WORKERS
) -> list[R]:
    """Do `work` for every item and return the results in order. `stop` is set when one fails; `work` looks at it.

    Raises:
        Exception: what the first failing item raised.
    """
    if not items:
        return []
    with ThreadPoolExecutor(max_workers=min(workers, len(items)), thread_name_prefix="registry") as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            if not all(future.done() and future.exception() is None for future in futures):
                stop.set()
            for future in futures:
                future.cancel()
    failures = [error for future in futures if not future.cancelled() and (error := future.exception())]
    for error in sorted(failures, key=lambda found: isinstance(found, Cancelled)):
        raise error
    return [future.result() for future in futures]


def eventually(link: Link, holds: Callable[[], bool]) -> bool:
    """Whether `holds` becomes true: some registries show what they have stored only a moment later."""
    for attempt in range(1, link.retry.attempts):
        if holds():
            return True
        link.clock.sleep(link.retry.pause(attempt))
    return holds()
