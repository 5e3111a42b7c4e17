"""Where applications, groups, revisions and deployments are written down: one JSON file each, below the state folder.

Every file is whole or absent. Whoever changes one holds the one lock.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import msgspec

from seatrial import locks
from seatrial.deployments.configurations import NAME
from seatrial.errors import SeatrialError, UsageError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T = TypeVar("T", bound=msgspec.Struct)


def folder(home: Path, *parts: str) -> Path:
    """A folder of records."""
    return home.joinpath("deployments", *parts)


@contextmanager
def changing(home: Path) -> Iterator[None]:
    """Be the only one who changes records, for the length of a block. Not to be entered twice."""
    place = folder(home)
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locks.locked(place / "lock"):
        yield


def write(path: Path, record: msgspec.Struct) -> None:
    """Write a record down."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(path, msgspec.json.format(msgspec.json.encode(record), indent=1), mode=0o600)


def read(path: Path, kind: type[T]) -> T | None:
    """The record of a file, or None when there is none.

    Raises:
        SeatrialError: the file is damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise SeatrialError(
            f"the record cannot be read: {error}",
            where=str(path),
            why="it was changed by hand, or by a newer Seatrial",
            fix="move it away, or use the version that wrote it",
        ) from error


def all_in(place: Path, kind: type[T]) -> list[T]:
    """All records of a folder, by the names of their files."""
    paths = sorted(place.glob("*.json")) if place.is_dir() else []
    return [record for path in paths if (record := read(path, kind)) is not None]


def check_name(what: str, name: str) -> str:
    """The same name.

    Raises:
        UsageError: CodeDeploy would not take it as the name of a `what`, or no folder can be called that.
    """
    if not NAME.fullmatch(name) or not name.strip("."):
        raise UsageError(
            f"{name!r} cannot be the name of {what}",
            fix="use up to 100 letters, digits and + = , . @ _ -",
        )
    return name
