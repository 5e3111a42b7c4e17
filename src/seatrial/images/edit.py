"""The smallest text edits that change what an image is made of, written the way each file writes it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.findings import Edit, Fix

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seatrial.images.story.model import Base, Install, Request, Span
    from seatrial.sources.text import Source

_SPECIAL = re.compile(r"[<>|&;()\s*?!]")


def fix(title: str, edits: Iterable[Edit | None], *, safe: bool = False) -> Fix | None:
    """Edits that belong together; None when one of them cannot be made, or nothing would change."""
    wanted = list(dict.fromkeys(edits))
    if not wanted or None in wanted:
        return None
    return Fix(title=title, safe=safe, edits=tuple(one for one in wanted if one is not None))


def replace(span: Span, text: str) -> Edit:
    """Write `text` in the place of a span."""
    return _edit(span.source, span.start, span.end, text)


def pin(request: Request, version: str, *, label: str | None = None) -> Edit | None:
    """Ask for exactly `version`; a local label (`+cu121`) is kept unless `label` says another (empty: none).

    Changes only the number where it is written, also where that is the default of an ARG.
    """
    if request.locked:
        return None
    if request.version is not None:
        written = request.version.text
        kept = "+" + written.partition("+")[2] if "+" in written else ""
        if label is not None:
            kept = f"+{label}" if label else ""
        return replace(request.version, f"{version}{kept}")
    return specify(request, f"=={version}" + (f"+{label}" if label else ""))


def specify(request: Request, specifier: str) -> Edit | None:
    """Ask for versions that fit `specifier` (PEP 440), instead of what is asked for now."""
    if request.versions is None or request.locked or request.url:
        return None
    written = _spelled(request, specifier)
    if request.style == "shell":
        return _in_shell(request, request.versions, written)
    return replace(request.versions, written)


def cap(request: Request, below: str, newest: str) -> Edit | None:
    """Keep a request below `below`, changed as little as does it; `newest` is the newest version below.

    A pin becomes `newest`; an upper bound is lowered; else one is added.
    """
    from seatrial.images.versions import pinned, reaches

    if pinned(request.specifiers):
        return pin(request, newest)
    if request.versions is None:
        return None
    if reaches(request.specifiers, below):
        major = newest.split(".", maxsplit=1)[0]
        return specify(request, f">={major},<{below}")
    # As it is written, where that is PEP 440: the order, the blanks and the brackets stay.
    plain = request.style in ("lines", "toml", "shell")
    written = request.versions.text if plain else request.specifier
    upper = re.compile(r"<=?\s*[\w.*!+-]+")
    inner = written.rstrip(") \t")
    added = f"{inner},<{below}{written[len(inner) :]}" if inner else f"<{below}"
    return specify(request, upper.sub(f"<{below}", written, count=1) if upper.search(written) else added)


def add(beside: Request, *requirements: str) -> Edit | None:
    """Ask for more packages, written after `beside` in the way its file writes them."""
    if beside.locked or beside.style == "poetry":
        return None
    source, end = beside.at.source, beside.at.end
    if beside.style == "shell":
        end = _closing_quote(source, beside)
        return _edit(source, end, end, "".join(f" {_quoted(one)}" for one in requirements))
    if beside.style == "toml":
        quote = source.text[beside.at.end : beside.at.end + 1]
        quote = quote if quote in ("'", '"') else '"'
        inside = source.text[end : end + 1] == quote
        end += inside
        return _edit(source, end, end, "".join(f", {quote}{one}{quote}" for one in requirements))
    line = source.position(beside.at.start)[0]
    start = source.starts[line - 1]
    lead = source.text[start : beside.at.start] if beside.style == "conda" else ""
    end = start + len(source.line(line))
    return _edit(source, end, end, "".join(f"{source.newline}{_lead(lead)}{one}" for one in requirements))


def remove(request: Request) -> Edit | None:
    """Do not ask for a package: its line, its word or its item goes. None where it is the only word of a command."""
    if request.locked:
        return None
    source, start, end = request.at.source, request.at.start, request.at.end
    if request.style == "shell":
        return _without_word(request)
    if request.style == "toml":
        start, end = start - 1, end + 1
        after = re.compile(r"\s*,[^\S\r\n]*").match(source.text, end)
        return _edit(source, start, after.end() if after else end, "")
    first, last = source.position(start)[0], source.position(end)[0]
    stop = source.starts[last] if last < len(source.starts) else len(source.text)
    return _edit(source, source.starts[first - 1], stop, "")


def rebase(base: Base, reference: str) -> list[Edit | None]:
    """Start from another image: only the part that differs is changed where the reference is put together.

    A list with None where no edit of what is written gives that reference.
    """
    if base.value is not None and base.value.text in (base.reference, base.written):
        return [replace(base.value, reference)]
    pieces = base.pieces
    if not pieces or "".join(one.text for one in pieces) != base.reference:
        return [None]
    within = [base.at.start <= one.start and one.end <= base.at.end for one in pieces]
    pattern = "".join(
        re.escape(one.text) if literal else "(.+?)" for one, literal in zip(pieces, within, strict=True)
    )
    match = re.fullmatch(pattern, reference)
    variables = [one for one, literal in zip(pieces, within, strict=True) if not literal]
    if match is not None and variables:
        changed = [
            (one, text) for one, text in zip(variables, match.groups(), strict=True) if text != one.text
        ]
        same = {(one.start, one.end): text for one, text in changed}
        if all(same[one.start, one.end] == text for one, text in changed):
            return [replace(one, text) for one, text in changed]
    return [_in_one_piece(pieces, base.reference, reference)]


def _in_one_piece(pieces: Sequence[Span], old: str, new: str) -> Edit | None:
    """The change of one piece that turns `old`, which the pieces make, into `new`."""
    offset = 0
    for one in pieces:
        head, tail = old[:offset], old[offset + len(one.text) :]
        offset += len(one.text)
        if len(new) > len(head + tail) and new.startswith(head) and new.endswith(tail):
            return replace(one, new[len(head) : len(new) - len(tail)])
    return None


def option(install: Install, text: str) -> Edit | None:
    """Give an install one more option (`--no-build-isolation`), right after its verb."""
    if install.options is None:
        return None
    return _edit(install.options.source, install.options.start, install.options.start, f" {text}")


def line_before(span: Span, text: str) -> Edit:
    """A line of its own before the line where a span starts, with the same indentation."""
    source = span.source
    start = source.starts[source.position(span.start)[0] - 1]
    lead = re.match(r"[^\S\r\n]*", source.text[start:])
    indent = lead.group() if lead else ""
    return _edit(source, start, start, f"{indent}{text}{source.newline}")


def line_after(span: Span, text: str) -> Edit:
    """A line of its own after the line where a span ends."""
    source = span.source
    line = source.position(max(span.start, span.end - 1))[0]
    end = source.starts[line - 1] + len(source.line(line))
    return _edit(source, end, end, f"{source.newline}{text}")


def without_line(span: Span) -> Edit:
    """Take away the lines that a span touches."""
    source = span.source
    first, last = source.position(span.start)[0], source.position(max(span.start, span.end - 1))[0]
    stop = source.starts[last] if last < len(source.starts) else len(source.text)
    return _edit(source, source.starts[first - 1], stop, "")


def editable(requests: Sequence[Request]) -> tuple[Request, ...]:
    """The requests whose versions can be changed by an edit."""
    return tuple(one for one in requests if one.versions is not None and not one.locked and not one.url)


def _edit(source: Source, start: int, end: int, text: str) -> Edit:
    return Edit(path=source.path, start=source.position(start), end=source.position(end), text=text)


def _spelled(request: Request, specifier: str) -> str:
    """A specifier as the file's own format writes it."""
    if request.style == "conda":
        return re.sub(r"^==(?=[^,]*$)", "=", specifier)
    if request.style == "poetry":
        return re.sub(r"^==(?=[^,]*$)", "", specifier) or "*"
    return specifier


def _in_shell(request: Request, versions: Span, written: str) -> Edit:
    """The whole word when it needs quotes that it does not have, else just the versions."""
    source, at = request.at.source, request.at
    inside = versions.source.path == source.path and at.start <= versions.start and versions.end <= at.end
    if not inside or not _SPECIAL.search(written) or _is_quoted(source, request):
        return replace(versions, written)
    word = source.text[at.start : versions.start] + written + source.text[versions.end : at.end]
    return _edit(source, at.start, at.end, f'"{word}"')


def _is_quoted(source: Source, request: Request) -> bool:
    before, first = source.text[request.at.start - 1 : request.at.start], source.text[request.at.start :][:1]
    return before in ("'", '"') or first in ("'", '"')


def _quoted(requirement: str) -> str:
    return f'"{requirement}"' if _SPECIAL.search(requirement) else requirement


def _closing_quote(source: Source, request: Request) -> int:
    end = request.at.end
    opened = source.text[request.at.start - 1 : request.at.start]
    return end + 1 if opened in ("'", '"') and source.text[end : end + 1] == opened else end


def _without_word(request: Request) -> Edit | None:
    """The word and the blanks before it, and the line continuation when the word had a line of its own."""
    source = request.at.source
    start, end = request.at.start, _closing_quote(source, request)
    if start and source.text[start - 1] in "'\"":
        start -= 1
    lead = re.search(r"(?:[^\S\r\n]*\\\r?\n)?[^\S\r\n]*$", source.text[:start])
    return _edit(source, lead.start() if lead else start, end, "")


def _lead(text: str) -> str:
    """The indentation and dash of an item of a YAML list."""
    match = re.match(r"\s*-\s*", text)
    return match.group() if match else ""
