"""Repairs of a buildspec that is not YAML: a few likely ones are tried, and one that helps is offered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.builds.reading import read
from seatrial.builds.rules.look import edit
from seatrial.builds.rules.quoting import needs_quotes, quoted
from seatrial.findings import Fix
from seatrial.sources.edits import edited
from seatrial.sources.shell import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.findings import Finding
    from seatrial.sources.edits import Span
    from seatrial.sources.text import Source

_ITEM = re.compile(r"(?P<lead>[ ]*-[ ]+)(?P<text>\S.*?)[ \t]*$")
_VALUE = re.compile(r"(?P<lead>[ ]*(?:- )?[\w.-]+:[ ]+)(?P<text>\S.*?)[ \t]*$")
_DASH = re.compile(r"([ ]*)- ")
_KEY = re.compile(r"([ ]*)[\w-]+:[ \t]*$")
_BEGUN = re.compile(r"that starts on line (\d+)$")
_NAME = re.compile(r"[*&][A-Za-z]")
_LONGEST = 200
_RULE = "source/yaml-syntax"


def repair(source: Source, refused: Finding) -> tuple[str, Fix | None]:
    """The cause and the repair of a syntax error; an empty text and None where none is known that helps."""
    for cause, title, spans in _candidates(source, refused):
        after = edited(source, spans)
        if _is_better(after, refused):
            edits = tuple(edit(source, *span) for span in spans)
            return cause, Fix(title=title, safe=True, edits=edits)
    return "", None


def _is_better(after: Source, refused: Finding) -> bool:
    """Whether the text is YAML now, or its first mistake is further down."""
    left = read(after).refusals
    wrong = [one for one in left if one.rule == _RULE]
    return not wrong or wrong[0].line > refused.line


def _candidates(source: Source, refused: Finding) -> Iterator[tuple[str, str, tuple[Span, ...]]]:
    line = refused.line
    begun = _BEGUN.search(refused.cause)
    lines = dict.fromkeys((line, line - 1, *((int(begun[1]),) if begun else ())))
    near = [one for one in lines if 1 <= one <= len(source.starts)]
    for one in near:
        yield from _quote(source, one, refused)
    for one in near:
        yield from _tabs(source, one)
    indents = [found for one in near for found in _indent(source, one)]
    yield from sorted(indents, key=lambda found: len(found[2]))
    yield from _block(source, line)


def _quote(source: Source, line: int, refused: Finding) -> Iterator[tuple[str, str, tuple[Span, ...]]]:
    text, start = source.line(line), source.starts[line - 1]
    for pattern, what in ((_ITEM, "item"), (_VALUE, "value")):
        found = pattern.match(text)
        if found is None:
            continue
        said = found["text"]
        if _NAME.match(said) and "unknown anchor" in refused.message:
            continue
        if said[0] in "|>" or (said[0] in "'\"" and said[-1] == said[0]):
            said = _unquoted(said)
        if not said or (not needs_quotes(said) and said == found["text"]):
            continue
        begin = start + found.start("text")
        span = (begin, start + found.end("text"), quoted(said, len(found["lead"])))
        cause = _why(found["text"])
        yield cause, f"quote the {what} on line {line}", (span,)


def _unquoted(text: str) -> str:
    """What a wrongly quoted text wants to say: a backslash that YAML does not know, a quote within quotes."""
    inner = text[1:-1]
    return inner if text[0] == '"' and text[-1:] == '"' and len(text) > 1 else ""


def _why(text: str) -> str:
    return _CAUSES.get(text[0], "`: ` inside an unquoted value starts a new mapping")


_CAUSES = {
    '"': 'in double quotes YAML reads `\\` and `"` itself',
    "'": "the quotes that the value begins with end before it does",
    "[": "a value that begins with `[` is a collection to YAML",
    "{": "a value that begins with `{` is a collection to YAML",
    "*": "a value that begins with `*` is an alias to YAML",
    "&": "a value that begins with `&` is an anchor to YAML",
    "!": "a value that begins with `!` is a tag to YAML",
    "%": "`%` cannot begin a value",
    "@": "`@` cannot begin a value",
    "`": "a backquote cannot begin a value",
}


def _tabs(source: Source, line: int) -> Iterator[tuple[str, str, tuple[Span, ...]]]:
    spans = []
    for number, start in enumerate(source.starts, 1):
        text = source.line(number)
        lead = text[: len(text) - len(text.lstrip(" \t"))]
        if "\t" in lead:
            spans.append((start, start + len(lead), lead.replace("\t", "  ")))
    if spans and "\t" in source.line(line):
        cause = "the line is indented with a tab; YAML allows only spaces there"
        yield cause, "indent with two spaces for each tab", tuple(spans)


def _indent(source: Source, line: int) -> Iterator[tuple[str, str, tuple[Span, ...]]]:
    """Put an item where its neighbours are."""
    own = _DASH.match(source.line(line))
    if own is None:
        return
    wanted = []
    for other in (line + 1, line - 1):
        dash = _DASH.match(source.line(other))
        if dash is not None and len(dash[1]) != len(own[1]):
            wanted.append(len(dash[1]))
    before = _KEY.match(source.line(line - 1))
    if before is not None and len(before[1]) >= len(own[1]):
        wanted.append(len(before[1]) + 2)
    for width in wanted:
        spans = []
        number = line
        while (dash := _DASH.match(source.line(number))) is not None and len(dash[1]) == len(own[1]):
            start = source.starts[number - 1]
            spans.append((start, start + len(own[1]), " " * width))
            number += 1
        cause = (
            "the items of a list must all stand in one column, right of their key's first letter or under it"
        )
        yield cause, f"indent line {line} by {width} spaces", tuple(spans)


def _block(source: Source, line: int) -> Iterator[tuple[str, str, tuple[Span, ...]]]:
    """A command of several lines that are not indented: as a block, up to where its quotes and documents end."""
    for first in range(line, max(line - _LONGEST, 0), -1):
        found = _ITEM.match(source.line(first))
        if found is None:
            continue
        is_block = found["text"][0] == "|"
        if found["text"][0] in "'\">" or (not is_block and _is_whole(found["text"])):
            return
        yield from _as_block(source, first, len(found["lead"]), found["text"])
        return


def _as_block(
    source: Source, first: int, width: int, text: str
) -> Iterator[tuple[str, str, tuple[Span, ...]]]:
    is_block = text[0] == "|"
    lines = [] if is_block else [text]
    last = first
    while last < len(source.starts) and last - first < _LONGEST:
        last += 1
        lines.append(source.line(last))
        body = "\n".join(lines)
        if last - first < 1 or (is_block and not _left_margin(source.line(last), width)):
            continue
        following = source.line(last + 1)
        if _is_whole(body) and (not following.strip() or _ITEM.match(following) or _KEY.match(following)):
            break
    else:
        return
    begin = source.starts[first - 1] + width
    end = source.starts[last - 1] + len(source.line(last))
    # What stands between the first and the last line that are too far left was indented with them.
    loose = [at for at, one in enumerate(lines) if (is_block or at) and _left_margin(one, width)]
    moved = range(loose[0], loose[-1] + 1) if loose else range(0)
    if not is_block:
        lines[0] = " " * width + lines[0]
    written = "\n".join(
        f"{' ' * width}{one}".rstrip() if at in moved else one for at, one in enumerate(lines)
    )
    header = text if is_block else "|"
    cause = "lines of a command that are not indented are no part of it to YAML"
    yield (
        cause,
        f"write the command on line {first} as an indented block",
        ((begin, end, f"{header}\n{written}"),),
    )


def _left_margin(line: str, width: int) -> bool:
    return bool(line.strip()) and len(line) - len(line.lstrip(" ")) < width


def _is_whole(text: str) -> bool:
    return not parse(text).has_error
