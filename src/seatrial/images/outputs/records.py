"""What former images were made of, so that a new one can say what changed.

A record is named by the image's digest, and once more by the project, platform and inputs it was made for. It
lies in the cache: without one nothing fails, there is only less to say.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import write_atomic
from seatrial.images import layout as oci
from seatrial.images.assemble.store import entry_path
from seatrial.images.lock import LockedWheel  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.assemble.spec import ImageSpec

_FORMAT = 1


class LayerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One layer above the base. `key` names it in the cache; `facts` are what else decides its bytes, by name."""

    kind: str
    key: str
    what: str
    wheels: tuple[LockedWheel, ...] = ()
    facts: dict[str, str] = {}


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One platform's image. `settings` has a hash of each value, since values may be private; `root` is its project."""

    base: str
    base_digest: str
    layers: tuple[LayerRecord, ...]
    settings: dict[str, str]
    root: str = ""


def former(spec: ImageSpec, out: Path) -> Record | None:
    """What the image in `out` for the platform of `spec` was made of, else the last one of the same project."""
    try:
        digest = oci.read_image(out, platform=spec.platform).digest
    except (SeatrialError, OSError):
        digest = ""
    return (_read(_by_digest(digest)) if digest else None) or _read(_by_project(spec))


def remember(spec: ImageSpec, digest: str, record: Record) -> None:
    """Keep what an image was made of. A full disk is no reason to fail: the image is there."""
    content = msgspec.json.encode(msgspec.structs.replace(record, root=str(spec.root.resolve())))
    with suppress(OSError, SeatrialError):
        for name in (_by_digest(digest), _by_project(spec)):
            write_atomic(entry_path("records", name), content, mode=0o600)


def made_of(digest: str) -> Record | None:
    """What an image that was assembled here was made of; None when that is not known."""
    return _read(_by_digest(digest))


def base_of(digest: str) -> str:
    """The digest of the base that an image was assembled on here; empty when that is not known."""
    found = _read(_by_digest(digest))
    return found.base_digest if found is not None else ""


def origin(digest: str) -> Path | None:
    """The folder that an image was last assembled from on this machine, if that is known and still there."""
    from pathlib import Path

    found = _read(_by_digest(digest))
    folder = Path(found.root) if found is not None and found.root else None
    return folder if folder is not None and folder.is_dir() else None


def hashed(value: object) -> str:
    """A short hash of a value: the same value has the same one, and nothing can be read from it."""
    return hashlib.sha256(msgspec.json.encode(value, enc_hook=str, order="deterministic")).hexdigest()[:32]


def _by_digest(digest: str) -> str:
    return f"{_FORMAT}-{digest.removeprefix('sha256:')}"


def _by_project(spec: ImageSpec) -> str:
    inputs = (spec.requirements, spec.extras, spec.groups, spec.project)
    return f"{_FORMAT}-of-{hashed([str(spec.root.resolve()), spec.platform, inputs])}"


def _read(name: str) -> Record | None:
    place = entry_path("records", name)
    try:
        found = msgspec.json.decode(place.read_bytes(), type=Record)
        os.utime(place)
    except (OSError, msgspec.MsgspecError):
        return None
    return found
