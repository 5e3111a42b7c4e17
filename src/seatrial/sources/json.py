"""JSON with positions, as RFC 8259 has it: no comments, no trailing commas, no NaN."""

from __future__ import annotations

import re
from json.decoder import JSONDecodeError, scanstring  # type: ignore[attr-defined]
from typing import Any

from seatrial.sources.text import Source, SourceError, finding
from seatrial.sources.tree import Document, Duplicate, Node

_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_WORDS = {"true": True, "false": False, "null": None}
_DEEPEST = 200


def read(source: Source) -> Document:
    """Read a JSON file.

    Raises:
        SourceError: the text is not JSON, or nested more than 200 deep.
    """
    duplicates: list[Duplicate] = []
    start = _skip(source.text, 0)
    root = _value(source, start, 0, duplicates)
    rest = _skip(source.text, root.end)
    if rest < len(source.text):
        raise _wrong(source, rest, "there is more after the end of the JSON value")
    return Document(source, root, tuple(duplicates))


def read_text(path: str, text: str) -> Document:
    """Read JSON text; see `read`."""
    return read(Source(path, text))


def _skip(text: str, offset: int) -> int:
    match = _SPACE.match(text, offset)
    return match.end() if match else offset


def _wrong(source: Source, offset: int, message: str, cause: str = "") -> SourceError:
    return SourceError(
        finding("source/json-syntax", "error", source.place(offset), message, cause=cause, source=_SPEC)
    )


_SPEC = "https://www.rfc-editor.org/rfc/rfc8259"


def _value(source: Source, at: int, depth: int, duplicates: list[Duplicate]) -> Node:
    text = source.text
    first = text[at : at + 1]
    if first == "{":
        return _object(source, at, depth + 1, duplicates)
    if first == "[":
        return _array(source, at, depth + 1, duplicates)
    if first == '"':
        return _string(source, at)
    number = _NUMBER.match(text, at)
    if number:
        return Node("scalar", at, number.end(), _number(number), number.group())
    for word, value in _WORDS.items():
        if text.startswith(word, at):
            return Node("scalar", at, at + len(word), value, word)
    raise _unexpected(source, at)


def _unexpected(source: Source, at: int) -> SourceError:
    rest = source.text[at : at + 2]
    if not rest:
        return _wrong(source, at, "the file ends where a value was expected")
    if rest in ("//", "/*") or rest[0] == "#":
        return _wrong(source, at, "expected a value", "JSON has no comments")
    if rest[0] == "'":
        return _wrong(source, at, "expected a value", "JSON strings have double quotes")
    if rest[0] in "]}":
        return _wrong(source, at, "expected a value", "JSON allows no comma before a closing bracket")
    return _wrong(source, at, f"expected a value, found {rest[0]!r}")


def _number(match: re.Match[str]) -> int | float | str:
    try:
        return float(match.group()) if match[1] or match[2] else int(match.group())
    except ValueError:  # more digits than Python converts
        return match.group()


def _string(source: Source, at: int) -> Node:
    try:
        value, end = scanstring(source.text, at + 1, True)
    except JSONDecodeError as error:
        raise _wrong(source, error.pos, error.msg[0].lower() + error.msg[1:].removesuffix(" at")) from error
    return Node("scalar", at, end, value, value)


def _array(source: Source, at: int, depth: int, duplicates: list[Duplicate]) -> Node:
    _check_depth(source, at, depth)
    text, items = source.text, []
    offset = _skip(text, at + 1)
    if text[offset : offset + 1] != "]":
        while True:
            items.append(_value(source, offset, depth, duplicates))
            offset = _skip(text, items[-1].end)
            if text[offset : offset + 1] != ",":
                break
            offset = _skip(text, offset + 1)
    _expect(source, offset, "]")
    return Node("sequence", at, offset + 1, [item.value for item in items], items=items)


def _object(source: Source, at: int, depth: int, duplicates: list[Duplicate]) -> Node:
    _check_depth(source, at, depth)
    text = source.text
    entries: list[tuple[Node, Node]] = []
    plain: dict[str, Any] = {}
    offset = _skip(text, at + 1)
    if text[offset : offset + 1] != "}":
        while True:
            key, value = _entry(source, offset, depth, duplicates)
            if key.value in plain:
                first = next(known for known, _ in entries if known.value == key.value)
                places = source.place(first.start, first.end), source.place(key.start, key.end)
                duplicates.append(Duplicate(key.text, *places))
            entries.append((key, value))
            plain[key.value] = value.value
            offset = _skip(text, value.end)
            if text[offset : offset + 1] != ",":
                break
            offset = _skip(text, offset + 1)
    _expect(source, offset, "}")
    return Node("mapping", at, offset + 1, plain, entries=entries)


def _entry(source: Source, at: int, depth: int, duplicates: list[Duplicate]) -> tuple[Node, Node]:
    if source.text[at : at + 1] != '"':
        cause = "JSON allows no comma before a closing bracket" if source.text[at : at + 1] == "}" else ""
        raise _wrong(source, at, "expected a key in double quotes", cause)
    key = _string(source, at)
    offset = _skip(source.text, key.end)
    _expect(source, offset, ":")
    return key, _value(source, _skip(source.text, offset + 1), depth, duplicates)


def _expect(source: Source, at: int, character: str) -> None:
    found = source.text[at : at + 1]
    if found != character:
        what = repr(found) if found else "the end of the file"
        also = "`,` or " if character in "]}" else ""
        raise _wrong(source, at, f"expected {also}`{character}`, found {what}")


def _check_depth(source: Source, at: int, depth: int) -> None:
    if depth > _DEEPEST:
        raise _wrong(source, at, f"values are nested more than {_DEEPEST} deep")
