"""Resolutions by the content of everything that decides them. Nothing secret is in a key or an entry."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial import paths
from seatrial.errors import SeatrialError
from seatrial.files import write_atomic
from seatrial.images.uv_program import find_uv

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seatrial.images.inputs.model import Wanted
    from seatrial.images.resolve import Resolution
    from seatrial.images.target import Target

_FORMAT = 2
# Which packages there are does not depend on who asks, how fast, or with which certificates.
_IRRELEVANT = re.compile(
    r"USERNAME|PASSWORD|TOKEN|CACHE_DIR|CONCURRENT|TIMEOUT|RETRIES|PROGRESS|CERT|TLS|KEYRING|COLOR|LINK_MODE"
)
_INCLUDE = re.compile(
    rb"(?m)^\s*(?:-\s+)?(?:-[rc]\s*|--(?:requirement|constraint)[=\s]\s*)['\"]?([^\s'\"#]+(?: [^\s'\"#]+)*)"
)


def content(wanted: Wanted) -> dict[Path, bytes]:
    """The files, what they include, and the project beside a lock, with their content.

    Raises:
        SeatrialError: a file that the image names cannot be read.
    """
    found: dict[Path, bytes] = {}
    waiting = [(path, True) for path in wanted.files]
    while waiting:
        path, named = waiting.pop(0)
        path = Path(os.path.normpath(path.absolute()))
        if path in found:
            continue
        try:
            found[path] = path.read_bytes()
        except OSError as error:
            if not named:
                continue  # whoever reads the line that includes it says so, with its place
            raise SeatrialError(
                f"the file cannot be read: {error.strerror}", where=str(path), fix="correct the path"
            ) from error
        for match in _INCLUDE.finditer(found[path]) if path.suffix not in (".toml", ".lock") else ():
            name = match[1].decode("utf-8", "replace")
            if "://" not in name:
                waiting.append((path.parent / name, False))
        if path.suffix == ".lock" or path.name.startswith("pylock."):
            waiting.append((path.parent / "pyproject.toml", False))
    return found


def keys(
    wanted: Wanted, files: Mapping[Path, bytes], target: Target, python: str, env: Mapping[str, str]
) -> tuple[str, str]:
    """Names of the entry: one that holds in any folder, and one for this folder alone."""
    root = wanted.files[0].parent
    settings = sorted(
        (name, re.sub(r"://[^/@\s]*@", "://", value))
        for name, value in env.items()
        if name.startswith("UV_") and not _IRRELEVANT.search(name)
    )
    configuration = [
        _digest(place) for place in (*_configuration(env), root / "uv.toml", root / "pyproject.toml")
    ]
    contents = [
        (os.path.relpath(path, root), hashlib.sha256(re.sub(rb"://[^/@\s]*@", b"://", data)).hexdigest())
        for path, data in files.items()
    ]
    chosen = [
        wanted.extras,
        wanted.groups,
        wanted.project,
        [os.path.relpath(one, root) for one in wanted.files],
    ]
    program = Path(find_uv()).stat()
    parts = [
        _FORMAT, contents, target, python, settings, configuration, chosen,
        [_listing(folder) for folder in wanted.find_links], program.st_size, program.st_mtime_ns,
    ]  # fmt: skip
    anywhere = hashlib.sha256(msgspec.json.encode(parts)).hexdigest()
    return anywhere, hashlib.sha256(f"{anywhere}\0{wanted.root}\0{wanted.offline}".encode()).hexdigest()


def recall(names: tuple[str, str], hold: Callable[[str, str], object]) -> Resolution | None:
    """What was resolved before, if all of its wheels that lie on this machine are still there."""
    from seatrial.images.assemble.fetch import wheel_path
    from seatrial.images.resolve import Resolution

    for name in names:
        hold("resolutions", f"{name}.json")
        place = _place(name)
        try:
            found = msgspec.json.decode(place.read_bytes(), type=Resolution)
        except (OSError, msgspec.MsgspecError):
            continue
        for origin in found.origins:
            hold("wheels", origin.sha256)
        gone = (
            url.startswith("/") and not Path(url).exists() and not wheel_path(sha256).exists()
            for sha256, url in found.urls.items()
        )
        if not any(gone):
            os.utime(place)
            return found
    return None


def remember(found: Resolution, names: tuple[str, str], wanted: Wanted, env: Mapping[str, str]) -> None:
    """Keep an answer; one that names places of this machine, or was made offline, is for this folder alone."""
    shared = {*map(str, wanted.find_links), *env.get("UV_FIND_LINKS", "").split(",")}
    here = wanted.offline or any(
        url.startswith("/") and os.path.dirname(url) not in shared  # noqa: PTH120 - many of them
        for url in found.urls.values()
    )
    here = here or any(origin.source.url.startswith("/") for origin in found.origins)
    place = _place(names[1] if here else names[0])
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(
        place, msgspec.json.encode(msgspec.structs.replace(found, logins=(), cached=False)), mode=0o600
    )


def _place(name: str) -> Path:
    return paths.cache() / "resolutions" / f"{name}.json"


def _configuration(env: Mapping[str, str]) -> tuple[Path, ...]:
    config = Path(env.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return (config / "uv" / "uv.toml", Path("/etc/uv/uv.toml"))


def _digest(place: Path) -> str:
    try:
        return hashlib.sha256(place.read_bytes()).hexdigest()
    except OSError:
        return ""


def _listing(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of a folder's files."""
    try:
        return sorted((one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in os.scandir(folder))
    except OSError as error:
        raise SeatrialError(
            "the folder of wheels cannot be read",
            where=str(folder),
            why=error.strerror,
            fix="correct `find_links`",
        ) from error
