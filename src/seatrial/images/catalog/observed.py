"""What registries listed when the catalog was refreshed: tags with their sizes, in the user's own folder."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from seatrial.files import write_atomic
from seatrial.images.facts.load import refreshed_folder

if TYPE_CHECKING:
    from pathlib import Path


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All tags of a repository at a registry on a day (ISO 8601), with compressed sizes in bytes where they were asked for."""

    registry: str
    date: str
    tags: dict[str, int | None]


class Observed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Listings by the catalog's name of the repository."""

    repositories: dict[str, Listing] = {}


def path() -> Path:
    """Where it is kept: beside the refreshed tables of packages."""
    return refreshed_folder() / "catalog" / "tags.json"


@cache
def read() -> Observed:
    """What was observed; nothing where there was no refresh, or where the file is not one of ours. Read once."""
    try:
        return msgspec.json.decode(path().read_bytes(), type=Observed)
    except (OSError, msgspec.DecodeError):
        return Observed()


def write(listings: dict[str, Listing]) -> Path:
    """Add listings to what is there, whole or not at all.

    Raises:
        SeatrialError: the folder cannot be written.
    """
    file = path()
    read.cache_clear()
    merged = Observed(read().repositories | listings)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(file, msgspec.json.format(msgspec.json.encode(merged), indent=1))
    read.cache_clear()
    return file
