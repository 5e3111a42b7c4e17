"""What is seen while an image is built: steps with their times, and on a terminal how long is left."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING, Self

from seatrial.cli.common import is_live, note
from seatrial.images.builders import history

if TYPE_CHECKING:
    from types import TracebackType

    from seatrial.images.builders.model import Builder, Step
    from seatrial.images.builders.repair import Attempt
    from seatrial.sources.text import Source

_EVERY = 0.5
_WIDE = 100


class BuildProgress:
    """A plain log for a pipe: every line of the builder. On a terminal one line for each step, and what is left below.

    `quiet` says nothing.
    """

    def __init__(self, builder: Builder, source: Source | None, *, quiet: bool, verbose: bool) -> None:
        self._quiet = quiet
        self._live = not quiet and is_live(sys.stderr)
        self._all = not quiet and (verbose or not self._live)
        self._expected = history.expected(builder.NAME, source) if source else []
        self._current: Step | None = None
        self._since = time.monotonic()
        self._tail: list[str] = []
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, daemon=True)
        if not quiet:
            note(f"building with {builder.version()}")

    def __enter__(self) -> Self:
        if self._live:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._live:
            self._thread.join()
            self._clear()

    def step(self, step: Step) -> None:
        """A step began or ended."""
        if self._quiet:
            return
        with self._lock:
            if step.state == "running":
                self._current, self._since, self._tail = step, time.monotonic(), []
                return
            self._current = None
            took = "cached" if step.state == "cached" else f"{step.seconds:.1f} s"
            word = "failed after " if step.state == "failed" else ""
            self._say(f"[{step.number}/{step.total}] {step.instruction[:_WIDE]}  {word}{took}")
            if step.state == "failed" and not self._all:
                for line in self._tail[-20:]:
                    self._say(f"    {line}")

    def line(self, text: str) -> None:
        """The builder said something."""
        with self._lock:
            self._tail = [*self._tail[-19:], text]
            if self._all:
                self._say(text)

    def attempt(self, attempt: Attempt) -> None:
        """A failure was understood, and the next build begins."""
        if self._quiet:
            return
        with self._lock:
            self._say(f"repair {attempt.number}: {attempt.explanation}")
            self._say(f"  seen: {attempt.evidence.text}")
            self._say(f"  {attempt.fix or 'this passes by itself: trying again'}")

    def _say(self, text: str) -> None:
        self._clear()
        note(text)

    def _clear(self) -> None:
        if self._live:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def _work(self) -> None:
        while not self._ended.wait(_EVERY):
            with self._lock:
                if self._current is not None:
                    sys.stderr.write(f"\r\x1b[K{self._status(self._current)[: _columns() - 1]}")
                    sys.stderr.flush()

    def _status(self, step: Step) -> str:
        gone = time.monotonic() - self._since
        took = f"{gone:.0f} s" + (f" of about {step.expected:.0f} s" if step.expected >= 1 else "")
        left = remaining(self._expected, step, gone)
        text = step.instruction[:40]
        return f"… [{step.number}/{step.total}] {text}  {took}{f', {left} left' if left else ''}"


def remaining(expected: list[tuple[int, float | None]], step: Step, gone: float) -> str:
    """How long the steps from this one on took before, as text; empty when nobody knows one of them."""
    later = [seconds for line, seconds in expected if line > step.line]
    if not expected or not step.expected or any(one is None for one in later):
        return ""
    left = max(step.expected - gone, 0) + sum(one or 0 for one in later)
    return f"about {left:.0f} s" if left < 120 else f"about {left / 60:.0f} min"  # noqa: PLR2004 - two minutes


def _columns() -> int:
    import shutil

    return shutil.get_terminal_size().columns
