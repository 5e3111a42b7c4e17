"""What a user sees when something cannot go on: what, where, why, and what to do next."""

from __future__ import annotations

import errno

DONE = 0
ANSWER_IS_NO = 1
USAGE = 2
MISSING = 3
INTERRUPTED = 130


class SeatrialError(Exception):
    """Something the user can act on; the command line prints it without a traceback.

    `what` is one sentence. `where` is a path, `path:line:column` or a URL, `why` the cause,
    `fix` the next thing to do (a command when there is one).
    """

    exit_code = ANSWER_IS_NO

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        why: str | None = None,
        fix: str | None = None,
    ) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.why = why
        self.fix = fix

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        if self.why:
            text += f"\n  cause: {self.why}"
        if self.fix:
            text += f"\n  fix: {self.fix}"
        return text

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.where, self.why, self.fix))


def _rebuild(
    kind: type[SeatrialError], what: str, where: str | None, why: str | None, fix: str | None
) -> SeatrialError:
    return kind(what, where=where, why=why, fix=fix)


def from_os(error: OSError) -> SeatrialError | None:
    """What the user can act on in an error of the operating system; None when it is more likely our fault."""
    fixes = {
        errno.ENOSPC: "free space on that file system, then run the same command again: it continues",
        errno.EDQUOT: "free space within your quota, then run the same command again: it continues",
        errno.EROFS: "the file system is read-only: choose another folder",
        errno.EACCES: "check the permissions of that file and of the folders above it",
        errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
        errno.ENFILE: "this machine has too many open files",
        errno.ENOMEM: "this machine is out of memory",
        errno.EIO: "the disk reports an error: look at the kernel's log",
    }
    if error.errno not in fixes:
        return None
    place = error.filename2 or error.filename
    where = None if place is None else str(place)
    return SeatrialError(str(error.strerror), where=where, fix=fixes[error.errno])


class UsageError(SeatrialError):
    """The command or a file that configures it asks for something that does not exist."""

    exit_code = USAGE


class MissingToolError(SeatrialError):
    """A program, permission or kernel feature that this machine lacks."""

    exit_code = MISSING
