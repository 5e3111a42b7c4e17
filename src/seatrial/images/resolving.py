"""Asking a resolver about each install of a story: which versions it takes today, or why there are none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.timeline.model import Resolved

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.images.catalog import Contents
    from seatrial.images.solving.model import Ask, Conflict, Setting, Solution
    from seatrial.images.story.model import Base, Install, Request
    from seatrial.images.timeline.model import Package, Target
    from seatrial.images.timeline.read import Resolver
    from seatrial.images.timeline.replay import Resolve

LIKELY_PYTHONS = ("3.11", "3.8", "3.13", "3.10", "3.12", "3.9")
"""Tried in this order where nothing says which Python an image has: what fails on all of them cannot be satisfied."""

_EVERYWHERE = frozenset({"pip", "setuptools", "wheel"})
"""What nearly every Python comes with, in a version that nobody says."""

PLATFORMS = {"x86_64": "linux/amd64", "aarch64": "linux/arm64"}


def resolver(*, refresh: bool = False) -> Resolver:
    """What `judge.check` asks; answers are cached by content, `refresh` asks the index again."""

    def of_base(base: Base | None, contents: Contents | None, python: str, target: Target) -> Resolve:
        def resolve(install: Install, before: Mapping[str, Package]) -> Resolved | None:
            if install.tool not in ("pip", "uv") or not install.requests:
                return None
            return _resolved(install, before, base, contents, python, target, refresh=refresh)

        return resolve

    return of_base


def _resolved(
    install: Install,
    before: Mapping[str, Package],
    base: Base | None,
    contents: Contents | None,
    python: str,
    target: Target,
    *,
    refresh: bool,
) -> Resolved | None:
    from seatrial.images.solving.solve import changes, solve

    asked = {f"{number}:{one.name}": one for number, one in enumerate(install.requests) if one.name}
    if not asked or all(one.locked for one in asked.values()):
        return None  # a lock is an answer
    asks = [ask(name, one) for name, one in asked.items()]
    setting = _setting(install, before, contents, target)
    refused: tuple[Setting, Solution] | None = None
    for version in (python,) if python else LIKELY_PYTHONS:
        here = msgspec.structs.replace(setting, python=version)
        found = solve(asks, here, refresh=refresh)
        if found.status == "unknown":
            return Resolved(reason=found.reason or "the index did not answer")
        if found.status == "satisfied":
            # A Python that is only likely decides nothing, and what could not be read may ask for other versions.
            decided = _decided(found, install, before, contents) if python and not install.unread else {}
            return Resolved(versions=decided)
        refused = refused or (here, found)
    if refused is None or refused[1].conflict is None:
        return None
    here, found = refused
    if found.conflict is None or (not python and found.conflict.kind == "python"):
        return None  # there are older Pythons than those that were tried
    nearest = partial(changes, asks, here, found, refresh=refresh)
    doubt = _doubt(found.conflict, base, contents)
    return Resolved(conflict=found.conflict, asked=asked, changes=nearest, doubt=doubt)


def _doubt(conflict: Conflict, base: Base | None, contents: Contents | None) -> str:
    """Why something that is not on the index may be there all the same."""
    missing = conflict.kind != "conflict" or any(not one.other for one in conflict.chain)
    labelled = "+" in conflict.message
    if missing and base is not None and contents is None:
        return "the base image may have an index of its own"
    if missing and labelled and base is None:
        return "its index may be given where the file is installed"
    return ""


def _decided(
    found: Solution, install: Install, before: Mapping[str, Package], contents: Contents | None
) -> dict[str, str]:
    """The versions that the answer tells.

    None where it had to take another index, and no torch where one was left out. A package that is there, or is likely
    to be, in a version that is not known, may stay: it is not decided.
    """
    from seatrial.images.timeline.variant import FAMILY

    if found.left_out and install.index:
        return {}
    asked = {one.name for one in install.requests}
    unsure = {one for one in _EVERYWHERE if one not in asked}
    unsure |= {name for name, one in before.items() if not one.versions or not one.certain}
    if found.left_out:
        unsure |= FAMILY
    if contents is not None and not contents.bare:
        unsure |= {*contents.packages, *contents.present}
    return {name: version for name, version in found.versions.items() if name not in unsure}


def ask(identity: str, one: Request) -> Ask:
    from seatrial.images.solving.model import Ask

    return Ask(
        id=identity,
        name=one.name,
        specifier=one.specifier if not one.url else "",
        extras=one.extras,
        marker=one.marker,
        url=one.url,
        index=one.index,
    )


def _setting(
    install: Install, before: Mapping[str, Package], contents: Contents | None, target: Target
) -> Setting:
    from seatrial.images.solving.model import Setting

    anew = install.flags & {"force-reinstall", "ignore-installed", "upgrade"}
    usual = Setting()
    return Setting(
        platform=PLATFORMS[target.architecture],
        glibc=(contents.glibc if contents is not None else None) or target.glibc or usual.glibc,
        index=install.index,
        extra_indexes=install.extra_indexes,
        find_links=install.find_links,
        no_index="no-index" in install.flags,
        first_index=install.tool == "uv",
        constraints=tuple(
            ask(f"c{number}", one) for number, one in enumerate(install.constraints) if one.name
        ),
        installed={}
        if anew
        else {name: one.likely for name, one in before.items() if one.likely and one.certain},
        pre="pre" in install.flags,
        no_deps="no-deps" in install.flags,
    )
