"""The image's own interpreter and what is installed for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images import runtime
from seatrial.images.rootfs import Root, locate
from seatrial.images.runtimes.launch import DEFAULT_PATH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import PathDistribution
    from pathlib import Path

# Asked of the interpreter itself: only it knows its paths. The rest is what dependency markers are about (PEP 508).
_ASK = """
import json, os, platform, sys
v = sys.implementation.version
print(json.dumps({"path": [p for p in sys.path if p], "markers": {
 "implementation_name": sys.implementation.name, "implementation_version": "%d.%d.%d" % v[:3],
 "os_name": os.name, "platform_machine": platform.machine(), "platform_release": platform.release(),
 "platform_system": platform.system(), "platform_version": platform.version(),
 "python_full_version": platform.python_version(),
 "platform_python_implementation": platform.python_implementation(),
 "python_version": ".".join(platform.python_version_tuple()[:2]), "sys_platform": sys.platform}}))
"""
# Packages of the distribution, which its own tools keep consistent.
_SYSTEM_SITES = ("/usr/lib/python3/dist-packages", "/usr/lib/python3/site-packages")


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """An installed distribution. `modules` are its top-level import names, `site` the folder it is in.

    `system` ones came with the operating system's packages. `folder` is where its metadata lies in the store.
    """

    name: str
    version: str
    site: str
    system: bool
    requires: tuple[str, ...]
    modules: tuple[str, ...]
    files: tuple[str, ...]
    folder: str


class Python(msgspec.Struct, frozen=True, kw_only=True):
    """An interpreter in an image: its path, its `sys.path`, its marker values, and what it finds installed."""

    program: str
    path: tuple[str, ...]
    markers: dict[str, str]
    distributions: tuple[Distribution, ...]


def find_python(root: Root) -> Python | None:
    """Ask the interpreter that the image would use; None when it has none.

    Raises:
        SeatrialError: there is one, but it does not start.
    """
    program = find_program(root)
    if program is None:
        return None
    launch = runtime.Launch(entrypoint=(program,), network="none")
    done = runtime.run(root, ["-c", _ASK], launch, timeout=60)
    if done.code != 0:
        lines = [line for line in done.stderr.strip().splitlines() if not line.startswith("Current thread")]
        # What is wrong stands first when the interpreter cannot set itself up, and last in a traceback.
        fatal = [line for line in lines if line.startswith("Fatal Python error")]
        last = ([*fatal, *lines[-1:]] or ["it said nothing"])[0]
        raise SeatrialError(
            f"{program} in the image ended with {done.code}", why=last, fix="repair the image's interpreter"
        )
    # Start-up hooks may print as well, before and after.
    answer = next(
        (json.loads(line) for line in reversed(done.stdout.splitlines()) if line.startswith('{"path": ')),
        None,
    )
    if answer is None:
        raise SeatrialError(
            f"{program} in the image does not run what it is given",
            why=done.stdout.strip()[-200:],
            fix="repair the image's interpreter",
        )
    return Python(
        program=program,
        path=tuple(answer["path"]),
        markers=answer["markers"],
        distributions=tuple(_distributions(root, answer["path"])),
    )


def normalize(name: str) -> str:
    """The name by which distributions are compared (PEP 503)."""
    from packaging.utils import canonicalize_name

    return str(canonicalize_name(name))


def find_program(root: Root) -> str | None:
    """The interpreter that the image's entry point names, or the first in its PATH; None without one."""
    entry = [*(root.settings.get("Entrypoint") or []), *(root.settings.get("Cmd") or [])]
    variables = dict(str(item).partition("=")[::2] for item in root.settings.get("Env") or [])
    candidates = [*(entry[:1] if entry and _is_python(str(entry[0])) else []), "python3", "python"]
    for candidate in candidates:
        folders = [""] if "/" in candidate else variables.get("PATH", DEFAULT_PATH).split(":")
        for folder in folders:
            place = f"{folder}/{candidate}" if folder else candidate
            _, found = locate(root, place)
            if found is not None and found.is_file() and place.startswith("/"):
                return place
    return None


def _is_python(program: str) -> bool:
    return program.rpartition("/")[2].startswith("python")


def _distributions(root: Root, path: list[str]) -> Iterator[Distribution]:
    seen: set[str] = set()
    for site in path:
        resolved, place = locate(root, site)
        if place is None or not place.is_dir():
            continue
        for name in _names_in(root, resolved):
            if not name.endswith((".dist-info", ".egg-info")):
                continue
            _, folder = locate(root, f"{resolved}/{name}")
            found = _read(folder, resolved) if folder is not None and folder.is_dir() else None
            if found is not None and found.name not in seen:
                seen.add(found.name)
                yield found


def _names_in(root: Root, folder: str) -> list[str]:
    """What a folder holds in any layer; `locate` decides whether it is still there."""
    names: set[str] = set()
    for layer in root.layers:
        place = root.folder(layer) / folder.lstrip("/")
        if place.is_dir():
            names.update(entry.name for entry in place.iterdir())
    return sorted(names)


def _read(folder: Path, site: str) -> Distribution | None:
    from importlib.metadata import PathDistribution

    found = PathDistribution(folder)
    metadata: Any = found.metadata
    name, version = metadata["Name"], metadata["Version"]
    if not name or not version:
        return None
    files = tuple(str(file) for file in found.files or ())
    return Distribution(
        name=normalize(name),
        version=version,
        site=site,
        system=site in _SYSTEM_SITES,
        requires=tuple(found.requires or ()),
        modules=_modules(found, files),
        files=files,
        folder=str(folder),
    )


def _modules(found: PathDistribution, files: tuple[str, ...]) -> tuple[str, ...]:
    """Top-level names: `top_level.txt` where the builder wrote one, else what RECORD lists.

    Of a namespace that distributions share, the part that this one has: the import of the namespace says nothing.
    """
    stated = (found.read_text("top_level.txt") or "").split()
    listed = set(_from_record(files))
    names = {name for name in stated if name in listed or not files} | (set() if stated else listed)
    if not names:
        names = _in_namespace(files, set(stated)) or set(stated)
    return tuple(sorted(n for n in names if n.replace(".", "").isidentifier()))


def _in_namespace(files: tuple[str, ...], tops: set[str]) -> set[str]:
    """The packages nearest to the top that have an __init__.py."""
    packages = [
        file.rpartition("/")[0].replace("/", ".")
        for file in files
        if file.endswith("/__init__.py") and all(part.isidentifier() for part in file.split("/")[:-1])
    ]
    packages = [name for name in packages if not tops or name.partition(".")[0] in tops]
    nearest = min((name.count(".") for name in packages), default=0)
    return {name for name in packages if name.count(".") == nearest}


def _from_record(files: tuple[str, ...]) -> Iterator[str]:
    for file in files:
        first, slash, rest = file.partition("/")
        if slash:
            # Only a regular package: a folder without __init__ may hold data, or parts of a shared namespace.
            if rest.startswith("__init__."):
                yield first
        elif first.endswith(".py"):
            yield first[:-3]
        elif first.endswith(".so"):
            yield first.split(".", 1)[0]
