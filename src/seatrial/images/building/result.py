"""Taking the wheel that a build made: read with suspicion, compared with what was asked, brought into its normal form."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from seatrial.images.assemble.wheel import Wheel, WheelError, read_wheel
from seatrial.images.building.model import BuildError, Source, System, Workshop
from seatrial.images.building.normal import write_normal
from seatrial.images.lock import LockedWheel, check

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.tags import Tag


def accept(
    out: Path, name: object, target: Path, shop: Workshop, source: Source, system: System
) -> tuple[LockedWheel, str]:
    """Write the normal form of the wheel `name` in the folder `out` to the file `target`; returns it with its metadata.

    Raises:
        BuildError: it is not there, is damaged, or is not what was asked for.
    """
    if not isinstance(name, str) or "/" in name or not name.endswith(".whl") or name.startswith("."):
        raise _refused(source, f"build_wheel returned {str(name)[:100]!r}, which names no wheel")
    try:
        _check_plain(out / name, source)
        wheel = read_wheel(out / name, name)
        _check_identity(wheel, source)
        _check_tags(name, shop, system, source)
        with target.open("wb") as stream:
            metadata = write_normal(wheel, stream).decode("utf-8", "replace")
    except WheelError as error:
        raise _refused(source, error.why or error.what) from error
    except OSError as error:
        raise _refused(source, f"{name} cannot be read: {error.strerror}") from error
    with target.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    size = target.stat().st_size
    locked = LockedWheel(name=wheel.name, version=wheel.version, filename=name, sha256=sha256, size=size)
    try:
        return check(locked), metadata
    except ValueError as error:
        raise _refused(source, str(error)) from error


def _check_plain(path: Path, source: Source) -> None:
    """Nothing that a build wrote is opened before it is known to be a file: a link could name one of this machine's."""
    if not stat.S_ISREG(os.lstat(path).st_mode):
        raise _refused(source, f"{path.name} is no plain file")


def _check_identity(wheel: Wheel, source: Source) -> None:
    from packaging.version import InvalidVersion, Version

    if source.name and wheel.name != source.name:
        raise _refused(source, f"it calls itself {wheel.name}, and {source.name} was asked for")
    try:
        same = not source.version or Version(source.version) == Version(wheel.version)
    except InvalidVersion:
        same = source.version == wheel.version
    if not same:
        raise _refused(
            source, f"it says that it is version {wheel.version}, and {source.version} was asked for"
        )


def _check_tags(filename: str, shop: Workshop, system: System, source: Source) -> None:
    from packaging.utils import parse_wheel_filename

    from seatrial.images.target import tags

    found = parse_wheel_filename(filename)[3]
    if system.pure and not all(_pure(tag) for tag in found):
        raise BuildError(
            f"{source.label} has compiled parts, which cannot be made here", where=source.where, why=system.pure,
            fix="build a wheel where the image's platform runs and give it by `--find-links`, or name a fitting `build: base`",
        )  # fmt: skip
    target = shop.probed.interpreter.target
    if not found & set(tags(target)):
        shown = ", ".join(sorted(str(tag) for tag in found)[:3])
        raise _refused(source, f"it is for {shown}, which does not fit {target}")


def _pure(tag: Tag) -> bool:
    return tag.platform == "any" and tag.abi == "none"


def _refused(source: Source, why: str) -> BuildError:
    return BuildError(
        f"what building {source.label} made is refused", where=source.where, why=why,
        fix="choose another version, or one that has a wheel",
    )  # fmt: skip
