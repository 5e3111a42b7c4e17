"""What CodeBuild answers when it ends a phase, in its own words."""

from __future__ import annotations

import os

from seatrial.errors import SeatrialError


class Refused(SeatrialError):  # noqa: N818 - what is refused, as in the other parts of a build
    """CodeBuild would end the phase here. `code` and `message` are those of the phase's context; the rest is ours."""

    def __init__(
        self,
        code: str,
        message: str,
        *,
        where: str | None = None,
        why: str | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}", where=where, why=why, fix=fix)
        self.code = code
        self.message = message

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self.code, self.message, self.where, self.why, self.fix))


def _rebuild(code: str, message: str, where: str | None, why: str | None, fix: str | None) -> Refused:
    return Refused(code, message, where=where, why=why, fix=fix)


def unreadable(error: OSError) -> Refused:
    """A file that cannot be read, as Go words it, in which CodeBuild's agent is written."""
    reason = (error.strerror or str(error)).lower()
    where = os.fsdecode(error.filename) if error.filename is not None else ""
    return Refused(
        "CLIENT_ERROR",
        f"open {where}: {reason}" if where else reason,
        fix="check the permissions of that file and of the folders above it",
    )
