"""Which wheels an image gets from its files: resolved once, then remembered by content.

uv decides, and never runs anything: what has no wheel is built by the caller's `build`, in a sandbox. What was resolved
is repeated for the same content until `refresh`, so a project whose sources change keeps its versions.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.inputs.logins import Login  # noqa: TC001 - msgspec reads the annotation
from seatrial.images.inputs.model import Unbuilt, Wanted
from seatrial.images.lock import Lock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from seatrial.images.inputs.making import Made, Means
    from seatrial.images.inputs.model import Build
    from seatrial.images.inputs.solving import Settled
    from seatrial.images.target import Target


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """What a built wheel (`sha256`) was built of, so that it can be seen whether it still is, and built again."""

    sha256: str
    source: Unbuilt
    filename: str = ""
    archive: str = ""
    indexed: bool = False
    needs: str = ""
    fingerprint: str = ""


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """A lock, and where its wheels can be had: sha256 → URL without credentials, or absolute path.

    The addresses are only a cache: they are in no lock and in no image. A wheel without one was built, as `origins` say,
    and lies in the store. `notes` are worth knowing. `logins` open the addresses; they are found anew and never kept.
    """

    lock: Lock
    urls: dict[str, str]
    cached: bool = False
    notes: tuple[str, ...] = ()
    origins: tuple[Origin, ...] = ()
    builder: str = ""
    logins: tuple[Login, ...] = ()


def resolve(
    requirements: Sequence[Path],
    target: Target,
    *,
    refresh: bool = False,
    env: Mapping[str, str] | None = None,
) -> Resolution:
    """Resolve files for `target` where nothing may be built; see `resolve_wanted`."""
    if not requirements:
        return Resolution(lock=Lock(target=target, wheels=()), urls={})
    files = tuple(path.absolute() for path in requirements)
    return resolve_wanted(Wanted(root=files[0].parent, files=files), target, refresh=refresh, env=env)


def resolve_wanted(
    wanted: Wanted,
    target: Target,
    *,
    python: str = "",
    build: Build | None = None,
    builder: str = "",
    refresh: bool = False,
    env: Mapping[str, str] | None = None,
    hold: Callable[[str, str], object] = lambda _kind, _name: None,
) -> Resolution:
    """Resolve what an image wants, or repeat what was resolved before from the same content.

    `python` is the full version of the target's (`3.11.2`). `build` builds what has no wheel, and `builder` names the
    system that does; without it such packages are refused. Indexes, mirrors and credentials come from uv's settings, the
    files themselves, pip's and Poetry's settings, netrc and keyring. `refresh` looks for newer versions. `hold` keeps an
    entry of the cache from being pruned. Without any file the lock is empty.

    Raises:
        SeatrialError: the requirements contradict each other, a package cannot be had or built, a file is missing or
            malformed, a lock is older than its project file, or the index cannot be reached.
        UsageError: an extra or group does not exist, or files do not go together.
        MissingToolError: uv, or what a build needs, is not installed.
    """
    if not wanted.files:
        return Resolution(lock=Lock(target=target, wheels=()), urls={})
    from seatrial.images.inputs import remembering
    from seatrial.images.inputs.logins import find_logins
    from seatrial.images.inputs.making import Means

    environment = dict(os.environ if env is None else env)
    files = remembering.content(wanted)
    logins = find_logins(environment, files, wanted.root)
    means = Means(
        target=target, python=python, env=environment, root=wanted.files[0].parent, build=build,
        offline=wanted.offline, refresh=refresh, wheels=wanted.find_links, logins=logins,
    )  # fmt: skip
    keys = remembering.keys(wanted, files, target, python, environment)
    kept = None if refresh else remembering.recall(keys, hold)
    found = None if kept is None else _renewed(kept, means, builder)
    if found is None:
        from seatrial.images.inputs.reading import read

        found = _resolution(read(wanted, means), target, builder)
    if found is not kept:
        remembering.remember(found, keys, wanted, environment)
    for origin in found.origins:
        hold("wheels", origin.sha256)
    return msgspec.structs.replace(found, logins=logins, cached=found is kept)


def _resolution(settled: Settled, target: Target, builder: str) -> Resolution:
    wheels = {one.wheel.name: one.wheel for one in settled.picked}
    urls = {one.wheel.sha256: one.address for one in settled.picked}
    notes = list(settled.notes)
    for made in settled.made:
        if made.wheel.name in wheels:
            raise SeatrialError(
                f"{made.wheel.name} is asked for twice, and both are built of something else",
                where=made.source.where or None, fix="keep one of the two",
            )  # fmt: skip
        wheels[made.wheel.name] = made.wheel
        notes += made.built.notes
    if settled.made:
        names = sorted(f"{made.wheel.name} {made.wheel.version}" for made in settled.made)
        notes.append(f"built here, as there is no wheel: {', '.join(names)}")
    return Resolution(
        lock=Lock(target=target, wheels=tuple(wheels[name] for name in sorted(wheels))),
        urls=urls,
        notes=tuple(dict.fromkeys(notes)),
        origins=tuple(_origin(made) for made in settled.made),
        builder=builder if settled.made else "",
    )


def _origin(made: Made) -> Origin:
    from seatrial.images.inputs.fingerprints import fingerprint

    return Origin(
        sha256=made.wheel.sha256,
        source=msgspec.structs.replace(made.source, url=_bare(made.source)),
        filename=made.filename,
        archive=made.sha256,
        indexed=made.indexed,
        needs=made.needs,
        fingerprint=fingerprint(made.source.url) if made.source.kind == "folder" else "",
    )


def _bare(source: Unbuilt) -> str:
    """What may be kept of an address."""
    from seatrial.images.inputs.direct import public_repository

    return public_repository(source.url) if source.kind == "git" else source.url


def _renewed(kept: Resolution, means: Means, builder: str) -> Resolution | None:
    """What was remembered, with the wheels of changed sources built again; None: it is to be resolved anew."""
    from seatrial.images.assemble.fetch import wheel_path
    from seatrial.images.inputs.fingerprints import fingerprint
    from seatrial.images.inputs.logins import with_login
    from seatrial.images.inputs.making import make, refused

    if means.build is None and kept.origins:
        raise refused([one.source for one in kept.origins])
    changed: list[tuple[Origin, Origin, Made]] = []
    for one in kept.origins:
        whole = wheel_path(one.sha256).exists() and kept.builder == builder
        same = one.source.kind != "folder" or fingerprint(one.source.url) == one.fingerprint
        if whole and same:
            continue
        url = (
            with_login(one.source.url, means.logins, means.env)
            if one.source.kind == "git"
            else one.source.url
        )
        source = msgspec.structs.replace(one.source, url=url, sha256=one.archive or one.source.sha256)
        made = make(source, means, filename=one.filename, indexed=one.indexed)
        made = msgspec.structs.replace(made, source=one.source)
        if made.needs != one.needs:
            return None
        changed.append((one, _origin(made), made))
    if not changed and (kept.builder == builder or not kept.origins):
        return kept
    wheels = {one.sha256: made.wheel for one, _, made in changed}
    origins = {one.sha256: fresh for one, fresh, _ in changed}
    lock = msgspec.structs.replace(kept.lock, wheels=tuple(wheels.get(w.sha256, w) for w in kept.lock.wheels))
    return msgspec.structs.replace(
        kept, lock=lock, builder=builder, origins=tuple(origins.get(one.sha256, one) for one in kept.origins)
    )
