"""What a project asks pip for: requirement files with what they include, and pyproject's dependencies."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.sources import requirements as files
from seatrial.sources import text
from seatrial.sources.text import Source, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    from seatrial.sources.requirements import Line, RequirementsFile

_DEPENDENCIES = re.compile(r"^\s*\[\s*project\s*\].*?^\s*dependencies\s*=\s*\[", re.MULTILINE | re.DOTALL)
_LITERAL = re.compile(r'"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'')


class Asked(msgspec.Struct, frozen=True):
    """One request for a package by name. `style` is how the file writes it, `locked`: the file has hashes."""

    line: Line
    source: Source
    style: Literal["lines", "toml"] = "lines"
    constraint: bool = False
    locked: bool = False

    @property
    def name(self) -> str:
        return self.line.name

    @property
    def specifiers(self) -> SpecifierSet:
        """The versions asked for; a direct reference (`name @ url`) has none."""
        return self._requirement.specifier

    @property
    def direct(self) -> bool:
        """Whether it names a file or URL instead of versions."""
        return self._requirement.url is not None

    def holds_for(self, python: str) -> bool:
        """Whether the line counts on CPython `python` (`3.11`) on 64-bit Linux."""
        marker = self._requirement.marker
        if marker is None:
            return True
        return marker.evaluate(
            {
                "python_version": python,
                "python_full_version": f"{python}.0",
                "implementation_name": "cpython",
                "platform_python_implementation": "CPython",
                "os_name": "posix",
                "sys_platform": "linux",
                "platform_system": "Linux",
                "platform_machine": "x86_64",
                "extra": "",
            }
        )

    @property
    def _requirement(self) -> Requirement:
        if self.line.requirement is None:
            raise TypeError("only lines that name a package are asked for")
        return self.line.requirement


class RequirementSet(msgspec.Struct, frozen=True):
    """Everything that installing `path` asks for, constraints included. `sources` are the files it was read from."""

    path: str
    asked: tuple[Asked, ...]
    sources: tuple[Source, ...]

    def named(self, name: str) -> tuple[Asked, ...]:
        """The requests for one package, by its normalised name."""
        return tuple(one for one in self.asked if one.name == name)


def gather(source: Source, read: Callable[[str], Source | None]) -> RequirementSet:
    """Read a requirement file and what it includes (`-r`) or is constrained by (`-c`), each file once.

    `read` gives a file by its path, beside `source.path`, or None. Files that are not there are passed over.
    """
    asked: list[Asked] = []
    seen: dict[tuple[str, bool], Source] = {}
    waiting = [(source, False)]
    while waiting:
        current, constraint = waiting.pop(0)
        if (current.path, constraint) in seen:
            continue
        seen[current.path, constraint] = current
        file = files.read(current)
        locked = file.hashed
        for line in file.lines:
            if line.kind == "requirement":
                asked.append(Asked(line, current, "lines", constraint, locked))
            elif line.kind in ("include", "constraint"):
                other = read(_beside(current.path, line.target))
                if other is not None:
                    waiting.append((other, constraint or line.kind == "constraint"))
    sources = {one.path: one for one in seen.values()}
    return RequirementSet(source.path, tuple(asked), tuple(sources.values()))


def _beside(path: str, target: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), target))


def included(file: RequirementsFile) -> list[str]:
    """The paths that a requirement file names with `-r` and `-c`, as seen from where its own path is."""
    return [
        _beside(file.source.path, line.target)
        for line in file.lines
        if line.kind in ("include", "constraint")
    ]


def read_files(paths: Sequence[Path], root: Path) -> list[RequirementSet]:
    """Read requirement files from the disk; findings show their paths relative to `root`.

    Raises:
        SourceError: one of `paths` cannot be read. A file that only an include names may be missing.
    """

    def read(path: str) -> Source | None:
        try:
            return text.read(root / path, path)
        except (SourceError, ValueError):  # a null byte is no part of a path
            return None

    return [gather(text.read(path, _shown(path, root)), read) for path in paths]


def _shown(path: Path, root: Path) -> str:
    import os

    return Path(os.path.relpath(path.absolute(), root.absolute())).as_posix()


def from_pyproject(source: Source) -> RequirementSet:
    """The `dependencies` of a pyproject.toml, each at the place of its string.

    Raises:
        SourceError: the text is not TOML.
    """
    from seatrial.sources import toml

    project = toml.read(source).get("project")
    wanted = project.get("dependencies") if isinstance(project, dict) else None
    if not isinstance(wanted, list):
        return RequirementSet(source.path, (), (source,))
    asked: list[Asked] = []
    array = _DEPENDENCIES.search(source.text)
    offset = array.end() if array else 0
    for one in wanted:
        found = _literal(source.text, one, offset) if isinstance(one, str) else None
        if found is None:
            continue
        offset = found[1] + 1
        line = _line_in(source, *found)
        if line is not None:
            asked.append(Asked(line, source, "toml"))
    return RequirementSet(source.path, tuple(asked), (source,))


def _literal(toml: str, value: str, offset: int) -> tuple[int, int] | None:
    """The offsets between the quotes of the next string with this value; escapes are not looked for."""
    for match in _LITERAL.finditer(toml, offset):
        if match.group()[1:-1] == value:
            return match.start() + 1, match.end() - 1
    return None


def _line_in(source: Source, start: int, end: int) -> Line | None:
    """A requirement inside a string: read alone, then moved to where it is."""
    read = files.read(Source(source.path, source.text[start:end])).requirements
    if not read:
        return None
    one = read[0]
    first, last = one.specifier
    return msgspec.structs.replace(
        one, start=start + one.start, end=start + one.end, specifier=(start + first, start + last)
    )
