"""The project that an image was made from, and the lines of its files that decide what is in the image."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.errors import SeatrialError
from seatrial.images.testing.model import Edit
from seatrial.images.testing.python import normalize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.config.model import Image
    from seatrial.sources.requirements import Line

_LOCKS = ("uv.lock", "poetry.lock", "pylock.toml")
_FILE = "seatrial.yaml"
_DEEPEST = 5


class Project(NamedTuple):
    """A folder, and which of its images is meant."""

    folder: Path
    name: str
    image: Image

    def local(self, place: str) -> str:
        """The project's file that lies at `place` in the image, relative to its folder; empty when there is none."""
        workdir = self.image.workdir.rstrip("/") + "/"
        if not place.startswith(workdir):
            return ""
        relative = place[len(workdir) :]
        return relative if (self.folder / relative).is_file() else ""


class Asked(NamedTuple):
    """The place where a package is asked for. `text` is the requirement as written, `fixed` says that hashes hold it."""

    file: str
    line: int
    text: str
    held: bool


def find_project(folder: Path, name: str | None = None) -> Project | None:
    """The project in a folder; None when it describes no image, or several and none is named.

    Raises:
        UsageError: its settings cannot be read, or it has no image of that name.
    """
    from seatrial.config.load import load
    from seatrial.errors import UsageError

    images = load(folder).images
    if name is not None and name not in images:
        raise UsageError(
            f"there is no image {name!r}",
            where=str(folder),
            fix=f"choose one of: {', '.join(images)}" if images else "describe it in seatrial.yaml",
        )
    chosen = name or (next(iter(images)) if len(images) == 1 else None)
    return Project(folder, chosen, images[chosen]) if chosen is not None else None


def asked_for(project: Project, package: str) -> Asked | None:
    """Where the project asks for a package by its name; None when only another package needs it."""
    wanted = normalize(package)
    for file in _files(project):
        place = project.folder / file
        if not place.is_file():
            continue
        found = _in_toml(place, file, wanted) if file.endswith(".toml") else _in_text(project, file, wanted)
        if found is not None:
            return found
    return None


def requirement_edit(project: Project, package: str, specifier: str) -> tuple[Edit | None, str]:
    """The edit that makes the project ask for `package` with `specifier`, and in words where that is.

    None with the words that say why: the file has hashes, or none of the files is written by hand.
    """
    asked = asked_for(project, package)
    if asked is not None and asked.held:
        return None, f"{asked.file}:{asked.line} pins it with hashes: lock again with {package}{specifier}"
    if asked is not None:
        new = _respecified(asked.text, specifier)
        return Edit(file=asked.file, line=asked.line, old=asked.text, new=new), f"{asked.file}:{asked.line}"
    texts = [f for f in _files(project) if f.endswith((".txt", ".in")) and (project.folder / f).is_file()]
    if not texts:
        return (
            None,
            f"add {package}{specifier} to the dependencies in {next(iter(_files(project)), 'pyproject.toml')}",
        )
    content = (project.folder / texts[0]).read_text(encoding="utf-8", errors="replace")
    if "--hash" in content:
        return None, f"{texts[0]} has hashes: lock again with {package}{specifier}"
    line = len(content.splitlines()) + 1
    return Edit(file=texts[0], line=line, new=f"{package}{specifier}"), f"{texts[0]}:{line}"


def line_of(project: Project, pattern: str) -> tuple[int, str]:
    """The first line of seatrial.yaml, from the image's own name on, that matches; 0 and nothing when none does."""
    lines = _yaml(project)
    named = re.compile(rf"\s*['\"]?{re.escape(project.name)}['\"]?\s*:")
    start = next((n for n, line in enumerate(lines) if named.match(line)), 0) if project.name else 0
    for number, line in enumerate(lines[start:], start + 1):
        if re.search(pattern, line):
            return number, line
    return 0, ""


def packages_edit(project: Project, package: str) -> Edit:
    """The line of seatrial.yaml that has one more Debian package put into the base."""
    number, line = line_of(project, r"^\s*packages\s*:\s*\[[^\]]*\]")
    if number:
        listed = re.search(r"packages\s*:\s*\[([^\]]*)\]", line)
        inner = listed[1].strip().rstrip(",") if listed else ""
        new = re.sub(r"\[[^\]]*\]", f"[{inner}, {package}]" if inner else f"[{package}]", line, count=1)
        return Edit(file=_FILE, line=number, old=line.strip(), new=new.strip())
    base = project.image.base
    key, value = (
        ("debian", base.debian)
        if base.debian
        else ("oci", base.oci)
        if base.oci
        else ("registry", base.registry)
    )
    mapping = f"base: {{{key}: {value}, packages: [{', '.join([*base.packages, package])}]}}"
    number, line = line_of(project, r"^\s*base\s*:\s*[^\s{#]")
    if not number:
        number, line = line_of(project, r"^\s*base\s*:\s*\{.*\}")
    if number:
        return Edit(file=_FILE, line=number, old=line.strip(), new=mapping)
    number, line = line_of(project, rf"^\s*(?:debian|oci|registry)\s*:\s*{re.escape(str(value))}")
    if number:
        indent = line[: len(line) - len(line.lstrip())]
        return Edit(file=_FILE, line=number + 1, new=f"{indent}packages: [{package}]")
    if _yaml(project):
        number, line = line_of(project, r".")
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        return Edit(file=_FILE, line=number + 1, new=f"{indent}{mapping}")
    return Edit(file=_FILE, line=1, new=f"images: {{{project.name or 'app'}: {{{mapping}}}}}")


def exclude_edit(project: Project, path: str) -> Edit:
    """The line that keeps a file of the project out of the image."""
    file = project.folder / ".dockerignore"
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    return Edit(file=".dockerignore", line=len(lines) + 1, new=re.sub(r"([\\*?\[\]!#])", r"\\\1", path))


def _yaml(project: Project) -> list[str]:
    try:
        return (project.folder / _FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _files(project: Project) -> Iterator[str]:
    """What the image's requirements are; behind a lock the file that it was made of."""
    for file in project.image.requirements:
        if not file.endswith(_LOCKS):
            yield file
    if any(file.endswith(_LOCKS) for file in project.image.requirements):
        yield "pyproject.toml"


def _in_text(project: Project, file: str, wanted: str, depth: int = 0) -> Asked | None:
    from seatrial.sources import requirements, text

    try:
        read = requirements.read(text.read(project.folder / file, file))
    except SeatrialError:
        return None
    for line in read.lines:
        if line.kind == "requirement" and line.name == wanted:
            place = read.place(line)
            return Asked(file, place.line, _written(line), bool(line.hashes))
        if line.kind == "include" and depth < _DEEPEST and "://" not in line.target:
            inner = (Path(file).parent / line.target).as_posix()
            found = _in_text(project, inner, wanted, depth + 1)
            if found is not None:
                return found
    return None


def _written(line: Line) -> str:
    return re.split(r"\s+--", line.text)[0].strip()


def _in_toml(place: Path, file: str, wanted: str) -> Asked | None:
    """A requirement in quotes; Poetry's `name = "^1"` is found, and not rewritten."""
    for number, line in enumerate(place.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        for text in re.findall(r"\"([^\"]+)\"|'([^']+)'", line):
            requirement = text[0] or text[1]
            name = re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*(?=\s*(?:\[|[<>=!~;@]|$))", requirement)
            if name and normalize(name[0]) == wanted and not line.lstrip().startswith("name"):
                return Asked(file, number, requirement, held=False)
        key = re.match(r"\s*[\"']?([A-Za-z0-9._-]+)[\"']?\s*=\s*[\"'{]", line)
        if key and normalize(key[1]) == wanted:
            return Asked(file, number, line.strip(), held=True)
    return None


def _respecified(text: str, specifier: str) -> str:
    """The same requirement with other versions; extras and markers stay."""
    match = re.match(r"([A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?)[^;]*(;.*)?$", text, re.DOTALL)
    if match is None:
        return text
    marker = f" {match[2].strip()}" if match[2] else ""
    return f"{match[1].strip()}{specifier}{marker}"
