"""Repairs of the Dockerfile's own text: its shell, its line ends, its words."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from seatrial.images.builders.repairs import editing
from seatrial.sources.dockerfile import KEYWORDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.builders.repairs.case import Case, Fix
    from seatrial.images.builders.repairs.tables import Way

_COMMAND = re.compile(r"^\s*(?:&&|\|\|?|;|[a-z./-][\w./-]*)(?:\s|$)")


def bash(case: Case, _way: Way) -> Iterator[Fix | None]:
    """What only bash understands is run by bash, from here to the end of the stage."""
    text = case.dockerfile.source.text
    if "SHELL" not in text and editing.manager(case) != "apk":
        yield editing.before(
            case, "Run the commands by bash, which they are written for", ['SHELL ["/bin/bash", "-c"]']
        )


def continued(case: Case, _way: Way) -> Iterator[Fix | None]:
    """A command goes on in a line that begins with no instruction: the line before it lacks its backslash."""
    source, escape = case.dockerfile.source, case.dockerfile.escape
    for one in case.dockerfile.findings:
        line = source.line(one.line)
        above = one.line - 1
        while above >= 1 and (not source.line(above).strip() or source.line(above).lstrip().startswith("#")):
            above -= 1
        before = source.line(above).rstrip() if above >= 1 else ""
        word = line.split(maxsplit=1)[0] if line.split() else ""
        near = difflib.get_close_matches(word.upper(), KEYWORDS, 1, 0.8)
        if not before or before.endswith(escape) or not _COMMAND.match(line) or (near and word.isupper()):
            continue
        if not _may_go_on(case, above):
            continue
        end = source.starts[above - 1] + len(before)
        joiner = (
            ""
            if line.lstrip().startswith(("&&", "|", ";", "-")) or before.endswith(("&&", "|", ";"))
            else " &&"
        )
        # A list of words, such as packages, goes on without anything between.
        if re.match(r"^\s+[a-z0-9][\w.+-]*(?:[=<>~!]\S+)?\s*$", line) and re.search(r"\binstall\b", before):
            joiner = ""
        yield editing.changed(
            case, f"Continue line {above} with {escape}", [(end, end, f"{joiner} {escape}")]
        )
        return


def _may_go_on(case: Case, line: int) -> bool:
    """Whether the line belongs to a RUN: nothing else takes commands."""
    source = case.dockerfile.source
    for number in range(line, 0, -1):
        words = source.line(number).split(maxsplit=1)
        if words and words[0].upper() in KEYWORDS:
            return words[0].upper() == "RUN"
    return False


def spelled(case: Case, _way: Way) -> Iterator[Fix | None]:
    """An instruction with a letter wrong."""
    source = case.dockerfile.source
    for one in case.dockerfile.findings:
        wrong = re.search(r"unknown instruction: (\S+)", one.message)
        if wrong is None:
            continue
        near = difflib.get_close_matches(wrong[1].upper(), KEYWORDS, 1, 0.6)
        start = source.offset((one.line, one.column))
        if near and source.text.startswith(wrong[1], start):
            yield editing.changed(
                case, f"Write {near[0]} instead of {wrong[1]}", [(start, start + len(wrong[1]), near[0])]
            )
            return


def stage_name(case: Case, _way: Way) -> Iterator[Fix | None]:
    """`--from` names a stage with a letter wrong."""
    names = [
        one.words[2].text
        for one in case.dockerfile.instructions
        if one.keyword == "FROM" and len(one.words) > 2  # noqa: PLR2004 - FROM x AS y
    ]
    for one in case.dockerfile.instructions:
        value = one.flag("from") if one.keyword in ("COPY", "ADD") else None
        if value is None or value.text.lower() in [name.lower() for name in names] or value.text.isdigit():
            continue
        near = difflib.get_close_matches(value.text, names, 1, 0.6)
        if near:
            yield editing.changed(
                case, f"Copy from the stage {near[0]}; there is none called {value.text}", [(value.start, value.end, near[0])]
            )  # fmt: skip
            return


def utf8(case: Case, _way: Way) -> Iterator[Fix | None]:
    """Programs read and write UTF-8. Source: Debian's C.UTF-8 is in every image of it."""
    if not re.search(r"ENV[^\n]*\b(?:LANG|LC_ALL)\b", case.dockerfile.source.text):
        yield editing.before(case, "Say that texts are UTF-8", ["ENV LANG=C.UTF-8"])


def trusted_folder(case: Case, _way: Way) -> Iterator[Fix | None]:
    """Git refuses a repository of another user; in a build there is no other."""
    yield editing.before(
        case, "Let git trust the copied repository", ["RUN git config --global --add safe.directory '*'"]
    )


def npm_install(case: Case, _way: Way) -> Iterator[Fix | None]:
    """`npm ci` wants a lock that fits; `npm install` makes one that does."""
    yield editing.within(
        case, "Install by package.json, for its lock does not fit", lambda text: re.sub(r"\bnpm ci\b", "npm install", text)
    )  # fmt: skip
