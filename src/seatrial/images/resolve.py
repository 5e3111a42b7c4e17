"""Which wheels satisfy the requirements on the target: uv decides, nothing of the repository is run.

Only wheels are considered, so no `setup.py`, of the repository or of an sdist, is ever executed. uv runs with
our own interpreter, never with one it might find in the repository.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

from seatrial import paths
from seatrial.errors import SeatrialError
from seatrial.files import write_atomic
from seatrial.images.lock import Lock, LockedWheel, check
from seatrial.images.target import Target, tags, uv_platform
from seatrial.images.uv_program import clean, failure, find_uv, quiet, without_credentials
from seatrial.processes import Completed, run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_FORMAT = 1


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """A lock, and where its wheels can be had: sha256 → URL without credentials, or absolute path.

    The addresses are only a cache: they are in no lock and in no image.
    """

    lock: Lock
    urls: dict[str, str]
    cached: bool = False


def resolve(
    requirements: Sequence[Path],
    target: Target,
    *,
    refresh: bool = False,
    env: Mapping[str, str] | None = None,
) -> Resolution:
    """Resolve requirement files for `target`, or repeat what was resolved before from the same content.

    Indexes, mirrors and credentials come from uv's environment variables and configuration. `refresh` looks
    for newer versions. With no requirement file at all, the lock is empty.

    Raises:
        SeatrialError: the requirements contradict each other, a package has no wheel for the target, a file
            is missing or malformed, or the index cannot be reached.
        MissingToolError: uv is not installed.
    """
    if not requirements:
        return Resolution(lock=Lock(target=target, wheels=()), urls={})
    environment = dict(os.environ if env is None else env)
    uv = find_uv()
    files = requirement_files(requirements)
    place = paths.cache() / "resolutions" / f"{_key(files, requirements, target, uv, environment)}.json"
    if not refresh and (found := _read_cached(place)) is not None:
        return found
    done = run(
        _command(uv, requirements, target, refresh), cwd=requirements[0].parent, env=quiet(environment)
    )
    if done.code != 0:
        raise explain_failure(done, requirements[0], target)
    resolution = parse_pylock(done.stdout, target, requirements[0].parent, wanted_hashes(files))
    place.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(place, msgspec.json.encode(resolution))
    return resolution


def requirement_files(requirements: Sequence[Path]) -> dict[Path, bytes]:
    """The files and everything they include by `-r` and `-c`, with their content, in reading order.

    Raises:
        SeatrialError: a file cannot be read; the message names the line that includes it.
    """
    found: dict[Path, bytes] = {}
    waiting: list[tuple[Path, str | None]] = [(path, None) for path in requirements]
    while waiting:
        path, origin = waiting.pop(0)
        path = Path(os.path.normpath(path.absolute()))
        if path in found:
            continue
        try:
            found[path] = path.read_bytes()
        except OSError as error:
            raise SeatrialError(
                f"the requirements file cannot be read: {error.strerror}",
                where=str(path),
                why=f"{origin} includes it" if origin else None,
                fix="correct the path",
            ) from error
        waiting += [
            (path.parent / name, f"{path}:{number}")
            for number, name in _includes(found[path].decode("utf-8", "replace"))
            if "://" not in name
        ]
    return found


def _includes(text: str) -> Iterator[tuple[int, str]]:
    """Line numbers and operands of `-r`, `-c` and their long forms."""
    pattern = re.compile(r"^\s*(?:-[rc]\s*|--(?:requirement|constraint)[=\s]\s*)(?P<name>.+?)\s*(?:\s#.*)?$")
    for number, line in enumerate(text.splitlines(), 1):
        if match := pattern.match(line):
            try:
                parts = shlex.split(match["name"])
            except ValueError:
                continue
            if parts:
                yield number, parts[0]


def _key(
    files: dict[Path, bytes], requirements: Sequence[Path], target: Target, uv: str, env: Mapping[str, str]
) -> str:
    """Everything that can change the answer. Settings may hold secrets, so only their hash leaves this function."""
    root = requirements[0].absolute().parent
    settings = sorted(item for item in env.items() if item[0].startswith("UV_"))
    configuration = [
        place.read_bytes() if place.is_file() else b""
        for place in (*_user_configuration(env), root / "uv.toml", root / "pyproject.toml")
    ]
    content = [
        (os.path.relpath(path, root), hashlib.sha256(data).hexdigest()) for path, data in files.items()
    ]
    # A requirement can point at files beside it (`./wheels/x.whl`, `--find-links wheels`): then the place matters.
    local = (
        str(root)
        if any(
            re.search(rb"(?m)^\s*(\.|/|-e|-f|--find-links|--editable)|file:|@ *\.", d) for d in files.values()
        )
        else ""
    )
    version = run([uv, "--version"]).stdout.strip()
    parts = [_FORMAT, content, target, version, settings, configuration, local, Path(uv).stat().st_size]
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def _user_configuration(env: Mapping[str, str]) -> tuple[Path, ...]:
    config = Path(env.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return (config / "uv" / "uv.toml", Path("/etc/uv/uv.toml"))


def _command(uv: str, requirements: Sequence[Path], target: Target, refresh: bool) -> list[str]:
    return [
        uv, "pip", "compile",
        "--format", "pylock.toml",
        "--only-binary", ":all:",
        "--python-version", target.python,
        "--python-platform", uv_platform(target),
        "--python", sys.executable,
        "--no-python-downloads",
        "--no-header",
        "--no-sources",
        *(["--refresh"] if refresh and not os.environ.get("UV_OFFLINE") else []),
        *(str(path.absolute()) for path in requirements),
    ]  # fmt: skip


def _read_cached(place: Path) -> Resolution | None:
    try:
        found = msgspec.json.decode(place.read_bytes(), type=Resolution)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
    if any(url.startswith("/") and not Path(url).exists() for url in found.urls.values()):
        return None  # a wheel on disk went away
    os.utime(place)
    return msgspec.structs.replace(found, cached=True)


def wanted_hashes(files: Mapping[Path, bytes]) -> dict[str, set[str]]:
    """The `--hash=sha256:…` options of requirement files, by normalised name; uv does not compare them.

    Raises:
        SeatrialError: a requirement has hashes, but no sha256 one.
    """
    from packaging.utils import canonicalize_name

    found: dict[str, set[str]] = {}
    for path, content in files.items():
        text = re.sub(r"\\\r?\n", " ", content.decode("utf-8", "replace"))
        for line in text.splitlines():
            hashes = re.findall(r"--hash[=\s]\s*(\w+):([0-9a-fA-F]+)", line)
            name = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)", line)
            if not hashes or name is None:
                continue
            known = {digest.lower() for kind, digest in hashes if kind == "sha256"}
            if not known:
                raise SeatrialError(
                    f"{name[1]} has hashes, but no sha256 one", where=str(path), fix="add `--hash=sha256:…`"
                )
            found.setdefault(canonicalize_name(name[1]), set()).update(known)
    return found


def parse_pylock(text: str, target: Target, root: Path, hashes: Mapping[str, set[str]]) -> Resolution:
    """Choose one wheel per package from uv's `pylock.toml`. Relative paths are relative to `root`.

    With any `hashes` (normalised name → sha256), every package needs one that is listed, as with pip.

    Raises:
        SeatrialError: a package is not an installable wheel.
    """
    wheels, urls = [], {}
    for package in tomllib.loads(text).get("packages", ()):
        wheel, url = _choose(package, target, root, hashes)
        wheels.append(wheel)
        urls[wheel.sha256] = url
    wheels.sort(key=lambda wheel: wheel.name)
    return Resolution(lock=Lock(target=target, wheels=tuple(wheels)), urls=urls)


def _choose(
    package: dict[str, Any], target: Target, root: Path, hashes: Mapping[str, set[str]]
) -> tuple[LockedWheel, str]:
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    name = str(package["name"])
    if "directory" in package or "vcs" in package:
        raise SeatrialError(
            f"{name} is a source tree, not a wheel",
            why="installing it would run its build on this machine",
            fix="list it under the image's `source`, or build a wheel of it and name that file",
        )
    rank = {tag: position for position, tag in enumerate(tags(target))}
    fitting: list[tuple[int, str, dict[str, Any]]] = []
    for entry in package.get("wheels") or [package[k] for k in ("archive",) if k in package]:
        filename = entry.get("name") or _last_part(entry)
        try:
            accepted = [rank[tag] for tag in parse_wheel_filename(filename)[3] if tag in rank]
        except InvalidWheelFilename:
            continue
        if accepted:
            fitting.append((min(accepted), filename, entry))
    if not fitting:
        raise _no_wheel(name, str(package.get("version", "")), target)
    for _, filename, entry in sorted(fitting, key=lambda one: one[:2]):
        url = _address(entry, root)
        sha256 = (entry.get("hashes") or {}).get("sha256") or _hash_of_local(name, url)
        if not hashes or sha256 in hashes.get(name, ()):
            version = package.get("version") or str(parse_wheel_filename(filename)[1])
            size = Path(url).stat().st_size if url.startswith("/") else entry.get("size", 0)
            return _checked(name, str(version), filename, sha256, size), url
    raise SeatrialError(
        f"no wheel of {name} for {target} has a hash that the requirements allow",
        why="one requirement has `--hash`, so every package needs a matching one"
        if name not in hashes
        else None,
        fix="write the hashes again (`uv pip compile --generate-hashes`)",
    )


def _last_part(entry: dict[str, Any]) -> str:
    return unquote(urlsplit(entry.get("url") or entry["path"]).path).rsplit("/", 1)[-1]


def _checked(name: str, version: str, filename: str, sha256: str, size: int) -> LockedWheel:
    try:
        return check(LockedWheel(name=name, version=version, filename=filename, sha256=sha256, size=size))
    except ValueError as error:
        raise SeatrialError(f"{name}: {error}", fix="use an index that says sha256 hashes") from error


def _address(entry: dict[str, Any], root: Path) -> str:
    url = entry.get("url", "")
    if url.startswith("file://"):
        return unquote(urlsplit(url).path)
    if url:
        return without_credentials(url)
    path = Path(entry["path"])
    return os.path.normpath(path if path.is_absolute() else root / path)


def _hash_of_local(name: str, address: str) -> str:
    if not address.startswith("/"):
        raise SeatrialError(
            f"{name} has no sha256",
            why="its index or address says none",
            fix="add `#sha256=…` to its address",
        )
    with Path(address).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _no_wheel(name: str, version: str, target: Target) -> SeatrialError:
    return SeatrialError(
        f"{name} {version} has no wheel for {target}".replace("  ", " "),
        why="only wheels are installed: building from source would run its code on this machine",
        fix=f"choose a version of {name} that has wheels for this target, or build a wheel and use `--find-links`",
    )


def explain_failure(done: Completed, where: Path, target: Target) -> SeatrialError:
    """Turn what uv printed into what, why and what next."""
    text = clean(done.stderr or done.stdout)
    lines = [line for line in text.splitlines() if line.strip()]
    causes = " ".join(
        re.sub(r"^(cause|├─▶|╰─▶|Caused by):?\s*", "", line.strip()) for line in lines[1:]
    ).strip()
    first = (
        re.sub(r"^(error:|\u00d7)\s*", "", lines[0].strip()) if lines else "uv ended without an explanation"
    )
    kind = failure(done)
    if kind == "no-wheel":
        return SeatrialError(
            f"not every requirement has a wheel for {target}", where=str(where), why=causes or first,
            fix="choose versions that have wheels for this target; packages are never built from source here",
        )  # fmt: skip
    if kind == "unsatisfiable":
        return SeatrialError(
            f"the requirements cannot be satisfied together for {target}", where=str(where), why=causes or first,
            fix="loosen one of the requirements named above",
        )  # fmt: skip
    if kind == "unreachable":
        return SeatrialError(
            "the package index cannot be asked", where=str(where), why=f"{first}. {causes}".strip(),
            fix="check the network, the index address (UV_INDEX_URL) and its credentials, then run the same command",
        )  # fmt: skip
    return SeatrialError(first, where=str(where), why=causes or None, fix="correct the requirements file")
