"""Asks that no release answers: the package, the version, or a file for this Python or this platform is not there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images.solving.distance import anchor, nearest, parsed
from seatrial.images.solving.model import Conflict
from seatrial.images.solving.releases import File, Release, wheel_tags
from seatrial.images.solving.settle import known_releases
from seatrial.images.target import tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seatrial.images.solving.asking import Question
    from seatrial.images.solving.derivation import Fact
    from seatrial.images.solving.model import Ask, Setting
    from seatrial.images.solving.settle import Means


def missing(question: Question, found: Sequence[Fact], means: Means) -> Conflict | None:
    """The first ask that cannot be answered whatever else is asked; None: each could be, alone."""
    if len(question.asks) + len(question.constraints) != 1:
        return None
    for ask in (*question.asks, *question.constraints):
        known = known_releases(question, ask.name, means)
        if not known:
            absent = any(fact.kind == "absent" and fact.subject.name == ask.name for fact in found)
            return _no_package(ask) if absent else None
        fitting = _fitting(ask.specifier, known)
        if not fitting:
            return _no_version(ask, known)
        stood_in = question.stand_ins.get(ask.name, {})
        if not any(one.wheels or one.version in stood_in for one in fitting):
            return _no_file(ask, fitting, known, question.setting)
    return None


def _fitting(specifier: str, known: dict[str, Release]) -> list[Release]:
    from packaging.specifiers import SpecifierSet

    versions = SpecifierSet(specifier)
    final = [one for one in known.values() if versions.contains(one.version)]
    return final or [one for one in known.values() if versions.contains(one.version, prereleases=True)]


def _no_package(ask: Ask) -> Conflict:
    return Conflict(
        kind="no-such-package", message=f"no index that was asked has a package named {ask.name}", asks=()
    )


def _no_version(ask: Ask, known: dict[str, Release]) -> Conflict:
    asked = anchor(ask.specifier)
    usable = [version for version, one in known.items() if one.usable and one.yanked is None]
    near = nearest(asked, usable) if asked else tuple(usable[-3:])
    message = f"there is no {ask.name}{ask.specifier}"
    if asked and "+" in asked and asked.partition("+")[0] in known:
        label = asked.partition("+")[2]
        message += (
            f": {asked.partition('+')[0]} exists, but the build {label} is not on the index that is asked"
        )
    elif near:
        message += f"; the nearest are {', '.join(near)}" if len(near) > 1 else f"; there is {near[0]}"
    return Conflict(kind="no-such-version", message=message, asks=(), available=near)


def _no_file(ask: Ask, fitting: list[Release], known: dict[str, Release], setting: Setting) -> Conflict:
    """The versions exist, without a file that the target could use."""
    files = [file for one in fitting for file in one.others]
    usable = [version for version, one in known.items() if one.wheels and one.yanked is None]
    asked = anchor(ask.specifier) or fitting[-1].version
    near = nearest(asked, usable)
    said = f"; the nearest that has is {nearest(asked, usable, 1)[0]}" if usable else ""
    what = f"{ask.name}{ask.specifier}"
    accepted = _platforms(setting)
    fits_platform = [one for one in files if not one.wheel or set(wheel_tags(one.name)[2]) & accepted]
    if fits_platform:
        for_python = _pythons(fits_platform)
        only = f", only for {for_python}" if for_python else ""
        return Conflict(
            kind="python",
            message=f"{what} has no file for Python {setting.target.python}{only}{said}",
            asks=(),
            available=near,
        )
    names = sorted({tag for one in files if one.wheel for tag in wheel_tags(one.name)[2]})
    only = f", only for {', '.join(names[:4])}{', …' if len(names) > 4 else ''}" if names else ""  # noqa: PLR2004 - enough to see it
    where = f"{setting.platform} with glibc {setting.glibc}"
    return Conflict(
        kind="platform", message=f"{what} has no wheel for {where}{only}{said}", asks=(), available=near
    )


def _platforms(setting: Setting) -> set[str]:
    return {tag.platform for tag in tags(setting.target)}


def _pythons(files: Iterable[File]) -> str:
    """The Pythons that files say they are for, as `Python 3.8 to 3.11`, or as Requires-Python says it."""
    files = list(files)
    found = {
        f"{match[1]}.{match[2]}"
        for one in files
        if one.wheel
        for tag in wheel_tags(one.name)[0]
        if (match := re.fullmatch(r"cp(\d)(\d+)", tag))
    }
    if not found:
        stated = sorted({one.python for one in files if one.python})
        return f"Python {stated[0]}" if len(stated) == 1 else ""
    ordered = sorted(found, key=parsed)
    return f"Python {ordered[0]}" + (f" to {ordered[-1]}" if len(ordered) > 1 else "")
