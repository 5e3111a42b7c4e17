"""The error for a wheel that no installer should touch."""

from __future__ import annotations

from seatrial.errors import SeatrialError


class WheelError(SeatrialError):
    """A wheel that is damaged, or that was made to harm."""


def refuse(filename: str, why: str) -> WheelError:
    """The error that names the wheel and the reason."""
    return WheelError(
        "this wheel is refused",
        where=filename,
        why=why,
        fix="get it from a source you trust, or choose another version",
    )
