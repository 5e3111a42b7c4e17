"""The lock: which wheels an image holds, by name, version, file name and hash, and nothing else.

It is written as a `pylock.toml` (PEP 751) that names no index host: wheels are paths relative to the lock.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.target import Target

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILENAME = re.compile(r"[A-Za-z0-9_.!+-]{1,251}\.whl")


class LockedWheel(msgspec.Struct, frozen=True, kw_only=True):
    """One wheel. `name` is normalised (PEP 503), `sha256` is 64 hexadecimal digits, `size` bytes or 0 if unknown.

    `direct_url` is what its direct_url.json says, empty for a package that was named by its version.
    """

    name: str
    version: str
    filename: str
    sha256: str
    size: int = 0
    direct_url: str = ""


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """Wheels for one target, sorted by name."""

    target: Target
    wheels: tuple[LockedWheel, ...]


def to_text(lock: Lock) -> str:
    """The lock as TOML; the same lock gives the same text on every machine."""
    q = json.dumps  # a JSON string is a TOML basic string
    lines = [
        'lock-version = "1.0"',
        'created-by = "seatrial"',
        f"requires-python = {q('==' + lock.target.python + '.*')}",
    ]
    for wheel in lock.wheels:
        size = f", size = {wheel.size}" if wheel.size else ""
        lines += [
            "",
            "[[packages]]",
            f"name = {q(wheel.name)}",
            f"version = {q(wheel.version)}",
            (
                f"wheels = [{{ name = {q(wheel.filename)}, path = {q('./' + wheel.filename)}{size}, "
                f"hashes = {{ sha256 = {q(wheel.sha256)} }} }}]"
            ),
        ]
        if wheel.direct_url:
            lines.append(f"tool.seatrial.direct-url = {q(wheel.direct_url)}")
    lines += [
        "",
        "[tool.seatrial]",
        f"platform = {q(lock.target.platform)}",
        f"glibc = {q(lock.target.glibc)}",
    ]
    return "\n".join(lines) + "\n"


def from_text(text: str, *, where: str = "lock") -> Lock:
    """Read what `to_text` wrote.

    Raises:
        SeatrialError: the text is no such lock.
    """
    try:
        data = tomllib.loads(text)
        tool = data["tool"]["seatrial"]
        target = Target(
            python=data["requires-python"].removeprefix("==").removesuffix(".*"),
            platform=tool["platform"],
            glibc=tool["glibc"],
        )
        wheels = tuple(_wheel(package) for package in data.get("packages", ()))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
        raise SeatrialError(
            f"this is not a lock that Seatrial wrote: {error!r}", where=where, fix="resolve again"
        ) from error
    return Lock(target=target, wheels=wheels)


def _wheel(package: dict[str, Any]) -> LockedWheel:
    wheels = package["wheels"]
    if not isinstance(wheels, list) or len(wheels) != 1:
        raise ValueError(f"{package['name']} has no single wheel")
    wheel = wheels[0]
    return check(
        LockedWheel(
            name=str(package["name"]),
            version=str(package["version"]),
            filename=wheel["name"],
            sha256=wheel["hashes"]["sha256"],
            size=int(wheel.get("size", 0)),
            direct_url=str(package.get("tool", {}).get("seatrial", {}).get("direct-url", "")),
        )
    )


def check(wheel: LockedWheel) -> LockedWheel:
    """Return `wheel` if its hash and file name may become parts of paths.

    Raises:
        ValueError: they may not.
    """
    if not _SHA256.fullmatch(wheel.sha256):
        raise ValueError(f"{wheel.name} has no sha256")
    if not _FILENAME.fullmatch(wheel.filename):
        raise ValueError(f"{wheel.filename!r} is not a wheel's file name")
    return wheel
