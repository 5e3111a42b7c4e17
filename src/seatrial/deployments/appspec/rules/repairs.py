"""Repairs of a file that is not YAML: a few likely ones are tried, and one that helps is offered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.deployments.appspec.rules.look import edit, read_after, shifted
from seatrial.findings import Fix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.deployments.appspec.reading import Reading
    from seatrial.findings import Edit, Finding
    from seatrial.sources.text import Source

_VALUE = re.compile(r"(?P<lead>[ ]*(?:- )?[\w.-]+:[ ]+|[ ]*- )(?P<text>\S.*?)[ \t]*$")
_GLUED = re.compile(r"(?P<lead>[ ]*(?:- )?[A-Za-z_]+):(?=[^\s:/\\])")
_BEGUN = re.compile(r"that starts on line (\d+)$")
_TABS = re.compile(r"[ ]*\t[ \t]*")
_WIDTH = 2


def repair(source: Source, reading: Reading, refused: Finding) -> tuple[str, Fix | None]:
    """The cause and the repair of a syntax error; an empty text and None where none is known that helps.

    A repair is safe where nothing is refused any more.
    """
    better: tuple[str, Fix] | None = None
    for cause, title, edits in _candidates(source, refused):
        fix = Fix(title=title, safe=True, edits=tuple(edits))
        after = read_after(source, reading, fix)
        if not after.refusals:
            return cause, fix
        if better is None and not any(one.rule == refused.rule for one in after.refusals):
            better = cause, Fix(title=title, safe=False, edits=fix.edits)
    return better or ("", None)


def _candidates(source: Source, refused: Finding) -> Iterator[tuple[str, str, tuple[Edit, ...]]]:
    begun = _BEGUN.search(refused.cause)
    near = [refused.line, refused.line - 1, *((int(begun[1]),) if begun else ())]
    lines = [
        one for one in dict.fromkeys(near) if 1 <= one <= len(source.starts) and source.line(one).strip()
    ]
    yield from _tabs(source)
    for line in lines:
        yield from _spaces(source, line)
        yield from _quotes(source, line)
    for line in lines:
        yield from _indents(source, line)


def _tabs(source: Source) -> Iterator[tuple[str, str, tuple[Edit, ...]]]:
    edits = []
    for number, start in enumerate(source.starts, 1):
        found = _TABS.match(source.line(number))
        if found:
            edits.append(edit(source, start, start + found.end(), found.group().replace("\t", " " * _WIDTH)))
    if edits:
        yield (
            "a line is indented with a tab; YAML allows only spaces there",
            "indent with spaces",
            tuple(edits),
        )


def _spaces(source: Source, line: int) -> Iterator[tuple[str, str, tuple[Edit, ...]]]:
    found = _GLUED.match(source.line(line))
    if found:
        at = source.starts[line - 1] + found.end()
        yield (
            f"line {line} has no space after the colon", f"put a space after the colon on line {line}",
            (edit(source, at, at, " "),),
        )  # fmt: skip


def _quotes(source: Source, line: int) -> Iterator[tuple[str, str, tuple[Edit, ...]]]:
    found = _VALUE.match(source.line(line))
    if found is None or found["text"][0] in "'\"[{|>#":
        return
    start = source.starts[line - 1] + found.start("text")
    quoted = "'" + found["text"].replace("'", "''") + "'"
    yield (
        "a value with `: `, or one that begins with a special character, needs quotes",
        f"quote the value on line {line}",
        (edit(source, start, start + len(found["text"]), quoted),),
    )


def _indents(source: Source, line: int) -> Iterator[tuple[str, str, tuple[Edit, ...]]]:
    """The line alone, then the line and what hangs below it, at each indentation that lines before it have."""
    text = source.line(line)
    width = len(text) - len(text.lstrip(" "))
    levels = {0}
    for number in range(line - 1, max(line - 12, 0), -1):
        before = source.line(number)
        if before.strip():
            indent = len(before) - len(before.lstrip(" "))
            levels |= {indent, indent + 2 if before.lstrip().startswith("- ") else indent}
    below = _below(source, line, width)
    for level in sorted(levels - {width}, key=lambda one: abs(one - width)):
        for lines in dict.fromkeys((below, range(line, line + 1))):
            edits = shifted(source, lines, level - width)
            if len(edits) == sum(1 for one in lines if source.line(one).strip()):
                yield (
                    f"line {line} is indented by {width} spaces, not {level}",
                    f"indent line {line} by {level}",
                    edits,
                )


def _below(source: Source, line: int, width: int) -> range:
    last = line
    for number in range(line + 1, len(source.starts) + 1):
        text = source.line(number)
        if text.strip():
            if len(text) - len(text.lstrip(" ")) <= width:
                break
            last = number
    return range(line, last + 1)
