"""What is written down of a service: reading it, changing what it should be like, and telling its keeper."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import msgspec

from seatrial import locks
from seatrial.errors import SeatrialError, UsageError
from seatrial.files import write_atomic
from seatrial.services.model import ACTUAL, WANTED, Actual, Wanted, folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_EAGER, _PATIENT, _SOON = 0.002, 0.015, 0.2
T = TypeVar("T")
WAKE = "wake"
KEEPER_LOCK = "keeper.lock"
KEEPER_LOG = "keeper.log"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


def check_name(name: str) -> str:
    """The same name.

    Raises:
        UsageError: it cannot be the name of a service.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a service", fix="use up to 63 letters, digits and . _ -"
        )
    return name


def names(home: Path) -> list[str]:
    """The services that there are."""
    return sorted(place.parent.name for place in (home / "services").glob(f"*/{WANTED}"))


def wanted(home: Path, name: str) -> Wanted:
    """What a service should be like.

    Raises:
        UsageError: there is no such service.
    """
    found = read_wanted(folder(home, check_name(name)))
    if found is None:
        import difflib

        near = difflib.get_close_matches(name, names(home), 1)
        raise UsageError(
            f"there is no service {name!r}",
            why=f"services here: {', '.join(names(home)) or 'none'}",
            fix=f"did you mean {near[0]!r}?" if near else "`seatrial deploy run` starts one",
        )
    return found


def read_wanted(place: Path) -> Wanted | None:
    """What the service of a folder should be like; None when it is not there."""
    return _read(place / WANTED, Wanted)


def read_actual(place: Path) -> Actual:
    """What the service of a folder is like, as far as its keeper has said."""
    return _read(place / ACTUAL, Actual) or Actual()


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise SeatrialError(
            "a service's state cannot be read", where=str(path), why=str(error), fix="remove the file"
        ) from error


def changed(home: Path, name: str, change: Callable[[Wanted], Wanted]) -> Wanted:
    """Change what a service should be like, and tell its keeper; a change that changes nothing has no new number.

    Raises:
        UsageError: there is no such service.
    """
    with locks.locked(lock(home, name)):
        before = wanted(home, name)
        after = change(before)
        if after != before:
            after = msgspec.structs.replace(after, number=before.number + 1)
            write_wanted(folder(home, name), after)
    wake(folder(home, name))
    return after


def write_wanted(place: Path, new: Wanted) -> None:
    """Write down what a service should be like; the caller holds its lock."""
    write_atomic(place / WANTED, msgspec.json.encode(new), mode=0o600)


def lock(home: Path, name: str) -> Path:
    """What is held while a service's wish changes. It lies beside the folder, which may go away meanwhile."""
    services = home / "services"
    services.mkdir(mode=0o700, parents=True, exist_ok=True)
    return services / f".{check_name(name)}.lock"


def wake(place: Path) -> None:
    """Tell the keeper to look; one that is not there looks when it starts."""
    with suppress(OSError):  # no pipe yet, or nobody who reads it
        descriptor = os.open(place / WAKE, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(descriptor, b"!")
        finally:
            os.close(descriptor)


def is_kept(place: Path) -> bool:
    """Whether a keeper is there."""
    return locks.is_locked(place / KEEPER_LOCK)


def pause(waited: float) -> None:
    """Let a moment pass between two looks: shorter at first, since most things are done at once."""
    time.sleep(_EAGER if waited < _SOON else _PATIENT)
