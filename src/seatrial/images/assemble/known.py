"""What was found out about a wheel while all of it was read and compared: kept, so that it is found out once.

Then its archive is not examined again, and its files are compared with their checksums only, no longer with RECORD.
A key names the wheel's own sha256, so what is said of one wheel is never believed of another.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from seatrial.files import write_atomic
from seatrial.images.assemble.fetch import wheel_path
from seatrial.images.assemble.store import entry_path
from seatrial.images.assemble.wheel import Wheel, read_wheel

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from seatrial.images.lock import LockedWheel

_FORMAT = 1
"""Part of every key: raise it when wheels are refused that were accepted before."""


def open_wheel(wheel: LockedWheel) -> Wheel:
    """The structure of a wheel in the store, from memory or by reading it.

    Raises:
        WheelError: the archive is damaged or hostile, or its metadata contradicts its file name.
    """
    found = _recall(wheel) or read_wheel(wheel_path(wheel.sha256), wheel.filename)
    return msgspec.structs.replace(found, direct_url=wheel.direct_url) if wheel.direct_url else found


def keep(wheel: LockedWheel, read: Wheel, compared: Mapping[str, bytes]) -> None:
    """Remember the sha256 of files, by their names in the wheel, that were compared with it."""
    if all(entry.digest or entry.name not in compared for entry in read.entries):
        return
    entries = tuple(entry._replace(digest=compared.get(entry.name, entry.digest)) for entry in read.entries)
    # What RECORD says of the others is still needed; a version read from there stays in METADATA alone.
    left = {name: said for name, said in read.record.items() if name not in compared}
    kept = msgspec.structs.replace(read, path="", direct_url="", entries=entries, record=left)
    write_atomic(_place(wheel), msgspec.msgpack.encode(kept))


def _recall(wheel: LockedWheel) -> Wheel | None:
    place, path = _place(wheel), wheel_path(wheel.sha256)
    try:
        found = msgspec.msgpack.decode(place.read_bytes(), type=Wheel)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    with suppress(OSError):
        os.utime(place)  # what was used last is pruned last
    return msgspec.structs.replace(found, path=str(path))


def _place(wheel: LockedWheel) -> Path:
    key = hashlib.sha256(msgspec.json.encode([_FORMAT, wheel.sha256, wheel.filename])).hexdigest()
    return entry_path("known", key)
