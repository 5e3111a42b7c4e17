"""uv decides the versions; what it cannot see without building gets a stand-in, is built here, and uv is asked again.

uv sees wheels only, so it never runs anything. A stand-in is a wheel without content that says what the real one needs.
"""

from __future__ import annotations

import re
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.assemble.store import scratch
from seatrial.images.inputs.choosing import Picked, Rules, ToBuild, choose
from seatrial.images.inputs.explaining import explain_failure
from seatrial.images.inputs.listing import sources_of
from seatrial.images.inputs.making import Made, Means, make, refused
from seatrial.images.inputs.model import Unbuilt
from seatrial.images.inputs.uv_files import State, environment, name_in, needs_of, write
from seatrial.images.solving.metadata import Needs
from seatrial.images.solving.settle import unbuilt
from seatrial.images.target import uv_platform
from seatrial.images.uv_program import clean, failure, find_uv
from seatrial.processes import Completed, run

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from seatrial.images.inputs.asked import Asked, Gap

_ROUNDS = 24
# A folder may have nothing but a source archive of a package; to uv it is not there then.
_ABSENT = re.compile(r"\b([a-z0-9][a-z0-9-]*) was not found in the ")


class Settled(msgspec.Struct, frozen=True):
    """What an image gets: wheels that are there, and wheels that were built."""

    picked: tuple[Picked, ...] = ()
    made: tuple[Made, ...] = ()
    notes: tuple[str, ...] = ()


def settle(asked: Asked, means: Means) -> Settled:
    """The wheels that satisfy what is asked, some of them built for it.

    Raises:
        SeatrialError: the requirements contradict each other, something cannot be had, or must or can not be built.
        MissingToolError: uv is not installed.
    """
    state = State(asked)
    if means.build is None and asked.gaps:
        raise refused([gap.unbuilt for gap in asked.gaps])
    for gap in asked.gaps:
        _build_gap(gap, state, means)
    with scratch() as folder:  # 0700: the addresses in it stay ours, also when this process is killed
        for _ in range(_ROUNDS):
            done, output = _ask(state, means, folder)
            if done.code != 0:
                if not _add_listed(done, state, means):
                    raise _explained(done, state, means)
                continue
            packages = tomllib.loads(output).get("packages", [])
            if not _learn(packages, state, means):
                return _settled(packages, state, means)
    raise SeatrialError("the packages that have to be built ask for ever new versions", where=str(means.root))


def _build_gap(gap: Gap, state: State, means: Means) -> None:
    if gap.unbuilt in state.gaps:
        return
    allowed = state.asked.hashes.get(gap.unbuilt.name, frozenset()) if state.asked.hashed else frozenset()
    made = make(gap.unbuilt, means, allowed=allowed)
    name = gap.unbuilt.name
    if name and made.built.wheel.name != name:
        raise SeatrialError(
            f"{name} was asked for, and what is there is {made.built.wheel.name}",
            where=gap.unbuilt.where or None, fix=f"ask for it as {made.built.wheel.name}",
        )  # fmt: skip
    state.gaps[gap.unbuilt] = made


def _ask(state: State, means: Means, folder: Path) -> tuple[Completed, str]:
    names = write(state, means, folder)
    out = folder / "chosen" / "pylock.toml"
    out.parent.mkdir(exist_ok=True)
    out.unlink(missing_ok=True)
    argv = [
        find_uv(), "pip", "compile", *names,
        *(["--overrides", str(folder / "overrides.txt")] if state.asked.overrides else []),
        *(["--constraints", str(folder / "limits.txt")] if state.asked.constraints else []),
        "--output-file", str(out), "--format", "pylock.toml", "--only-binary", ":all:",
        "--python-version", means.python or means.target.python, "--python-platform", uv_platform(means.target),
        "--python", sys.executable, "--no-python-downloads", "--no-header",
        *([] if state.asked.placed else ["--no-sources"]),
        *(["--no-deps"] if state.asked.no_deps else []),
        *(["--offline"] if means.offline else []),
        *(["--refresh"] if means.refresh and not means.offline and not means.env.get("UV_OFFLINE") else []),
    ]  # fmt: skip
    done = run(argv, cwd=means.root, env=environment(means, folder))
    return done, out.read_text("utf-8") if done.code == 0 else ""


def _add_listed(done: Completed, state: State, means: Means) -> bool:
    """Give a stand-in to each source archive of the packages that uv saw no wheel of; False: there is none to add."""
    if failure(done) not in ("no-wheel", "unsatisfiable"):
        return False
    refused_by_file = state.asked.only_binary
    text = clean(done.stderr)
    names = (unbuilt(text) | set(_ABSENT.findall(text))) - state.listed.keys()
    if ":all:" in refused_by_file:
        names = set()
    found = {name: sources_of(name, state.asked, means) for name in sorted(names - refused_by_file)}
    if any(found.values()) and means.build is None:
        raise refused(
            [
                Unbuilt(kind="sdist", url=name, name=name, where=str(means.root))
                for name, some in found.items()
                if some
            ]
        )
    state.listed |= found
    for name, some in found.items():
        state.assumed[name] = dict.fromkeys(some)
        for line, _ in state.asked.placed:
            if some and name_in(line) == name:
                state.fixed[name] = _newest(line, some)
    return any(found.values())


def _newest(line: str, listed: Iterable[str]) -> str:
    """The version that a requirement would get; where none fits, any will show why."""
    from packaging.requirements import Requirement
    from packaging.version import Version

    ordered = sorted(listed, key=Version)
    specifier = Requirement(line).specifier
    fitting = [*specifier.filter(ordered)]
    return (fitting or ordered)[-1]


def _learn(packages: Iterable[dict[str, Any]], state: State, means: Means) -> bool:
    """Build the chosen stand-ins. True: one of them needs something else than was assumed."""
    changed = False
    for name, version in _stood_in(packages, state):
        if (name, version) in state.made:
            continue
        one = state.listed[name][version]
        source = Unbuilt(
            kind="sdist",
            url=one.address,
            name=name,
            version=version,
            sha256=one.sha256,
            where=_where(name, state),
        )
        allowed = state.asked.hashes.get(name, frozenset()) if state.asked.hashed else frozenset()
        if state.asked.hashed and not allowed:
            raise SeatrialError(
                f"{name} has no hash", where=source.where or None,
                why="one requirement has `--hash`, so every package needs one", fix="write the hashes again",
            )  # fmt: skip
        made = make(source, means, allowed=allowed, filename=one.filename, indexed=True)
        state.made[name, version] = made
        needs = needs_of(made.built.metadata)
        if needs != (state.assumed[name][version] or Needs()):
            changed = True
        state.assumed[name] = {**state.assumed[name], version: needs}
    return changed


def _stood_in(packages: Iterable[dict[str, Any]], state: State) -> list[tuple[str, str]]:
    from packaging.utils import canonicalize_version

    found: list[tuple[str, str]] = []
    for package in packages:
        name, wanted = package["name"], canonicalize_version(str(package.get("version", "")))
        if "wheels" in package or name in state.fixed:
            found += [
                (name, one) for one in state.assumed.get(name, {}) if canonicalize_version(one) == wanted
            ]
    return found


def _where(name: str, state: State) -> str:
    return str(state.asked.files[0]) if state.asked.files else name


def _settled(packages: list[dict[str, Any]], state: State, means: Means) -> Settled:
    rules = Rules(
        folder=means.root, hashed=state.asked.hashed, hashes=state.asked.hashes,
        where=str(state.asked.files[0]) if state.asked.files else "",
    )  # fmt: skip
    gaps = {made.built.wheel.name: made for made in state.gaps.values()}
    stood_in = dict(_stood_in(packages, state))
    picked: list[Picked] = []
    made: list[Made] = []
    for package in packages:
        name = package["name"]
        if name in gaps and "archive" in package:
            made.append(gaps[name])
        elif name in stood_in:
            made.append(state.made[name, stood_in[name]])
        else:
            choice = _from_source(package, state, means) or choose(package, means, rules)
            if isinstance(choice, Picked):
                picked.append(choice)
            elif isinstance(choice, ToBuild):
                made.append(
                    make(
                        choice.source,
                        means,
                        allowed=choice.allowed,
                        filename=choice.filename,
                        indexed=choice.indexed,
                    )
                )
            else:
                raise SeatrialError(
                    f"nobody says where {choice.name} {choice.version} is", where=rules.where or None
                )
    return Settled(tuple(picked), tuple(made), state.asked.notes)


def _from_source(package: dict[str, Any], state: State, means: Means) -> ToBuild | None:
    """A package that `--no-binary` names comes from the archive of the version that was chosen."""
    name, version = package["name"], str(package.get("version", ""))
    if not state.asked.no_binary & {name, ":all:"} or "wheels" not in package:
        return None
    one = sources_of(name, state.asked, means).get(version)
    if one is None:
        raise SeatrialError(
            f"{name} {version} has no source archive", where=_where(name, state), why="`--no-binary` asks for it",
            fix="leave the option out for this package",
        )  # fmt: skip
    source = Unbuilt(
        kind="sdist",
        url=one.address,
        name=name,
        version=version,
        sha256=one.sha256,
        where=_where(name, state),
    )
    if means.build is None:
        raise refused([source])
    allowed = state.asked.hashes.get(name, frozenset()) if state.asked.hashed else frozenset()
    return ToBuild(source, one.filename, allowed, indexed=True)


def _explained(done: Completed, state: State, means: Means) -> SeatrialError:
    where = str(state.asked.files[0]) if state.asked.files else str(means.root)
    return explain_failure(done, where, means.target, offline=means.offline)
