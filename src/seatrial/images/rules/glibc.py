"""image/glibc: wheels that need a newer C library than the base image has, or another one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.findings import Rule
from seatrial.images import catalog, edit, facts
from seatrial.images.catalog import systems
from seatrial.images.facts.versions import parsed
from seatrial.images.rules import rebasing, torch_fixes
from seatrial.images.rules.verdict import Verdict, place, shown, verdict
from seatrial.images.timeline.variant import DEFAULT_INDEX, index_of, of_index
from seatrial.images.timeline.versions import higher

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.findings import Fix, Severity
    from seatrial.images.facts import Release
    from seatrial.images.timeline.model import Package, Timeline

RULE = Rule(
    id="image/glibc",
    severity="error",
    title="The base image's C library is too old for a wheel",
    explanation=(
        "A wheel for Linux says which glibc it needs: torch from 2.7 on needs 2.28, which Ubuntu 18.04, CentOS 7 and Amazon "
        "Linux 2 do not have. Alpine has no glibc at all, and the large packages have no wheels for it. pip then finds no "
        "version, or tries to compile for hours. An error when the release that is asked for has wheels, none that fits, and "
        "no source distribution; a warning when pip would compile it. Where versions are open pip takes an older release by "
        "itself, and nothing is said. The fix starts from a newer release of the same system, or takes the newest release with "
        "a wheel that fits."
    ),
    source="https://peps.python.org/pep-0600/",
    example="FROM nvidia/cuda:11.8.0-cudnn8-devel-ubuntu18.04\nRUN pip install torch==2.7.1\n",
)

RULES = (RULE,)


def check(timeline: Timeline) -> list[Verdict]:
    """Every package that is asked for, in every environment that can come out."""
    base = timeline.base
    if timeline.target.architecture != "x86_64":
        return []
    musl = base is not None and base.libc == "musl"
    have = _glibc(timeline)
    if not musl and not have:
        return []
    found: list[Verdict] = []
    for scene in timeline.scenes():
        for package in scene.values():
            if _from_wheels(package):
                found += _without_wheel(timeline, package, "" if musl else have)
    return found


def _glibc(timeline: Timeline) -> str:
    base = timeline.base
    if base is not None:
        return base.glibc if base.glibc and not base.unverified & {"glibc", "libc", "os"} else ""
    return timeline.target.glibc if timeline.root.base is None else ""


def _from_wheels(package: Package) -> bool:
    """Whether a package comes from an index that has what the public one has, and is asked for by name."""
    install, request = package.install, package.request
    if install is None or request is None or request.url or install.tool == "conda" or install.find_links:
        return False
    index = index_of(request, install)
    known = not index or bool(DEFAULT_INDEX.match(index)) or bool(of_index(index))
    return known and not install.flags & {"no-index"} and all(map(of_index, install.extra_indexes))


def _without_wheel(timeline: Timeline, package: Package, have: str) -> Iterator[Verdict]:
    """`have` is the glibc of the image, empty where it has another C library."""
    releases = [facts.release(package.name, one) for one in package.versions]
    known = [one for one in releases if one is not None]
    if not known or len(known) < len(releases) or not all(_too_new(one, have) for one in known):
        return
    first = known[0]
    severity: Severity = "error" if package.certain and not any(one.sdist for one in known) else "warning"
    if severity == "warning" and not have:
        return  # whether it has wheels for musl is not in the tables
    where = _named(timeline)
    words = f"{shown(package)} has no wheel for {where}: it needs glibc {first.glibc}"
    words += f", and there is {have}" if have else ", and Alpine has musl"
    yield verdict(
        RULE,
        severity,
        place(timeline, package),
        words,
        about=(package.name, "glibc"),
        cause=(
            "`No matching distribution found`"
            if severity == "error"
            else "pip downloads the source distribution and compiles it, which mostly fails"
        ),
        source=f"https://pypi.org/project/{package.name}/{first.version}/#files",
        fixes=_fixes(timeline, package, first, have),
    )


def _too_new(one: Release, have: str) -> bool:
    return bool(one.glibc) and bool(one.linux) and (not have or higher(one.glibc, have))


def _named(timeline: Timeline) -> str:
    base = timeline.base
    return f"{base.family}:{base.tag}" if base is not None else "the target"


def _fixes(timeline: Timeline, package: Package, release: Release, have: str) -> Iterator[Fix | None]:
    yield from _newer_systems(timeline, release.glibc)
    for one in facts.releases(package.name) if have else ():
        usable = one.yanked is None and one.glibc and not parsed(one.version).is_prerelease
        if not usable or _too_new(one, have) or not facts.installs(one, timeline.python.version):
            continue
        if package.name == "torch":
            yield torch_fixes.repinned(timeline, timeline.final, one.version)
        else:
            title = f"Pin {package.name} to {one.version}"
            yield edit.fix(title, torch_fixes.pins(timeline, package.name, one.version))
        return


def _newer_systems(timeline: Timeline, glibc: str) -> Iterator[Fix | None]:
    """The same image on the next release of its distribution that is new enough; for Alpine, on Debian."""
    base = timeline.base
    if base is None or base.os is None:
        return
    if base.libc == "musl" and base.family == "python":
        yield rebasing.rebased(timeline, re.sub(r"alpine[\d.]*", "slim", base.tag))
        return
    for system in systems.later(base.os):
        row = systems.known(system)
        if not row.glibc or higher(glibc, row.glibc):
            continue
        for old, new in zip(systems.spellings(base.os), systems.spellings(system), strict=True):
            tag = base.tag.replace(old, new) if old and new and old in base.tag else ""
            contents = catalog.identify(f"{base.reference.rpartition(':')[0]}:{tag}") if tag else None
            if contents is not None and contents.os == system and contents.removed is None:
                yield rebasing.rebased(timeline, tag)
                return
