"""Packages that need torch or nvcc while they are built."""

from __future__ import annotations

from functools import cache
from typing import Literal

import msgspec

from seatrial.images.facts.load import load_yaml
from seatrial.images.facts.versions import fits, key


class SourceBuild(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What building a package from its source needs; see `builds.yaml`."""

    package: str
    versions: str
    torch: Literal["imported", "declared"]
    pyproject: bool
    nvcc: Literal["needed", "optional"]
    fetches: bool
    wheels: bool
    addresses: tuple[str, ...]
    source: str


class BrokenPatch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Wheels that were built with a torch in `built` do not load with those in `torch`; both are specifiers."""

    built: str
    torch: str
    source: str


class Legacy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which pip does not isolate a package without a pyproject.toml: before version `pip`, released on the day `until`.

    That version needs `python`. `distributions` have an older one of their own; `without` have no Python for it.
    """

    pip: str
    until: str
    python: str
    distributions: tuple[str, ...]
    without: tuple[str, ...]
    source: str


class SourceBuilds(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`builds.yaml`."""

    legacy: Legacy
    builds: tuple[SourceBuild, ...]
    patches: tuple[BrokenPatch, ...]


@cache
def source_builds() -> SourceBuilds:
    """Everything that is known about building from source."""
    return load_yaml("builds.yaml", SourceBuilds)


def source_build(name: str, version: str = "", url: str = "") -> SourceBuild | None:
    """What building a package from source needs, by its name and version, or by the address of its source. None: not known.

    Without a version, what holds for its newest releases.
    """
    rows = source_builds().builds
    if url:
        bare = url.lower()
        return next((one for one in rows if any(each in bare for each in one.addresses)), None)
    own = [one for one in rows if one.package == name]
    if not version:
        return next((one for one in own if not one.versions or not one.versions.startswith("<")), None)
    return next((one for one in own if not one.versions or fits(key(version), one.versions)), None)


def broken_patch(built: str, torch: str) -> BrokenPatch | None:
    """Whether a wheel built with one torch is known not to load with another patch release of it."""
    for one in source_builds().patches:
        if fits(built, one.built) and fits(key(torch), one.torch):
            return one
    return None
