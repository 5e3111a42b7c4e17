"""What an image will run on: Python version, processor and C library.

The base image decides all three (see `probe.py`); a target can also be named by hand for resolving alone.
"""

from __future__ import annotations

import platform as machine
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import UsageError

if TYPE_CHECKING:
    from packaging.tags import Tag

# OCI architecture: the name wheels use. Source: PEP 600 and Go's GOARCH values.
WHEEL_ARCHITECTURES = {"amd64": "x86_64", "arm64": "aarch64"}

# What the kernel calls other machines, and what images call them.
_OTHER_MACHINES = {"armv7l": "arm", "i686": "386"}

# The glibc minor versions that uv has a `--python-platform` for.
_UV_GLIBC = (17, 28, *range(31, 41))


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """CPython `major.minor` on an OCI platform with a C library of at least `glibc`."""

    python: str = "3.11"
    platform: str = "linux/amd64"
    glibc: str = "2.36"

    @property
    def architecture(self) -> str:
        """As wheels name it: `x86_64` or `aarch64`."""
        return WHEEL_ARCHITECTURES[parse_platform(self.platform)]

    def __str__(self) -> str:
        return f"Python {self.python} on {self.platform}, glibc {self.glibc}"


def parse_platform(platform: str) -> str:
    """The OCI architecture of `linux/amd64` or `linux/arm64[/v8]`.

    Raises:
        UsageError: it is another platform.
    """
    system, _, architecture = platform.partition("/")
    architecture = architecture.removesuffix("/v8")
    if system != "linux" or architecture not in WHEEL_ARCHITECTURES:
        known = " or ".join(f"linux/{name}" for name in WHEEL_ARCHITECTURES)
        raise UsageError(f"images are assembled for {known}, not for {platform!r}", fix=f"use {known}")
    return architecture


def normal(platform: str) -> str:
    """`linux/arm64` for `linux/arm64/v8`: the variant that every arm64 image has says nothing."""
    return platform.removesuffix("/v8") if platform.endswith("/arm64/v8") else platform


def this_platform() -> str:
    """What this machine runs by itself, as images call it: `linux/amd64`."""
    names = {kernel: oci for oci, kernel in WHEEL_ARCHITECTURES.items()} | _OTHER_MACHINES
    return f"linux/{names.get(machine.machine(), machine.machine())}"


def uv_platform(target: Target) -> str:
    """The value of uv's `--python-platform`: the newest manylinux it knows that is not newer than the target's glibc.

    Raises:
        UsageError: the target's C library is older than any wheel supports.
    """
    minor = _glibc_minor(target)
    fitting = [known for known in _UV_GLIBC if known <= minor]
    if not fitting:
        raise UsageError(
            f"glibc {target.glibc} is too old: wheels need 2.17 or later", fix="use a newer base"
        )
    return f"{target.architecture}-manylinux_2_{fitting[-1]}"


@cache
def tags(target: Target) -> tuple[Tag, ...]:
    """The wheel tags that `target` accepts, best first. Source: PEP 425 and PEP 600."""
    from packaging.tags import compatible_tags, cpython_tags

    major, minor = (int(part) for part in target.python.split("."))
    platforms = _platforms(target)
    cp = f"cp{major}{minor}"
    return (
        *cpython_tags((major, minor), abis=[cp], platforms=platforms),
        *compatible_tags((major, minor), interpreter=cp, platforms=platforms),
    )


@cache
def ranks(target: Target) -> dict[Tag, int]:
    """The position of each tag that `target` accepts, 0 for the best."""
    return {tag: position for position, tag in enumerate(tags(target))}


def _platforms(target: Target) -> list[str]:
    names: list[str] = []
    legacy = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
    oldest = 5 if target.architecture == "x86_64" else 17
    for minor in range(_glibc_minor(target), oldest - 1, -1):
        names.append(f"manylinux_2_{minor}_{target.architecture}")
        if minor in legacy:
            names.append(f"{legacy[minor]}_{target.architecture}")
    return [*names, f"linux_{target.architecture}"]


def _glibc_minor(target: Target) -> int:
    major, _, minor = target.glibc.partition(".")
    if major != "2" or not minor.isdigit():
        raise UsageError(f"{target.glibc!r} is not a glibc version", fix="write it as 2.36")
    return int(minor)
