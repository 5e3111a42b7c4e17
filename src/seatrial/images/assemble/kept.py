"""Small files that were made for one wheel, kept so that a layer it shares need not be made from nothing."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from seatrial.errors import SeatrialError
from seatrial.files import atomic_writer
from seatrial.images.assemble.store import entry_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_HEAD = struct.Struct(">II")
_LEVEL = 1


def kept(key: str, made: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    """What the cache has under `key`, else what `made` gives, which is there from then on when all of it was taken.

    `made` is pairs of a name and a content; only one of them is in memory at a time.

    Raises:
        SeatrialError: what was kept is damaged; it is gone, so the same command makes it anew.
    """
    from isal import igzip

    opened: Callable[..., IO[bytes]] = igzip.open
    place = entry_path("bytecode", key)
    try:
        stream = opened(place, "rb")
    except FileNotFoundError:
        with atomic_writer(place) as out, opened(out, "wb", _LEVEL) as packed:
            for name, content in made:
                raw = name.encode()
                packed.write(_HEAD.pack(len(raw), len(content)) + raw + content)
                yield name, content
            packed.write(_HEAD.pack(0, 0))
        return
    with stream:
        with suppress(OSError):
            os.utime(place)  # what was used last is pruned last
        try:
            yield from _read(stream)
        except (EOFError, OSError, struct.error, UnicodeDecodeError) as error:
            place.unlink(missing_ok=True)
            raise SeatrialError(
                "bytecode in the cache is damaged",
                where=str(place),
                why=str(error),
                fix="run the same command again",
            ) from error


def _read(stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    while True:
        name, content = _HEAD.unpack(stream.read(_HEAD.size))
        if not name:
            return
        yield stream.read(name).decode(), stream.read(content)
