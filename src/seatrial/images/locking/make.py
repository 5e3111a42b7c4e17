"""Solve all installs of the final image together, and find the hashes of what is chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError, UsageError
from seatrial.images.locking.final import Final, final
from seatrial.images.locking.gather import Gathered, gather, indexes
from seatrial.images.locking.model import Left, Locked, Pin
from seatrial.images.resolving import PLATFORMS, ask, resolver
from seatrial.images.rules import resolved
from seatrial.images.solving.model import Ask, Setting, Solution
from seatrial.images.solving.places import shown
from seatrial.images.solving.published import Published, places, published
from seatrial.images.solving.solve import solve
from seatrial.images.uv_program import without_credentials

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from seatrial.images.solving.releases import File, Release
    from seatrial.images.story.model import Install, Story
    from seatrial.images.timeline.model import Target

_THERE = "installed:"
_SHOW = "`seatrial image fix --diff` shows the smallest change"


def lock(story: Story, target: Target, *, refresh: bool = False) -> Locked:
    """What the final image of a story gets beside its base, pinned.

    Installs are followed one after the other, as in a build; then all of them are solved together, keeping to those
    versions, so that the result is a set that an installer accepts. `refresh` asks the index again.

    Raises:
        SeatrialError: the installs contradict each other, the index cannot be asked, or there is nothing to pin.
        UsageError: which Python the image has is not known.
        MissingToolError: uv is not installed.
    """
    origin = _origin(final(story, target, None), story)
    here = final(story, target, resolver(refresh=refresh))
    _refuse(here)
    wanted = gather(here)
    setting = _setting(here, wanted)
    asks = _asks(wanted, setting)
    solution = _solve(asks, setting, wanted, origin, refresh=refresh)
    builds = _out_of_reach(solution.versions, asks, setting, wanted)
    if builds:
        asks, setting = _with_builds(builds, asks, setting)
        solution = _solve(asks, setting, wanted, origin, refresh=refresh)
    versions = {**solution.versions, **wanted.exact}
    listed = published(versions, asks, setting, refresh=refresh)
    pins, left = _pins(versions, listed, wanted)
    if not pins:
        reasons = dict.fromkeys(f"{one.text}: {one.reason}" for one in (*wanted.left, *left))
        raise SeatrialError(
            "nothing that the final image installs can be pinned",
            where=origin,
            why="; ".join(reasons) or None,
        )
    base = here.own.root.base
    return Locked(
        origin=origin,
        target=setting.target,
        base=base.reference or base.written if base is not None else "",
        pins=pins,
        left=(*wanted.left, *left),
        brought=wanted.brought,
        conda=wanted.conda,
        unseen=tuple(f"{one.name} {one.version}" for one in pins if one.name in solution.unseen),
        bare=bool(wanted.exact),
        notes=_notes(here, wanted, solution, left),
        **_addresses(setting, asks, listed),
    )


def _origin(here: Final, story: Story) -> str:
    """The file that the image is made from, after a look at what can be seen without asking anybody."""
    first = next((one.install for one in here.moments if one.install.requests), None)
    origin = story.dockerfile or (
        first.at.source if first is not None else next(iter(story.sources.values()))
    )
    if first is None:
        raise SeatrialError("the final image installs no Python packages", where=origin.path)
    if not here.python:
        raise UsageError(
            "which Python the packages are installed for is not known",
            where=origin.path,
            why="the versions and files of packages depend on it",
            fix="say it: --target python=3.11",
        )
    return origin.path


def _refuse(here: Final) -> None:
    """What one install asks for may contradict itself: then there is no set to write."""
    for line in here.parts:
        for one in resolved.check(line):
            finding = one.finding
            if finding.severity == "error":
                raise SeatrialError(
                    finding.message,
                    where=f"{finding.path}:{finding.line}:{finding.column}",
                    why=finding.cause or None,
                    fix=_SHOW,
                )


def _setting(here: Final, wanted: Gathered) -> Setting:
    """One for all installs: what they share is kept, what one of them asks for itself goes with its requests."""
    contents, target = here.own.base, here.own.target
    usual = Setting()
    defaults = {one.index for one in wanted.installs}
    stays = {
        name: one.exact
        for name, one in here.packages.items()
        if one.exact and one.certain and name not in wanted.there
    }
    return Setting(
        python=here.python,
        platform=PLATFORMS[target.architecture],
        glibc=(contents.glibc if contents is not None else None) or target.glibc or usual.glibc,
        index=next(iter(defaults)) if len(defaults) == 1 else "",
        extra_indexes=indexes(wanted.installs, "extra_indexes"),
        find_links=indexes(wanted.installs, "find_links"),
        no_index=bool(wanted.installs) and all("no-index" in one.flags for one in wanted.installs),
        first_index=bool(wanted.installs) and all(map(_first_index, wanted.installs)),
        constraints=tuple(
            ask(f"c{number}:{place}", one)
            for number, install in enumerate(wanted.installs)
            for place, one in enumerate(install.constraints)
            if one.name
        ),
        installed=stays,
        pre=any("pre" in one.flags for one in wanted.installs),
    )


def _first_index(install: Install) -> bool:
    return install.tool == "uv" and not any(one.startswith("index-strategy=unsafe") for one in install.flags)


def _asks(wanted: Gathered, setting: Setting) -> tuple[Ask, ...]:
    """What is asked for, each with the index that it alone is asked from."""
    return tuple(
        msgspec.structs.replace(one, index="" if one.index == setting.index else one.index)
        for one in wanted.asks
    )


def _out_of_reach(
    versions: Mapping[str, str], asks: Iterable[Ask], setting: Setting, wanted: Gathered
) -> dict[str, str]:
    """Packages that come as a build from an index that cannot be asked from here, as `2.4.0+cu118`."""
    reached = places(tuple(asks), setting)
    return {
        name: f"{versions[name]}+{label}"
        for name, (label, address) in wanted.labels.items()
        if name in versions
        and "+" not in versions[name]
        and address not in (*reached.indexes, *reached.find_links)
    }


def _with_builds(
    builds: Mapping[str, str], asks: Iterable[Ask], setting: Setting
) -> tuple[tuple[Ask, ...], Setting]:
    """Ask for those builds: what they need is known from their release, but for the libraries of the device."""
    pinned = tuple(
        msgspec.structs.replace(one, specifier=f"=={builds[one.name]}") if one.name in builds else one
        for one in asks
    )
    limits = [Ask(id=f"b:{name}", name=name, specifier=f"=={version}") for name, version in builds.items()]
    return pinned, msgspec.structs.replace(
        setting,
        constraints=(*setting.constraints, *limits),
        installed={
            **setting.installed,
            **{name: one for name, one in builds.items() if name in setting.installed},
        },
    )


def _solve(
    asks: tuple[Ask, ...], setting: Setting, wanted: Gathered, origin: str, *, refresh: bool
) -> Solution:
    if not asks:
        return Solution(status="satisfied")
    # An ask from a place that nobody can be asked at counts as there: nobody else's need of it brings it in.
    there = [Ask(id=f"t:{name}", name=name, url=f"{_THERE}{name}") for name in sorted(wanted.there)]
    found = solve([*asks, *there], setting, refresh=refresh)
    if found.status == "satisfied":
        return found
    if found.conflict is not None and found.status == "unsatisfiable":
        involved = [wanted.asked[one] for one in found.conflict.asks if one in wanted.asked]
        raise SeatrialError(
            found.conflict.message,
            where=str(involved[-1].at.place) if involved else None,
            why="; ".join(str(link) for link in found.conflict.chain) or None,
            fix="an installer that runs one command after the other leaves such a set behind; change one of the requests",
        )
    raise SeatrialError(
        f"which versions are installed cannot be told: {found.reason}", where=origin, fix=found.remedy or None
    )


def _pins(
    versions: Mapping[str, str], listed: Published, wanted: Gathered
) -> tuple[tuple[Pin, ...], tuple[Left, ...]]:
    pins: list[Pin] = []
    left: list[Left] = []
    for name, version in sorted(versions.items()):
        release = listed.releases.get(name)
        usable = _hashed(release.wheels or release.sources) if release is not None else ()
        if release is None or not usable:
            left.append(Left(f"{name}=={version}", _no_hash(name, release, listed, wanted)))
            continue
        files = _hashed((*release.wheels, *release.sources, *release.others))
        pins.append(Pin(name=name, version=version, files=files, usable=usable))
    return tuple(pins), tuple(left)


def _hashed(files: Iterable[File]) -> tuple[File, ...]:
    return tuple(sorted((one for one in files if one.sha256), key=lambda one: one.name))


def _no_hash(name: str, release: Release | None, listed: Published, wanted: Gathered) -> str:
    _, address = wanted.labels.get(name, ("", ""))
    if address and shown(address) in listed.places.left_out:
        return (
            f"{shown(address)} cannot be asked from here, so its hash is not known; install it from there first, "
            "with what it needs"
        )
    if release is not None:
        return "the index lists it without a hash"
    return "no index that can be asked from here lists it"


def _addresses(setting: Setting, asks: Iterable[Ask], listed: Published) -> dict[str, Any]:
    """The places that the files name and that were asked."""
    asked = listed.places
    extras = (*setting.extra_indexes, *(one.index for one in asks if one.index))
    return {
        "index": without_credentials(setting.index) if setting.index == asked.default else "",
        "extra_indexes": _shared(extras, asked.extras),
        "find_links": _shared(setting.find_links, asked.find_links),
    }


def _shared(named: Iterable[str], asked: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(without_credentials(one) for one in named if one in asked))


def _notes(here: Final, wanted: Gathered, solution: Solution, left: Iterable[Left]) -> tuple[str, ...]:
    notes = [*wanted.notes, *(one for one in solution.notes if _THERE not in one)]
    notes += [f"{one.text} is not pinned: {one.reason}" for one in (*wanted.left, *left)]
    notes += [
        f"{name} {solution.versions[name]} has no wheel for the target: an installer builds it from its source"
        for name in solution.built
    ]
    contents = here.own.base
    if (
        here.own.root.base is not None
        and not here.own.environment
        and not (contents is not None and contents.bare)
    ):
        notes.append(
            "not all that the base has is known: where it has a package in another version already, an image installs "
            "the one of this lock instead"
        )
    if (contents is None or not contents.glibc) and not here.own.target.glibc:
        notes.append(
            f"which C library the image has is not known: wheels for glibc {Setting().glibc} were taken; "
            "--target glibc=2.31 says another"
        )
    return tuple(dict.fromkeys(notes))
