"""Turning what has no wheel into one: the archive is brought and checked, the rest is the builder's."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.inputs import direct

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from seatrial.images.inputs.logins import Login
    from seatrial.images.inputs.model import Build, Built, Unbuilt
    from seatrial.images.lock import LockedWheel
    from seatrial.images.target import Target


class Means(msgspec.Struct, frozen=True, kw_only=True):
    """With what an image's files are resolved. `python` is the full version of the target's, or empty.

    Without `build`, what has no wheel is refused. `wheels` are folders that are looked into as well.
    """

    target: Target
    python: str
    env: dict[str, str]
    root: Path
    build: Build | None = None
    offline: bool = False
    refresh: bool = False
    wheels: tuple[Path, ...] = ()
    logins: tuple[Login, ...] = ()


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel that was built from `source`, whose archive has `sha256` (empty for folders and repositories)."""

    source: Unbuilt
    built: Built
    sha256: str = ""
    filename: str = ""
    indexed: bool = False

    @property
    def needs(self) -> str:
        """A hash of what the wheel says that it needs."""
        kept = ("requires-dist:", "requires-python:", "provides-extra:")
        lines = [
            line
            for line in self.built.metadata.split("\n\n")[0].splitlines()
            if line.lower().startswith(kept)
        ]
        return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()

    @property
    def wheel(self) -> LockedWheel:
        """The wheel, with what its direct_url.json says."""
        if self.indexed or self.source.kind == "folder":
            return self.built.wheel
        if self.source.kind == "git":
            text = direct.of_repository(self.source, self.built.revision)
        else:
            text = direct.of_archive(self.source.url, self.sha256, self.source.subfolder)
        return msgspec.structs.replace(self.built.wheel, direct_url=text)


def make(
    source: Unbuilt, means: Means, *, allowed: Iterable[str] = (), filename: str = "", indexed: bool = False
) -> Made:
    """Build a wheel. `allowed` are the sha256 of which an archive must have one; `indexed`: an index listed it.

    Raises:
        SeatrialError: it must not be built, cannot be had, is another file than was locked, or its build fails.
    """
    if means.build is None:
        raise refused([source])
    if source.kind != "sdist":
        try:
            return Made(source=source, built=means.build(source), indexed=indexed)
        except SeatrialError as error:
            if source.url == str(means.root) and source.where.endswith(("pyproject.toml", ".lock")):
                hint = "leave the project itself out (`--no-project`), or"
                error.fix = f"{hint} {error.fix}" if error.fix else hint.removesuffix(", or")
            raise
    from seatrial.images.assemble.fetch import fetch_archive
    from seatrial.images.assemble.store import scratch

    name = filename or unquote(urlsplit(source.url).path).rsplit("/", 1)[-1]
    if means.offline and not source.url.startswith("/"):
        source = _beside(source, name, means)
    sha256, archive = fetch_archive(source.url, source.sha256, means.logins, what=name)
    permitted = frozenset(allowed)
    if permitted and sha256 not in permitted:
        raise SeatrialError(
            f"{name} has another hash than its requirement allows", where=source.where or None,
            why=f"it has sha256 {sha256}", fix="write the hashes again (`uv pip compile --generate-hashes`)",
        )  # fmt: skip
    with scratch() as folder:
        place = folder / (name if "." in name else f"{name}.tar.gz")
        try:
            os.link(archive, place)
        except OSError:
            shutil.copyfile(archive, place)
        built = means.build(msgspec.structs.replace(source, url=str(place), sha256=sha256))
    return Made(source=source, built=built, sha256=sha256, filename=name, indexed=indexed)


def _beside(source: Unbuilt, name: str, means: Means) -> Unbuilt:
    """Offline, an archive that one of the folders has is taken from there."""
    from seatrial.images.assemble.fetch import wheel_path

    if source.sha256 and wheel_path(source.sha256).exists():
        return source
    for folder in means.wheels:
        if (folder / name).is_file():
            return msgspec.structs.replace(source, url=str(folder / name))
    raise SeatrialError(
        f"{name} is not on this machine", where=source.where or None, why="`--offline` asks no server",
        fix="put it into a folder that `--find-links` names, or run once without `--offline`",
    )  # fmt: skip


def refused(sources: Iterable[Unbuilt]) -> SeatrialError:
    """What is said where nothing may be built."""
    listed = list(sources)
    names = ", ".join(dict.fromkeys(direct.described(one) for one in listed))
    several = len(listed) > 1
    return SeatrialError(
        f"{names} {'have' if several else 'has'} no wheel and would have to be built",
        where=next((one.where for one in listed if one.where), None),
        why="building runs the package's own code, and it is not allowed here (`--no-build`, or `build: {allow: false}`)",
        fix="allow it (`--build`), choose a version that has a wheel, or put a wheel into a folder for `--find-links`",
    )
