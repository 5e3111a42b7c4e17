"""What is remembered of an image that a builder made from a Dockerfile, for its provenance.

It lies in the cache beside the records of assembled images: without it nothing fails, there is only less to say.
"""

from __future__ import annotations

import os
from contextlib import suppress

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import write_atomic
from seatrial.images.assemble.store import entry_path

_FORMAT = 1


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """A finished build. `dockerfile` is its name in the context, `sha256` that of its text as it was built.

    `bases` maps the names after FROM to digests where they are known. `arguments` are names of build arguments:
    their values may be private. `context` is a hash over the files that were sent to the builder, if there is one.
    """

    builder: str
    version: str
    dockerfile: str
    sha256: str
    target: str = ""
    platform: str = ""
    bases: dict[str, str] = {}
    arguments: tuple[str, ...] = ()
    context: str = ""


def remember(digest: str, build: Build) -> None:
    """Keep how the image with that manifest digest was built. A full disk is no reason to fail: the image is there."""
    with suppress(OSError, SeatrialError):
        write_atomic(entry_path("records", _name(digest)), msgspec.json.encode(build), mode=0o600)


def recall(digest: str) -> Build | None:
    """How it was built; None when that is not known here."""
    place = entry_path("records", _name(digest))
    try:
        found = msgspec.json.decode(place.read_bytes(), type=Build)
        os.utime(place)
    except (OSError, msgspec.MsgspecError):
        return None
    return found


def _name(digest: str) -> str:
    return f"{_FORMAT}-build-{digest.removeprefix('sha256:')}"
