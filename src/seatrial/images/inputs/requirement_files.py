"""Requirement files, copied for uv: paths made absolute, and gaps where something has to be built first."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.inputs.asked import Asked, Draft, Gap
from seatrial.images.inputs.direct import described
from seatrial.images.inputs.environment import holds
from seatrial.images.inputs.locations import Location, located
from seatrial.images.uv_program import clean
from seatrial.sources import requirements as reader
from seatrial.sources import text
from seatrial.sources.text import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.sources.requirements import Line, RequirementsFile
    from seatrial.sources.text import Source

_OPTION = re.compile(r"(?P<name>--?[A-Za-z][A-Za-z-]*)(?:\s*=\s*|\s+|$)?(?P<value>.*)$", re.DOTALL)
_SHORT = re.compile(r"(?P<name>-[if])\s*(?P<value>\S.*)$")
_TAIL = re.compile(r"\s--?[A-Za-z].*$", re.DOTALL)


class Place(msgspec.Struct, frozen=True):
    """What the lines of a file are read with: the project's folder, the markers' values and the variables."""

    root: Path
    environment: dict[str, str]
    variables: Mapping[str, str]


def read_files(files: Sequence[Path], place: Place) -> Asked:
    """What requirement files ask for, with everything that they include.

    Raises:
        SeatrialError: a file cannot be read, or a line of it is refused by pip; the message says which.
    """
    waiting = [(_normal(path), "") for path in files]
    found = Asked(requirements=tuple(draft_name(path) for path, _ in waiting))
    while waiting:
        path, origin = waiting.pop(0)
        if path not in found.files:
            source = _source(path, origin)
            parsed = reader.read(source)
            waiting += _includes(path, source, parsed)
            found += _lines(source, parsed, path, place, draft_name(path))
    return found


def read_lines(source: Source, path: Path, place: Place, name: str) -> Asked:
    """What the lines of one file at `path` ask for, as the draft `name`.

    Raises:
        SourceError: pip refuses a line.
        SeatrialError: a line names something that is not there or cannot be installed.
    """
    return _lines(source, reader.read(source), path, place, name)


def _lines(source: Source, parsed: RequirementsFile, path: Path, place: Place, name: str) -> Asked:
    if parsed.findings:
        first = parsed.findings[0]
        raise SourceError(msgspec.structs.replace(first, message=clean(first.message)))
    parts: list[str | Gap] = []
    found = Asked(files=(path,), hashed=parsed.hashed)
    done = 0
    for line in parsed.lines:
        new, more = _line(source, line, path, place, hashed=parsed.hashed)
        parts += [source.text[done : line.start], *new]
        done = line.end
        found += more
    parts.append(source.text[done:])
    return found + Asked(drafts=(Draft(name, tuple(one for one in parts if one != "")),))


def draft_name(path: Path) -> str:
    """What a file is called where uv reads its copy."""
    mark = hashlib.sha256(str(path).encode()).hexdigest()[:12]
    return f"{mark}-{re.sub(r'[^A-Za-z0-9_-]', '_', path.name)[:80]}.txt"


def _line(
    source: Source, line: Line, path: Path, place: Place, *, hashed: bool
) -> tuple[list[str | Gap], Asked]:
    if line.kind in ("include", "constraint"):
        flag = "-r" if line.kind == "include" else "-c"
        target = line.target
        return [
            line.text if "://" in target else f"{flag} {draft_name(_normal(path.parent / target))}"
        ], Asked()
    if line.kind == "option":
        return _option(line.text, path, place)
    where = str(source.place(line.start, line.end))
    tail = _TAIL.search(line.text, 3)
    if line.kind == "requirement" and line.requirement is not None and line.requirement.url is None:
        return [_flat(line.text)], _by_name(line, where)
    location = located(line, path.parent, place.root, place.variables, where)
    if not holds(location.marker, place.environment, where=where):
        return [f"# not for the image: {location.marker}"], Asked()
    allowed = _sha256(line.hashes, location.name or location.url, where)
    if location.unbuilt is None:
        return [_wheel_line(location, tail[0] if tail else "")], _hashes(location.name, allowed)
    if hashed and location.unbuilt.kind != "sdist":
        raise SeatrialError(
            f"{described(location.unbuilt)} has no hash", where=where,
            why="one requirement has `--hash`, so every package needs one, and a folder or repository cannot have one",
            fix="install it from an archive with `--hash`, or leave the hashes out",
        )  # fmt: skip
    unbuilt = location.unbuilt
    if len(allowed) == 1 and not unbuilt.sha256:
        unbuilt = msgspec.structs.replace(unbuilt, sha256=next(iter(allowed)))
    if hashed and not unbuilt.sha256:
        raise SeatrialError(
            f"{described(unbuilt)} has no hash", where=where, why="one requirement has `--hash`, so every package needs one",
            fix="add `--hash=sha256:…` with the archive's hash",
        )  # fmt: skip
    notes = (
        (f"{where}: the image gets a copy of {described(unbuilt)}, not a link to it",)
        if unbuilt.editable
        else ()
    )
    return [Gap(unbuilt, location.extras, location.marker)], Asked(notes=notes) + _hashes(
        location.name, allowed
    )


def _by_name(line: Line, where: str) -> Asked:
    requirement = line.requirement
    assert requirement is not None  # noqa: S101 - the caller looked
    pins = [one.version for one in requirement.specifier if one.operator in ("==", "===")]
    pinned = Asked(pins=frozenset(f"{line.name}=={version}" for version in pins))
    return pinned + _hashes(line.name, _sha256(line.hashes, line.name, where))


def _hashes(name: str, allowed: frozenset[str]) -> Asked:
    return Asked(hashes={name: allowed}) if name and allowed else Asked()


def _sha256(hashes: Sequence[str], name: str, where: str) -> frozenset[str]:
    found = frozenset(one.partition(":")[2].lower() for one in hashes if one.startswith("sha256:"))
    if hashes and not found:
        raise SeatrialError(f"{name} has hashes, but no sha256 one", where=where, fix="add `--hash=sha256:…`")
    return found


def _wheel_line(location: Location, tail: str) -> str:
    extras = f"[{','.join(location.extras)}]" if location.extras else ""
    marker = f" ; {location.marker}" if location.marker else ""
    return f"{location.name}{extras} @ {location.url}{marker}{_flat(tail)}"


def _option(line: str, path: Path, place: Place) -> tuple[list[str | Gap], Asked]:
    """An option of the whole file; folders are looked for beside the file, then in the project, as pip does."""
    from packaging.utils import canonicalize_name

    match = _SHORT.match(line) or _OPTION.match(line)
    name, value = (match["name"], _unquoted(match["value"].strip())) if match else ("", "")
    expanded = re.sub(r"\$\{([A-Z0-9_]+)\}", lambda one: place.variables.get(one[1], one[0]), value)
    if name in ("-f", "--find-links"):
        where = expanded if "://" in expanded else _beside(expanded, path.parent, place.root).as_uri()
        return [f"--find-links {where}"], Asked(find_links=(where,))
    if name in ("-i", "--index-url", "--pypi-url"):
        return [f"--index-url {expanded}"], Asked(index=expanded)
    if name == "--extra-index-url":
        return [f"--extra-index-url {expanded}"], Asked(extra_indexes=(expanded,))
    if name == "--no-index":
        return [line], Asked(no_index=True)
    if name in ("--no-binary", "--only-binary"):
        # Which of wheel and source is taken is decided here: uv is never to build anything.
        said = [one.strip() for one in value.split(",") if one.strip()]
        chosen = frozenset(one if one.startswith(":") else canonicalize_name(one) for one in said) - {
            ":none:"
        }
        return [], Asked(no_binary=chosen) if name == "--no-binary" else Asked(only_binary=chosen)
    return [line], Asked()


def _beside(value: str, folder: Path, root: Path) -> Path:
    first = _normal(folder / value)
    return first if first.exists() else _normal(root / value)


def _includes(path: Path, source: Source, parsed: RequirementsFile) -> list[tuple[Path, str]]:
    """The files that one includes, each with the line that does."""
    return [
        (_normal(path.parent / line.target), str(source.place(line.start, line.end)))
        for line in parsed.lines
        if line.kind in ("include", "constraint") and "://" not in line.target
    ]


def _source(path: Path, origin: str) -> Source:
    try:
        return text.decode(path.read_bytes(), str(path))
    except OSError as error:
        raise SeatrialError(
            f"the requirements file cannot be read: {error.strerror}",
            where=str(path),
            why=f"{origin} includes it" if origin else None,
            fix="correct the path",
        ) from error


def _unquoted(target: str) -> str:
    try:
        return (shlex.split(target) or [""])[0]
    except ValueError:
        return target


def _flat(line: str) -> str:
    """A line that was continued, as one."""
    return re.sub(r"\s*\n\s*", " ", line)


def _normal(path: Path) -> Path:
    return Path(os.path.normpath(path.absolute()))
