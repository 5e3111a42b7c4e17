"""Which versions a package can be, from what is asked and from the tables of releases."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from seatrial.images import facts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packaging.specifiers import SpecifierSet
    from packaging.version import Version

    from seatrial.images.facts import Release


@cache
def allows(specifier: str, version: str) -> bool:
    """Whether a version fits, as pip counts: pre-releases that are there count, local labels of the version do not."""
    known = _version(version)
    wanted = _specifiers(specifier)
    return known is None or wanted is None or wanted.contains(known, prereleases=True)


def higher(one: str, other: str) -> bool:
    """Whether a version is higher than another; false where one of them is no version."""
    first, second = _version(one), _version(other)
    return first is not None and second is not None and first > second


def nearest(versions: Sequence[str], to: str) -> list[str]:
    """The lowest version above another one, and the highest below; `versions` are newest first."""
    above = [one for one in versions if higher(one, to)]
    below = [one for one in versions if higher(to, one)]
    return [*above[-1:], *below[:1]]


def pin(specifier: str) -> str:
    """The one version that a specifier allows, else empty."""
    wanted = _specifiers(specifier)
    exact = [
        one.version
        for one in wanted or ()
        if one.operator in ("==", "===") and not one.version.endswith(".*")
    ]
    return exact[0] if exact and _version(exact[0]) is not None else ""


@cache
def possible(name: str, specifier: str, python: str = "", build: str = "") -> tuple[str, ...]:
    """The versions that a package can be, the newest that is sure to be there first; none where nothing is known.

    `python` (`3.11`) leaves out releases without a wheel for it, `build` (`cu121`) those of torch that have no such
    build; where not all builds are known, releases that may have it come last. A pin counts even where the tables do not
    have it: they end before tomorrow.
    """
    pinned = pin(specifier)
    if pinned:
        return (pinned,) if allows(specifier, pinned) else ()
    fitting = [
        one.version
        for one in facts.releases(name)
        if one.yanked is None
        and not _unfinished(one.version)
        and allows(specifier, one.version)
        and facts.installs(one, python)
    ]
    if not build:
        return tuple(fitting)
    listed = [one for one in fitting if listed_build(built_for(name, one), build)]
    return (*listed, *(one for one in fitting if one not in listed and has_build(name, one, build)))


@cache
def requires(name: str, version: str, python: str = "") -> dict[str, str]:
    """What a release needs, among the packages there are tables for: name → specifier."""
    found = facts.release(name, version)
    if found is None:
        return {}
    needed = {one: facts.needs(found, one, python=python) for one in _names(found)}
    return {one: _LOCAL.sub("", str(specifier)) for one, specifier in needed.items() if specifier is not None}


# A few wheels name the build that they were made beside (`torch==2.0.0+cu117`); those of other builds name theirs.
_LOCAL = re.compile(r"\+[a-z0-9.]+")


def _names(release: Release) -> set[str]:
    found = (re.match(r"[A-Za-z0-9._-]+", one) for one in release.requires or ())
    return {match.group() for match in found if match}


def _unfinished(version: str) -> bool:
    known = _version(version)
    return known is None or known.is_prerelease


def has_build(name: str, version: str, build: str) -> bool:
    """Whether a release of torch or a companion was published as `cu121`; true where that is not known."""
    torch = built_for(name, version)
    if not torch or listed_build(torch, build):
        return True
    builds = facts.torch_builds(torch) or ()
    return not facts.builds_complete(torch) and not (builds and _cuda(build) < _cuda(builds[0].tag))


def _cuda(label: str) -> int:
    return int(label.removeprefix("cu") or 0)


def listed_build(torch: str, build: str) -> bool:
    """Whether the tables say that a torch release was published as `cu121`; every one has a build without CUDA."""
    builds = facts.torch_builds(torch)
    return not build.startswith("cu") or not builds or any(one.tag == build for one in builds)


@cache
def built_for(name: str, version: str) -> str:
    """The torch release that a companion was built for: the lowest of those that it says; empty when not known."""
    if name == "torch":
        return version
    wanted = facts.torch_of(name, version)
    known = [
        one.version
        for one in facts.releases("torch")
        if wanted and allows(_LOCAL.sub("", wanted), one.version)
    ]
    return known[-1] if known else ""


@cache
def _version(text: str) -> Version | None:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(text)
    except InvalidVersion:
        return None


@cache
def _specifiers(text: str) -> SpecifierSet | None:
    from packaging.specifiers import InvalidSpecifier, SpecifierSet

    try:
        return SpecifierSet(text)
    except InvalidSpecifier:
        return None
