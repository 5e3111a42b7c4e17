"""Files that a Dockerfile's commands make: parts of a file that is known, the rest blanked out.

Blanks keep every character where it stands, so what is read of such a file has its place in the real one.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story.model import Span
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from seatrial.images.story.model import Install, Request

_VISIBLE = re.compile(r"[^\r\n]")
_BREAK = re.compile(r"\\n")
_DELETE = re.compile(r"/(?P<pattern>(?:[^/\\]|\\.)+)/(?P<flags>I?)d$")
_MOST_REPEATS = 2
_LONGEST_LINE = 2000
_PLAIN_PATTERN = re.compile(r"(?:[\w\s.=<>@:,^$*~-]|\[[^\]]*\]|\\[.\-\]\[+/|()b<>]|[|()?+])*$")


def kept(source: Source, ranges: Iterable[tuple[int, int]]) -> Source:
    """The same file with only these ranges."""
    parts: list[str] = []
    at = 0
    for start, end in sorted(ranges):
        if start < at:
            continue
        parts += [_VISIBLE.sub(" ", source.text[at:start]), source.text[start:end]]
        at = end
    parts.append(_VISIBLE.sub(" ", source.text[at:]))
    return Source(source.path, "".join(parts), source.bom)


def printed(source: Source, ranges: Sequence[tuple[int, int]], *, escapes: bool, lines: bool) -> Source:
    r"""What `echo` or `printf` writes. `escapes`: `\n` is a line break; `lines`: each range is a line of its own."""
    masked = kept(source, ranges)
    text = masked.text
    for start, end in ranges:
        if escapes:
            # Two characters for two, so that nothing moves.
            text = text[:start] + _BREAK.sub("\n ", text[start:end]) + text[end:]
        if start and (lines or start == ranges[0][0]):
            text = text[: start - 1] + "\n" + text[start:]
    return Source(source.path, text, source.bom)


def without_lines(
    source: Source, pattern: str, *, extended: bool, ignore_case: bool, only: bool = False
) -> Source | None:
    """The file without the lines that grep or sed would match, or with them only; None for a pattern that is not plain."""
    expression = _python_pattern(pattern, extended=extended)
    if expression is None:
        return None
    try:
        compiled = re.compile(expression, re.IGNORECASE if ignore_case else 0)
    except re.error:
        return None
    ranges = []
    for number, start in enumerate(source.starts, 1):
        line = source.line(number)
        if len(line) > _LONGEST_LINE:
            return None
        if bool(compiled.search(line)) == only:
            ranges.append((start, start + len(line)))
    return kept(source, ranges)


def _python_pattern(pattern: str, *, extended: bool) -> str | None:
    """A POSIX expression of the simple kind as Python's; in basic ones `|`, `(`, `)`, `+`, `?` are plain unless escaped."""
    # Nothing that can take longer than a few times the square of a line: these patterns come from anywhere.
    if (
        not _PLAIN_PATTERN.match(pattern)
        or len(re.findall(r"[*+?]", pattern)) > _MOST_REPEATS
        or re.search(r"\\?\)\\?[*+?]", pattern)
    ):
        return None
    if extended:
        return pattern
    return re.sub(
        r"\\?[|()+?]", lambda match: match[0][1:] if match[0][0] == "\\" else f"\\{match[0]}", pattern
    )


def edited_by_sed(source: Source, script: str, *, extended: bool) -> Source | None:
    """The file after `sed` with a script that deletes lines; None for any other script."""
    current: Source | None = source
    for command in filter(None, (one.strip() for one in re.split(r"[;\n]", script))):
        match = _DELETE.match(command)
        if match is None or current is None:
            return None
        current = without_lines(
            current,
            match["pattern"].replace("\\/", "/"),
            extended=extended,
            ignore_case=match["flags"] == "I",
        )
    return current


def placed(install: Install, originals: Mapping[str, Source]) -> Install:
    """The same requests, standing in the real files instead of the blanked ones."""
    if all(originals.get(one.path, one) is one for one in install.files):
        return install

    def moved(span: Span | None) -> Span | None:
        if span is None:
            return None
        return Span(originals.get(span.source.path, span.source), span.start, span.end)

    def request(one: Request) -> Request:
        return msgspec.structs.replace(
            one, at=moved(one.at) or one.at, versions=moved(one.versions), version=moved(one.version)
        )

    files = {one.path: originals.get(one.path, one) for one in install.files}
    return msgspec.structs.replace(
        install,
        requests=tuple(map(request, install.requests)),
        constraints=tuple(map(request, install.constraints)),
        files=tuple(files.values()),
    )
