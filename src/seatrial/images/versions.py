"""What a version specifier promises, without asking an index which versions there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.specifiers import Specifier, SpecifierSet
    from packaging.version import Version


def stays_below(specifiers: SpecifierSet, bound: str) -> bool:
    """Whether every version that fits is lower than `bound`; local labels (`+cu118`) do not count."""
    from packaging.version import Version

    limit = Version(bound)
    return any(_clause_below(one, limit) for one in specifiers)


def reaches(specifiers: SpecifierSet, bound: str) -> bool:
    """Whether every version that fits is `bound` or higher."""
    from packaging.version import Version

    limit = Version(bound)
    return any(_clause_reaches(one, limit) for one in specifiers)


def pinned(specifiers: SpecifierSet) -> str | None:
    """The one version asked for with `==` or `===`."""
    for one in specifiers:
        if one.operator in ("==", "===") and not one.version.endswith(".*"):
            return one.version
    return None


def _clause_below(one: Specifier, limit: Version) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        if one.operator == "==" and one.version.endswith(".*"):
            return _next(Version(one.version[:-2]).release) <= limit
        version = Version(Version(one.version).public)
    except InvalidVersion:
        return False  # `===` allows any text
    if one.operator in ("==", "===", "<="):
        return version < limit
    if one.operator == "<":
        return version <= limit
    if one.operator == "~=":
        return _next(version.release[:-1]) <= limit
    return False


def _clause_reaches(one: Specifier, limit: Version) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        version = Version(Version(one.version.removesuffix(".*")).public)
    except InvalidVersion:
        return False
    return one.operator in ("==", "===", ">=", ">", "~=") and version >= limit


def _next(release: tuple[int, ...]) -> Version:
    """The first version after all that start with `release`."""
    from packaging.version import Version

    return Version(".".join(map(str, (*release[:-1], release[-1] + 1))))
