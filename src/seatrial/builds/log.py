"""The log of a build as CodeBuild writes it, without the values that must not be in it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from seatrial.builds.phases import Context, completion
from seatrial.engine.call import Told
from seatrial.errors import SeatrialError
from seatrial.masking import Mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Log:
    """Lines of our own and what commands print, in order, on stdout."""

    def __init__(self, hidden: Iterable[str] = ()) -> None:
        self._mask = Mask(hidden)

    def say(self, text: str) -> None:
        """A line as CodeBuild's agent writes it; the time is UTC."""
        now = datetime.now(UTC).strftime("%Y/%m/%d %H:%M:%S.%f")
        _write(self._mask.flush() + self._mask.text(f"[Container] {now} {text}\n").encode())

    def show(self, chunk: bytes) -> None:
        """What a command printed."""
        _write(self._mask.feed(chunk))

    def end(self) -> None:
        """Write what was kept back."""
        _write(self._mask.flush())

    def text(self, value: str) -> str:
        """A text without the values."""
        return self._mask.text(value)


@contextmanager
def phase(name: str, hidden: Iterable[str] = ()) -> Iterator[Log]:
    """The log of a phase that runs no commands of the buildspec; how it ends is written there.

    Raises:
        Told: instead of any SeatrialError in the block, with the code and message that CodeBuild would give.
    """
    log = Log(hidden)
    try:
        yield log
    except SeatrialError as error:
        # What CodeBuild would say has a code and a message of its own.
        code, message = getattr(error, "code", "CLIENT_ERROR"), getattr(error, "message", str(error))
        reason = Context(code, log.text(message))
        ended(log, name, reason)
        if error.fix:
            log.show(log.text(f"  fix: {error.fix}\n").encode())
            log.end()
        raise Told(str(reason)) from None
    ended(log, name, None)


def passed(log: Log, name: str) -> None:
    """A phase that has nothing to do."""
    log.say(f"Entering phase {name}")
    ended(log, name, None)


def ended(log: Log, name: str, reason: Context | None, status: str = "") -> None:
    """A phase is over."""
    for line in completion(name, reason, status):
        log.say(line)
    log.end()


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
