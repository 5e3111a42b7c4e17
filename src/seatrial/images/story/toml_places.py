"""Where the values of a TOML file stand. The text is known to be TOML: `sources.toml` has read it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story.model import Span

if TYPE_CHECKING:
    from seatrial.sources.text import Source

Path = tuple[str | int, ...]
"""Keys and, in arrays, positions."""

_SKIP = re.compile(r"(?:\s+|#[^\r\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_KEY = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'[^']*'|[A-Za-z0-9_-]+")
_DOT = re.compile(r"[ \t]*\.[ \t]*")
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:""|")?|\'\'\'.*?\'\'\'(?:\'\'|\')?|"(?:[^"\\\n]|\\.)*"|\'[^\'\n]*\'', re.DOTALL
)
_SCALAR = re.compile(r"[^,\]}#\r\n]*[^,\]}#\r\n\s]")


class Places(msgspec.Struct, frozen=True):
    """Offsets by path: of values as written, with their quotes, and of `key = value` as a whole."""

    source: Source
    values: dict[Path, tuple[int, int]]
    entries: dict[Path, tuple[int, int]]

    def inside(self, path: Path) -> Span | None:
        """The text of a plain string between its quotes; None where escapes or several lines make it another text."""
        start, end = self.values.get(path, (0, 0))
        written = self.source.text[start:end]
        if written[:1] not in ("'", '"') or written[:3] in ("'''", '"""') or "\\" in written:
            return None
        return Span(self.source, start + 1, end - 1)

    def value(self, path: Path) -> Span | None:
        """A value as written."""
        found = self.values.get(path)
        return Span(self.source, *found) if found else None

    def entry(self, path: Path) -> Span | None:
        """`key = value` as written."""
        found = self.entries.get(path)
        return Span(self.source, *found) if found else None


class _Scan:
    def __init__(self, source: Source) -> None:
        self.text = source.text
        self.places = Places(source, {}, {})
        self.counts: dict[Path, int] = {}


def read(source: Source) -> Places:
    """Find every value of a file that is TOML."""
    scan = _Scan(source)
    table: Path = ()
    at = _end(_SKIP, scan.text, 0)
    while at < len(scan.text):
        if scan.text[at] == "[":
            table, at = _header(scan, at)
        else:
            at = _pair(scan, table, at)
        at = _end(_SKIP, scan.text, at)
    return scan.places


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _header(scan: _Scan, at: int) -> tuple[Path, int]:
    several = scan.text.startswith("[[", at)
    keys, at = _keys(scan, _end(_BLANK, scan.text, at + (2 if several else 1)))
    at = scan.text.find("]", at)
    # A table below an array of tables belongs to the last one of it.
    path: Path = ()
    for key in keys:
        path = (*path, key)
        if key is keys[-1] and several and path not in scan.counts:
            scan.counts[path] = -1
        if path in scan.counts and (key is not keys[-1] or not several):
            path = (*path, scan.counts[path])
    if several:
        scan.counts[path] += 1
        path = (*path, scan.counts[path])
    return path, (len(scan.text) if at < 0 else at + (2 if several else 1))


def _keys(scan: _Scan, at: int) -> tuple[list[str], int]:
    keys: list[str] = []
    while match := _KEY.match(scan.text, at):
        key = match.group()
        keys.append(key[1:-1] if key[0] in "\"'" else key)
        at = match.end()
        dot = _DOT.match(scan.text, at)
        if dot is None:
            break
        at = dot.end()
    return keys, at


def _pair(scan: _Scan, table: Path, at: int) -> int:
    start = at
    keys, at = _keys(scan, at)
    equals = scan.text.find("=", at)
    if not keys or equals < 0:
        return len(scan.text)
    path = (*table, *keys)
    at = _value(scan, path, _end(_BLANK, scan.text, equals + 1))
    scan.places.entries[path] = (start, at)
    return at


def _value(scan: _Scan, path: Path, at: int) -> int:
    """Note a value and what is in it; gives where it ends."""
    first = scan.text[at : at + 1]
    if first == "[":
        end = _array(scan, path, at + 1)
    elif first == "{":
        end = _inline(scan, path, at + 1)
    elif first in ("'", '"'):
        end = max(_end(_STRING, scan.text, at), at + 1)
    else:
        end = max(_end(_SCALAR, scan.text, at), at + 1)
    scan.places.values[path] = (at, end)
    return end


def _array(scan: _Scan, path: Path, at: int) -> int:
    position = 0
    while True:
        at = _end(_SKIP, scan.text, at)
        if at >= len(scan.text) or scan.text[at] == "]":
            return at + 1
        at = _value(scan, (*path, position), at)
        position += 1
        at = _end(_SKIP, scan.text, at)
        if scan.text[at : at + 1] == ",":
            at += 1


def _inline(scan: _Scan, path: Path, at: int) -> int:
    while True:
        at = _end(_SKIP, scan.text, at)
        if at >= len(scan.text) or scan.text[at] == "}":
            return at + 1
        at = _pair(scan, path, at)
        at = _end(_SKIP, scan.text, at)
        if scan.text[at : at + 1] == ",":
            at += 1
