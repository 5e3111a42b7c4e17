"""The log of a build as CodeBuild writes it, without the values that must not be in it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from seatrial.masking import Mask

if TYPE_CHECKING:
    from collections.abc import Iterable


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


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]
