"""Dockerfiles as BuildKit reads them, every part with its place.

Sources: https://docs.docker.com/reference/dockerfile/ and BuildKit's parser,
https://github.com/moby/buildkit/tree/v0.29.0/frontend/dockerfile/parser
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.sources.dockerfile_checks import refusals
from seatrial.sources.dockerfile_json import strings
from seatrial.sources.dockerfile_lines import (
    LONGEST_LINE,
    UnterminatedError,
    collect,
    directives,
    here_documents,
    logical,
    physical,
    terminators,
)
from seatrial.sources.dockerfile_model import Dockerfile, Instruction
from seatrial.sources.dockerfile_parts import arguments, flags, key_values
from seatrial.sources.text import finding

if TYPE_CHECKING:
    from seatrial.findings import Finding
    from seatrial.sources.dockerfile_lines import Line, Terminators
    from seatrial.sources.dockerfile_model import Directive
    from seatrial.sources.dockerfile_text import Joined
    from seatrial.sources.text import Source

KEYWORDS = frozenset(
    [
        "ADD",
        "ARG",
        "CMD",
        "COPY",
        "ENTRYPOINT",
        "ENV",
        "EXPOSE",
        "FROM",
        "HEALTHCHECK",
        "LABEL",
        "MAINTAINER",
        "ONBUILD",
        "RUN",
        "SHELL",
        "STOPSIGNAL",
        "USER",
        "VOLUME",
        "WORKDIR",
    ]
)
_EXEC = frozenset(("CMD", "ENTRYPOINT", "RUN", "SHELL", "ADD", "COPY", "VOLUME"))
_LISTS = frozenset(("ADD", "COPY", "VOLUME", "FROM", "EXPOSE"))
_HEREDOCS = frozenset(("ADD", "COPY", "RUN"))
_SPLIT = re.compile(r"[\t\v\f\r ]+")
_REFERENCE = "https://docs.docker.com/reference/dockerfile/"


class _Malformed(Exception):  # noqa: N818 - it is caught here and becomes a finding
    def __init__(self, message: str, where: Joined) -> None:
        super().__init__(message)
        self.where = where


def read(source: Source) -> Dockerfile:
    """Read a Dockerfile. What BuildKit refuses becomes a finding, and the rest is read. Never raises."""
    text = source.text
    lines = physical(text)
    ends = terminators(text, lines)
    found: list[Finding] = []
    top = tuple(directives(text, lines))
    escape = _escape(source, top, found)
    instructions: list[Instruction] = []
    number, read_until = 0, -1
    while number < len(lines):
        first = number
        joined, number = logical(text, lines, number, escape)
        found += _too_long(source, lines[first:number])
        if not joined.text:
            continue
        try:
            instruction = _instruction(joined, escape)
            instruction, number = _with_heredocs(source, instruction, joined, (lines, ends), number)
        except _Malformed as error:
            # Of lines that follow each other the first is enough: what stands there is something else altogether.
            if read_until == len(instructions):
                continue
            read_until = len(instructions)
            found.append(syntax_finding(source, error.where.start, error.where.end, str(error)))
            continue
        instructions.append(instruction)
    whole = Dockerfile(
        source=source, instructions=tuple(instructions), directives=top, escape=escape, findings=()
    )
    return msgspec.structs.replace(whole, findings=tuple(_sorted(found + _refused(whole, found))))


def _refused(whole: Dockerfile, found: list[Finding]) -> list[Finding]:
    source = whole.source
    if not whole.instructions and not found:
        return [syntax_finding(source, 0, 0, "file with no instructions")]
    if whole.instructions and all(one.keyword == "ARG" for one in whole.instructions) and not found:
        return [syntax_finding(source, 0, 0, "dockerfile contains no stages to build")]
    return [syntax_finding(source, one.start, one.body.end, message) for one, message in refusals(whole)]


def _sorted(found: list[Finding]) -> list[Finding]:
    return sorted(found, key=lambda one: (one.line, one.column))


def syntax_finding(source: Source, start: int, end: int, message: str) -> Finding:
    """A part of a Dockerfile that BuildKit refuses."""
    return finding("source/dockerfile-syntax", "error", source.place(start, end), message, source=_REFERENCE)


def _escape(source: Source, top: tuple[Directive, ...], found: list[Finding]) -> str:
    escape = "\\"
    seen: set[str] = set()
    for one in top:
        where = one.value.start, one.value.end
        if one.name in seen:
            found.append(syntax_finding(source, *where, f"only one {one.name} parser directive can be used"))
        elif one.name == "escape" and one.value.text not in ("\\", "`"):
            message = f"invalid escape token '{one.value.text}' does not match ` or \\"
            found.append(syntax_finding(source, *where, message))
        elif one.name == "escape":
            escape = one.value.text
        seen.add(one.name)
    return escape


def _too_long(source: Source, lines: list[Line]) -> list[Finding]:
    message = f"dockerfile line greater than max allowed size of {LONGEST_LINE}"
    return [
        syntax_finding(source, line.start, line.stop, message)
        for line in lines
        # Counting bytes only where there could be too many.
        if (line.stop - line.start) * 4 > LONGEST_LINE
        and len(source.text[line.start : line.stop].encode("utf-8", "surrogatepass")) > LONGEST_LINE
    ]


def _instruction(line: Joined, escape: str, *, inside: bool = False) -> Instruction:
    trimmed = line.trimmed()
    split = _SPLIT.search(trimmed.text)
    keyword = trimmed.piece(0, split.start() if split else len(trimmed.text))
    rest = trimmed.piece(split.end() if split else len(trimmed.text), len(trimmed.text))
    name = keyword.text.upper()
    if name not in KEYWORDS:
        raise _Malformed(f"unknown instruction: {keyword.text}", keyword)
    options, body = flags(rest, escape)
    body = body.trimmed()
    instruction = Instruction(keyword=name, start=trimmed.start, end=trimmed.end, body=body, flags=options)
    try:
        return _with_arguments(instruction, escape, inside=inside)
    except ValueError as error:
        raise _Malformed(str(error), trimmed) from None


def _with_arguments(one: Instruction, escape: str, *, inside: bool) -> Instruction:
    """The instruction with its body read as its keyword asks.

    Raises:
        ValueError: it cannot be.
    """
    name, body = one.keyword, one.body
    if name in ("ENV", "LABEL"):
        return msgspec.structs.replace(one, pairs=key_values(body, name, escape))
    if name == "ARG":
        return msgspec.structs.replace(one, pairs=arguments(body, escape))
    if name == "ONBUILD":
        if inside:
            raise ValueError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
        held = _instruction(body, escape, inside=True) if body.text else None
        return msgspec.structs.replace(one, onbuild=held)
    form = None
    if name in _EXEC:
        form = strings(body)
    elif name == "HEALTHCHECK" and (split := _SPLIT.search(body.text)):
        form = strings(body.piece(split.end(), len(body.text)))
    words = () if name not in _LISTS else form if form is not None else body.split()
    return msgspec.structs.replace(one, json=form, words=words)


def _with_heredocs(
    source: Source, one: Instruction, line: Joined, file: tuple[list[Line], Terminators], number: int
) -> tuple[Instruction, int]:
    """The instruction with the here-documents that follow it, and the number of the line after them."""
    holder = one.onbuild or one
    if holder.keyword not in _HEREDOCS or holder.json is not None or "<<" not in line.text:
        return one, number
    try:
        asked = here_documents(line.text)
        documents, number = collect(source.text, *file, number, asked)
    except UnterminatedError as error:
        raise _Malformed(f"unterminated heredoc {error}", line.trimmed()) from None
    except ValueError as error:
        raise _Malformed(str(error), line.trimmed()) from None
    if not documents:
        return one, number
    held = one.onbuild and msgspec.structs.replace(one.onbuild, heredocs=documents)
    end = documents[-1].terminator.end
    return msgspec.structs.replace(one, heredocs=documents, onbuild=held, end=end), number
