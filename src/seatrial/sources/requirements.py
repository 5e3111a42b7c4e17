"""Requirement files, line by line, as pip reads them, with positions.

Source: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.sources.text import SourceError, finding

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from seatrial.findings import Finding, Place
    from seatrial.sources.text import Source

Kind = Literal["requirement", "url", "include", "constraint", "option"]

_COMMENT = re.compile(r"(^|\s+)#.*$", re.DOTALL)
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|$)")
_HEAD = re.compile(r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?P<extras>\[[^\]]*\])?\s*")
_OPTIONS = re.compile(r"(?:^|\s)--?[A-Za-z]")
_HASH = re.compile(r"--hash[= ]\s*(\S+)")
_TARGET = re.compile(
    r"^(?P<flag>-r|--requirement|-c|--constraint|-e|--editable)(?:\s*=\s*|\s*)(?P<value>.+)$"
)
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar")


class Line(msgspec.Struct, frozen=True):
    """One logical line: continuations joined, comment taken away.

    `start` and `end` are offsets in the source, without the comment. For a requirement, `name` is normalised
    as in PEP 503, and `specifier` is the offsets of its version specifier, an empty range where one would go.
    For an include or constraint `target` is the path as written. `hashes` are `algorithm:hex`.
    """

    kind: Kind
    start: int
    end: int
    text: str
    name: str = ""
    specifier: tuple[int, int] = (0, 0)
    requirement: Requirement | None = None
    target: str = ""
    hashes: tuple[str, ...] = ()


class RequirementsFile(msgspec.Struct, frozen=True):
    """A requirement file's lines, and what is wrong with those that pip refuses."""

    source: Source
    lines: tuple[Line, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def requirements(self) -> tuple[Line, ...]:
        """The lines that ask for a package by name."""
        return tuple(line for line in self.lines if line.kind == "requirement")

    @property
    def hashed(self) -> bool:
        """Whether pip is in hash-checking mode: then every requirement must be pinned and have its hash."""
        return any(line.hashes or line.text.startswith("--require-hashes") for line in self.lines)

    def place(self, line: Line) -> Place:
        """Where a line is."""
        return self.source.place(line.start, line.end)


def read(source: Source) -> RequirementsFile:
    """Read a requirement or constraint file. Lines that pip refuses become findings, the others are read."""
    lines: list[Line] = []
    findings: list[Finding] = []
    for text, offsets in _logical_lines(source.text):
        stripped = _COMMENT.sub("", text)
        lead = len(stripped) - len(stripped.lstrip())
        stripped = stripped.strip()
        if not stripped:
            continue
        here = offsets[lead : lead + len(stripped) + 1]
        try:
            lines.append(_line(source, stripped, here))
        except SourceError as error:
            findings.append(error.finding)
    return RequirementsFile(source, tuple(lines), tuple(findings))


def _logical_lines(text: str) -> list[tuple[str, list[int]]]:
    """Physical lines joined where one ends in a backslash; each character keeps its offset (plus one for the end)."""
    joined: list[tuple[str, list[int]]] = []
    parts, offsets = "", list[int]()
    for match in _LINE.finditer(text):
        if match.start() == match.end():
            continue
        body = match.group().rstrip("\r\n")
        comment = body.lstrip().startswith("#")
        # A comment inside a continued line ends it, as in pip's join_lines.
        continued = body.endswith("\\") and not comment
        kept = body[:-1] if continued else body
        parts += (" " if comment and parts else "") + kept
        offsets += [match.start()] * (1 if comment and len(parts) > len(kept) else 0)
        offsets += range(match.start(), match.start() + len(kept))
        if not continued:
            joined.append((parts, [*offsets, match.start() + len(kept)]))
            parts, offsets = "", []
    if parts:
        joined.append((parts, [*offsets, len(text)]))
    return joined


def _line(source: Source, text: str, offsets: list[int]) -> Line:
    start, end = offsets[0], offsets[len(text) - 1] + 1
    if text.startswith("-"):
        target = _TARGET.match(text)
        if target is None:
            return Line("option", start, end, text)
        kinds: dict[str, Kind] = {
            "-r": "include",
            "--requirement": "include",
            "-e": "url",
            "--editable": "url",
        }
        kind = kinds.get(target["flag"], "constraint")
        return Line(kind, start, end, text, target=target["value"].strip().strip("\"'"))
    options = _OPTIONS.search(text)
    asked = text[: options.start()].rstrip() if options else text
    hashes = tuple(_HASH.findall(text[options.start() :])) if options else ()
    if _is_location(asked):
        return Line("url", start, end, text, target=asked, hashes=hashes)
    return _requirement(source, text, asked, offsets, hashes)


def _is_location(asked: str) -> bool:
    """A path, an archive or a bare URL; `name @ url` is a requirement."""
    if "@" in asked and _HEAD.match(asked) and re.match(r"[^@/:]*@", asked):
        return False
    bare = asked.split("#", 1)[0].split(";", 1)[0].strip()
    return (
        "://" in bare
        or "/" in bare
        or bare.startswith(".")
        or bare.lower().endswith(_ARCHIVES)
        or "${" in bare
    )


def _requirement(source: Source, text: str, asked: str, offsets: list[int], hashes: tuple[str, ...]) -> Line:
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    start, end = offsets[0], offsets[len(text) - 1] + 1
    try:
        requirement = Requirement(asked)
    except InvalidRequirement as error:
        problem = str(error).splitlines()[0]
        raise SourceError(
            finding(
                "requirements/syntax",
                "error",
                source.place(start, offsets[len(asked) - 1] + 1),
                f"{asked!r} is not a requirement: {problem[0].lower()}{problem[1:]}",
                cause="pip refuses the whole file",
                source="https://packaging.python.org/en/latest/specifications/dependency-specifiers/",
            )
        ) from error
    head = _HEAD.match(asked)
    first = head.end() if head else len(asked)
    last = asked.find(";", first)
    last = len(asked.rstrip()) if last < 0 else len(asked[:last].rstrip())
    if head and last <= first:
        # Nothing there: a specifier goes right behind the name and its extras.
        first = last = len(asked[:first].rstrip())
    span = (offsets[first], offsets[last - 1] + 1 if last > first else offsets[first])
    if first == last and first == len(text):
        span = (end, end)
    name = canonicalize_name(requirement.name)
    return Line("requirement", start, end, text, name, span, requirement, hashes=hashes)
