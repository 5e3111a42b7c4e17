"""pylock.toml: the packages whose markers hold for the target, each by its best file.

Source: https://packaging.python.org/en/latest/specifications/pylock-toml/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError, UsageError
from seatrial.images.inputs.choosing import Picked, Rules, ToBuild, Unplaced, choose
from seatrial.images.inputs.environment import allows, holds, marker_environment
from seatrial.images.inputs.making import Made, Means, make, refused
from seatrial.images.inputs.pinned import asked_of_pins
from seatrial.images.inputs.solving import Settled, settle
from seatrial.images.story.requests import normalised
from seatrial.sources import text, toml

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_MAJOR = "1"
_NAMED = 8


def settle_pylock(
    path: Path,
    means: Means,
    *,
    extras: Iterable[str] = (),
    groups: Iterable[str] = (),
    without: Iterable[str] = (),
) -> Settled:
    """What a pylock.toml installs on the target, with these extras and dependency groups, but for `without`.

    Raises:
        SourceError: it is not TOML.
        UsageError: it has no such extra or group.
        SeatrialError: it is for other targets, or a package has no file that can be had.
    """
    data = toml.read(text.read(path, str(path)))
    if not isinstance(data.get("packages", []), list) or "lock-version" not in data:
        raise SeatrialError(
            "this is no pylock.toml", where=str(path), why="it has no `lock-version` and `packages`"
        )
    chosen = _known(data, "extras", "extra", extras, path)
    picked = _known(data, "dependency-groups", "group", groups, path)
    defaults = [str(one) for one in data.get("default-groups", ())]
    return settle_packages(
        data, Rules(folder=path.parent, where=str(path)), means,
        extras=chosen, groups=(*defaults, *picked), without=without,
    )  # fmt: skip


def settle_packages(
    data: dict[str, Any],
    rules: Rules,
    means: Means,
    *,
    extras: Iterable[str] = (),
    groups: Iterable[str] = (),
    without: Iterable[str] = (),
) -> Settled:
    """As `settle_pylock`, of a content; packages named `without` are left out.

    Raises:
        SeatrialError: it is for other targets, or a package has no file that can be had.
    """
    _check_target(data, means, rules)
    environment = marker_environment(means.target, means.python)
    chosen: dict[str, Picked | ToBuild | Unplaced] = {}
    passed: list[str] = []
    for package in data.get("packages", ()):
        name = normalised(str(package["name"]))
        where = f"{rules.where}: {name}"
        marker = str(package.get("marker", ""))
        if name in without or not holds(marker, environment, extras=extras, groups=groups, where=where):
            passed += [name] if "extras" not in marker and "dependency_groups" not in marker else []
            continue
        if name in chosen:
            raise SeatrialError(
                f"{name} is in the lock twice for {means.target}", where=rules.where,
                fix="lock again with the tool that wrote it",
            )  # fmt: skip
        _check_python(package, name, means, rules)
        chosen[name] = _placed(choose({**package, "name": name}, means, rules), package)
    notes = _left_out(sorted({*passed} - {*chosen} - {*without}), means)
    linked = sorted(n for n, one in chosen.items() if isinstance(one, ToBuild) and one.source.editable)
    if linked:
        notes.append(f"the image gets copies of {', '.join(linked)}, not links to them as the lock says")
    return _settled(list(chosen.values()), tuple(notes), means)


def _left_out(names: list[str], means: Means) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return [f"of the lock, not for {means.target}: {', '.join(names[:_NAMED])}{more}"]


def _settled(choices: list[Picked | ToBuild | Unplaced], notes: tuple[str, ...], means: Means) -> Settled:
    to_build = [one for one in choices if isinstance(one, ToBuild)]
    if to_build and means.build is None:
        raise refused([one.source for one in to_build])
    done = Settled(tuple(one for one in choices if isinstance(one, Picked)), (), notes)
    unplaced = [one for one in choices if isinstance(one, Unplaced)]
    if unplaced:
        asked = settle(asked_of_pins(unplaced), means)
        done = Settled(done.picked + asked.picked, asked.made, done.notes + asked.notes)
    made: list[Made] = [
        make(one.source, means, allowed=one.allowed, filename=one.filename, indexed=one.indexed)
        for one in to_build
    ]
    return msgspec.structs.replace(done, made=done.made + tuple(made))


def _placed(choice: Picked | ToBuild | Unplaced, package: dict[str, Any]) -> Picked | ToBuild | Unplaced:
    """A file without an address is looked for where the lock says that the package is from."""
    if not isinstance(choice, Unplaced):
        return choice
    listed = [*package.get("wheels", ()), *([package["sdist"]] if "sdist" in package else [])]
    hashes = frozenset(str(one.get("hashes", {}).get("sha256", "")) for one in listed) - {""}
    return msgspec.structs.replace(choice, hashes=hashes, index=str(package.get("index", "")))


def _check_target(data: dict[str, Any], means: Means, rules: Rules) -> None:
    version = str(data.get("lock-version", ""))
    if version.partition(".")[0] != _MAJOR:
        raise SeatrialError(
            f"lock version {version} is not known", where=rules.where, fix="write it as version 1.0"
        )
    environment = marker_environment(means.target, means.python)
    listed = [str(one) for one in data.get("environments", ())]
    if listed and not any(holds(one, environment, where=rules.where) for one in listed):
        raise SeatrialError(
            f"the lock is not for {means.target}", where=rules.where, why=f"it is for {' or '.join(listed)}",
            fix="lock for this target as well, or choose another base",
        )  # fmt: skip
    _check_python(data, "the lock", means, rules)


def _check_python(data: dict[str, Any], what: str, means: Means, rules: Rules) -> None:
    said = str(data.get("requires-python", ""))
    if said and not allows(said, means.target, means.python):
        raise SeatrialError(
            f"{what} needs Python {said}, and the base has {means.python or means.target.python}", where=rules.where,
            fix="choose a base with a Python that fits, or lock for this one",
        )  # fmt: skip


def _known(data: dict[str, Any], key: str, kind: str, wanted: Iterable[str], path: Path) -> list[str]:
    known = {normalised(str(one)) for one in data.get(key, ())}
    names = [normalised(one) for one in wanted]
    for name in names:
        if name not in known:
            listed = (
                f"choose one of: {', '.join(sorted(known))}"
                if known
                else f"leave `--{kind}` out, or lock with it"
            )
            raise UsageError(f"the lock has no {kind} {name!r}", where=str(path), fix=listed)
    return names
