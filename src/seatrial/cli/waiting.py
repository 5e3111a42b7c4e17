"""Saying what takes so long: one quiet line on a terminal, now and then a line in a log."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from typing import TYPE_CHECKING, Self

from seatrial.cli.common import is_live

if TYPE_CHECKING:
    from types import TracebackType

_SILENT = 1.0
_EVERY = 0.2
_LOGGED = 10.0
_COUNTED = {"fetch/wheel-stored": "fetched", "layer/stored": "made", "registry.push.blob": "sent"}


class Waiting:
    """Says what is being done when it takes longer than a second, and takes it away afterwards.

    A pipe or log gets one line for what takes longer than ten seconds. `quiet` says nothing.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._speaks = not quiet
        self._live = is_live(sys.stderr)
        self._what, self._since = "", time.monotonic()
        self._counts: dict[str, int] = {}
        self._shown = self._logged = False
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        if self._speaks:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._speaks:
            self._thread.join()
        self._clear()

    def say(self, what: str) -> None:
        """Something else is being done from now on."""
        with self._lock:
            self._what, self._since, self._counts = what, time.monotonic(), {}
            self._logged = False

    def reach(self, point: str) -> None:
        """A point of the work was reached; those that come often are counted."""
        if point in _COUNTED:
            with self._lock:
                self._counts[point] = self._counts.get(point, 0) + 1

    def _work(self) -> None:
        while not self._ended.wait(_EVERY):
            with self._lock:
                took = time.monotonic() - self._since
                counts = [f"{number} {_COUNTED[point]}" for point, number in self._counts.items()]
                text = ", ".join([self._what, *counts, f"{took:.0f} s"])
            if not self._live:
                self._log(took)
            elif took >= _SILENT and self._what:
                width = shutil.get_terminal_size().columns - 1
                sys.stderr.write(f"\r\x1b[K{f'… {text}'[:width]}")
                sys.stderr.flush()
                self._shown = True
            else:
                self._clear()

    def _log(self, took: float) -> None:
        with self._lock:
            if took < _LOGGED or not self._what or self._logged:
                return
            self._logged, what = True, self._what
        sys.stderr.write(f"… {what}\n")
        sys.stderr.flush()

    def _clear(self) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._shown = False
