"""A host of this machine as it is written down: where it keeps things, and how separate it is."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.errors import UsageError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

Isolation = Literal["namespaces", "processes"]
"""`namespaces`: a network, processes, a name and a view of the files of its own. `processes`: none of that."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,50}")


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """`home` is the state folder, `root` the folder of the host's agent. Hosts are known by their names."""

    name: str
    home: str
    root: str
    isolation: Isolation = "namespaces"
    zone: str = ""

    @property
    def folder(self) -> Path:
        """Where everything of the host is."""
        return Path(self.home) / "hosts" / self.name

    @property
    def state(self) -> Path:
        """The state folder of the host's own commands."""
        return self.folder / "state"


def check_name(name: str) -> str:
    """The same name.

    Raises:
        UsageError: it cannot be the name of a host.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name!r} cannot be the name of a host", fix="use up to 50 letters, digits and . _ -"
        )
    return name


def read(folder: Path) -> Place:
    """The host of a folder."""
    return msgspec.json.decode((folder / "host.json").read_bytes(), type=Place)


def write(place: Place) -> None:
    """Write a host down."""
    place.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    place.state.mkdir(mode=0o700, exist_ok=True)
    write_atomic(place.folder / "host.json", msgspec.json.encode(place), mode=0o600)


def known(home: Path, name: str) -> Place | None:
    """The host of that name, if there is one."""
    folder = home / "hosts" / name
    return read(folder) if (folder / "host.json").exists() else None


def orders(folder: Path) -> Path:
    """Where a host keeps what it was told to do, and how that went."""
    return folder / "orders"


@contextmanager
def socket_address(folder: Path) -> Iterator[str]:
    """The address of the host's socket; short, since the kernel takes no more than 107 bytes."""
    descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/socket"
    finally:
        os.close(descriptor)
