"""Wheels that are published, brought from whatever index this machine uses; tests skip where none can be reached."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec
import pytest
from packaging.utils import parse_wheel_filename

from seatrial import locks
from seatrial.errors import SeatrialError
from seatrial.images.assemble.fetch import fetch, wheel_path
from seatrial.images.lock import LockedWheel
from seatrial.images.target import tags
from seatrial.images.uv_program import find_uv, quiet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.target import Target


class Published(msgspec.Struct, frozen=True):
    """One release: what is special about it, bytes, and sha256 by file name of its wheels for known targets."""

    name: str
    version: str
    why: str
    size: int
    wheels: dict[str, str]


class Sdist(msgspec.Struct, frozen=True):
    """One release that has no wheel: what is special about it, and the sha256 of its archive."""

    name: str
    version: str
    why: str
    sha256: str


def read_sdists(path: Path) -> list[Sdist]:
    """The list in a JSON file."""
    return msgspec.json.decode(path.read_bytes(), type=list[Sdist])


def sdists(releases: Sequence[Sdist], pip: Path, folder: Path) -> list[Path]:
    """The archives of `releases`, in `folder`, brought by the pip in the folder `pip`."""
    folder.mkdir(parents=True, exist_ok=True)
    pins = folder.with_suffix(".txt")
    pins.write_text("".join(f"{one.name}=={one.version} --hash=sha256:{one.sha256}\n" for one in releases))
    argv = [
        sys.executable, str(pip / "pip"), "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes",
        "--dest", str(folder), "--requirement", str(pins),
    ]  # fmt: skip
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        assert "HASH" not in done.stderr, done.stderr
        pytest.skip(f"the package index cannot be reached: {done.stderr[-200:]}")
    return sorted(folder.glob("*.tar.gz"))


def read(path: Path) -> list[Published]:
    """The list in a JSON file."""
    return msgspec.json.decode(path.read_bytes(), type=list[Published])


def wheels(releases: Sequence[Published], folder: Path, target: Target) -> list[Path]:
    """The wheels of `releases` for `target`, in `folder`; each has one of the hashes in the list."""
    wanted, urls = [], {}
    for release, listed in zip(releases, _ask(releases, target), strict=True):
        wheel = _best(release, target)
        assert wheel.filename in listed, f"the index has no {wheel.filename} any more"
        url, sha256 = listed[wheel.filename]
        assert sha256 == wheel.sha256, f"the index has another {wheel.filename}"
        wanted.append(wheel)
        urls[sha256] = url
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "seatrial-tests"
    place.mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch, locks.locked(place / "lock-wheels"):
        patch.setenv("SEATRIAL_CACHE", str(place))
        (place / "wheels").mkdir(exist_ok=True)
        try:
            fetch(wanted, urls)
        except SeatrialError as error:
            pytest.skip(f"the package index cannot be reached: {error.what}")
        folder.mkdir(parents=True, exist_ok=True)
        for wheel in wanted:
            os.link(wheel_path(wheel.sha256), folder / wheel.filename)
    return [folder / wheel.filename for wheel in wanted]


def _best(release: Published, target: Target) -> LockedWheel:
    rank = {tag: position for position, tag in enumerate(tags(target))}
    fitting = []
    for filename, sha256 in release.wheels.items():
        places = [rank[tag] for tag in parse_wheel_filename(filename)[3] if tag in rank]
        if places:
            fitting.append((min(places), filename, sha256))
    assert fitting, f"the list has no wheel of {release.name} for {target}"
    _, filename, sha256 = min(fitting)
    return LockedWheel(name=release.name, version=release.version, filename=filename, sha256=sha256)


def _ask(releases: Sequence[Published], target: Target) -> list[dict[str, tuple[str, str]]]:
    """For each release the index's wheels: file name → address and sha256."""
    pins = "\n".join(f"{release.name}=={release.version}" for release in releases)
    argv = [
        find_uv(), "pip", "compile", "-", "--no-deps", "--format", "pylock.toml", "--only-binary", ":all:", "--no-header",
        "--python-version", target.python, "--python-platform", "x86_64-manylinux_2_35", "--python", sys.executable,
    ]  # fmt: skip
    done = subprocess.run(
        argv, input=pins, capture_output=True, text=True, env=quiet(os.environ), check=False, timeout=300
    )
    if done.returncode == 2 or "not found in the provided package locations" in done.stderr:
        pytest.skip(f"the package index cannot be reached: {done.stderr[-200:]}")
    assert done.returncode == 0, done.stderr
    found = {
        package["name"]: {
            unquote(urlsplit(wheel["url"]).path).rpartition("/")[2]: (wheel["url"], wheel["hashes"]["sha256"])
            for wheel in package["wheels"]
        }
        for package in tomllib.loads(done.stdout)["packages"]
    }
    return [found[release.name] for release in releases]
