"""The lines of a Dockerfile: parser directives, continuations, comments, and the lines of here-documents.

Source: https://docs.docker.com/reference/dockerfile/#parser-directives and #here-documents
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import TYPE_CHECKING

import msgspec

from seatrial.sources.dockerfile_model import Directive, Heredoc
from seatrial.sources.dockerfile_text import SPACE, Joined, join
from seatrial.sources.dockerfile_words import Mode, words

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_LINE = 65535
"""Bytes of a line that BuildKit reads: bufio.MaxScanTokenSize less the line break."""

_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_DIRECTIVE = re.compile(r"([a-zA-Z][a-zA-Z0-9]*)[\t\n\f\r ]*=[\t\n\f\r ]*([^\n]+)")
_DIRECTIVES = ("syntax", "escape", "check")
_HEREDOC = re.compile(r"([0-9]*)<<(-?)[\t\n\f\r ]*([^<]*)\Z")
_KEEP = Mode(quotes=True, escapes=True, unset=True)
_PLAIN = Mode(unset=True)
_QUOTED = Mode(quotes=True, unset=True)


class Line(msgspec.Struct, frozen=True):
    """One line: from `start` to `stop` without its line break, `after` with it."""

    start: int
    stop: int
    after: int


class UnterminatedError(ValueError):
    """A here-document that does not end."""


def physical(text: str) -> list[Line]:
    """The lines of a text; a line break alone in the middle of one, a lone CR, is a character of it."""
    lines: list[Line] = []
    for match in _LINE.finditer(text):
        body = match.group().rstrip("\r\n")
        lines.append(Line(match.start(), match.start() + len(body), match.end()))
    return lines


def directives(text: str, lines: list[Line]) -> Iterator[Directive]:
    """The parser directives: `# name=value` with a known name, before anything else."""
    for line in lines:
        body = text[line.start : line.stop].lstrip(SPACE)
        if not body.startswith("#"):
            return
        found = _DIRECTIVE.match(body[1:].lstrip(SPACE))
        name = found[1].lower() if found else ""
        if found is None or name not in _DIRECTIVES:
            return
        value = found[2].rstrip("\t\n\f\r ")
        start = line.stop - len(body[1:].lstrip(SPACE)) + found.start(2)
        yield Directive(name, join(text, [(start, start + len(value))], start))


def logical(text: str, lines: list[Line], number: int, escape: str) -> tuple[Joined, int]:
    """The line `number` with those that continue it, and the number of the line after them.

    Comments and empty lines between continued lines are left out. A comment, or an empty line, is an empty text.
    """
    line = lines[number]
    body = text[line.start : line.stop]
    lead = len(body) - len(body.lstrip(SPACE))
    if body[lead : lead + 1] == "#":
        return Joined("", (), line.start), number + 1
    kept, continued = _continued(body[lead:], escape)
    spans = [(line.start + lead, line.start + lead + kept)]
    number += 1
    while continued and number < len(lines):
        line = lines[number]
        body = text[line.start : line.stop]
        number += 1
        stripped = body.lstrip(SPACE)
        if not stripped or stripped[0] == "#":
            continue
        kept, continued = _continued(body, escape)
        spans.append((line.start, line.start + kept))
    return join(text, spans, line.start), number


def _continued(body: str, escape: str) -> tuple[int, bool]:
    """How much of a line is kept, and whether it goes on: one escape character at its end that is not escaped."""
    end = len(body.rstrip("\t "))
    if body[:end].endswith(escape) and not body[: end - 1].endswith(escape):
        return end - 1, True
    return len(body), False


def here_documents(line: str) -> list[tuple[str, bool, bool, int]]:
    """Name, expand, chomp and descriptor of the here-documents that a line asks for.

    A line whose quotes do not match has none.

    Raises:
        ValueError: the name of one cannot be read.
    """
    try:
        candidates = words(line, {}, mode=_KEEP)
    except ValueError:
        return []
    found = []
    for word in candidates:
        match = _HEREDOC.match(word)
        if match is None or not match[3]:
            continue
        names = words(match[3], {}, mode=_PLAIN)
        if len(names) != 1:
            continue
        quoted = words(match[3], {}, mode=_QUOTED)
        expand = bool(quoted) and _quotes(names[0]) == _quotes(quoted[0])
        found.append((names[0], expand, match[2] == "-", int(match[1][:9] or 0)))
    return found


def _quotes(word: str) -> int:
    return word.count("'") + word.count('"')


Terminators = dict[tuple[bool, str], list[int]]
"""The numbers of the lines that are a text: as they stand, or (True) without the tabs before it."""


def terminators(text: str, lines: list[Line]) -> Terminators:
    """Where here-documents may end, so that a file of many is read in linear time, whether they end or not."""
    found: Terminators = {}
    if "<<" in text:
        for number, line in enumerate(lines):
            body = text[line.start : line.stop]
            found.setdefault((False, body), []).append(number)
            found.setdefault((True, body.lstrip("\t")), []).append(number)
    return found


def collect(
    text: str,
    lines: list[Line],
    ends: Terminators,
    number: int,
    asked: list[tuple[str, bool, bool, int]],
) -> tuple[tuple[Heredoc, ...], int]:
    """The here-documents that begin at the line `number`, and the number of the line after them.

    Raises:
        UnterminatedError: the file ends before one does.
    """
    documents: list[Heredoc] = []
    for name, expand, chomp, descriptor in asked:
        candidates = ends.get((chomp, name), [])
        at = bisect_left(candidates, number)
        if at == len(candidates):
            raise UnterminatedError(name)
        line = lines[candidates[at]]
        start = lines[number].start
        number = candidates[at] + 1
        documents.append(
            Heredoc(
                name=name,
                expand=expand,
                chomp=chomp,
                descriptor=descriptor,
                content=join(text, [(start, line.start)], start),
                terminator=join(text, [(line.stop - len(name), line.stop)], line.stop),
            )
        )
    return tuple(documents), number
