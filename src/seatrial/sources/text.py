"""Text that knows its positions.

Offsets count code points from 0; lines and columns from 1. A line ends at LF, CRLF or a lone CR, as in
the Language Server Protocol. A byte order mark is no part of the text and no column; it is put back on writing.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.findings import Finding, Fix, Place, Position, Severity

if TYPE_CHECKING:
    from pathlib import Path

_BREAK = re.compile(r"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class SourceError(SeatrialError):
    """A file that cannot be read as what it should be; `finding` says where and why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(
            finding.message,
            where=f"{finding.path}:{finding.line}:{finding.column}",
            why=finding.cause or None,
            fix=finding.fix.title if finding.fix else None,
        )
        self.finding = finding

    def __reduce__(self) -> tuple[object, ...]:
        return (SourceError, (self.finding,))


class Source(msgspec.Struct, frozen=True, dict=True):
    """The text of one file. `path` is what findings show; `bom`: the file started with a byte order mark."""

    path: str
    text: str
    bom: bool = False

    @cached_property
    def starts(self) -> tuple[int, ...]:
        """The offset of each line's first character."""
        return (0, *(match.end() for match in _BREAK.finditer(self.text)))

    def position(self, offset: int) -> Position:
        """Line and column of an offset; beyond the end means the end."""
        offset = min(max(offset, 0), len(self.text))
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1

    def offset(self, position: Position) -> int:
        """The offset of a line and column.

        Raises:
            ValueError: the text has no such line or column.
        """
        line, column = position
        if not 1 <= line <= len(self.starts):
            raise ValueError(f"{self.path} has no line {line}")
        offset = self.starts[line - 1] + column - 1
        end = self.starts[line] if line < len(self.starts) else len(self.text) + 1
        if column < 1 or offset >= end:
            raise ValueError(f"{self.path} has no column {column} on line {line}")
        return offset

    def place(self, start: int, end: int | None = None) -> Place:
        """The place between two offsets; without `end`, one character."""
        return Place(self.path, self.position(start), self.position(start + 1 if end is None else end))

    def line(self, number: int) -> str:
        """The text of a line without its line break; empty when there is no such line."""
        if not 1 <= number <= len(self.starts):
            return ""
        start = self.starts[number - 1]
        match = _BREAK.search(self.text, start)
        return self.text[start : match.start() if match else len(self.text)]

    @property
    def newline(self) -> str:
        """The line break that this file uses; LF when it has none."""
        match = _BREAK.search(self.text)
        return match.group() if match else "\n"

    def encoded(self) -> bytes:
        """The bytes of the file."""
        return (_BOM if self.bom else b"") + self.text.encode()


def decode(data: bytes, path: str) -> Source:
    """Decode the bytes of a file that is shown as `path`.

    Raises:
        SourceError: the bytes are not UTF-8; the finding names the first wrong byte.
    """
    bom = data.startswith(_BOM)
    body = data[len(_BOM) :] if bom else data
    try:
        return Source(path, body.decode("utf-8"), bom)
    except UnicodeDecodeError as error:
        before = Source(path, body[: error.start].decode("utf-8"), bom)
        wide = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        cause = "the file is UTF-16" if wide else f"byte 0x{body[error.start]:02x} does not belong there"
        raise SourceError(
            finding(
                "source/not-utf8",
                "error",
                before.place(len(before.text)),
                "the file is not UTF-8 text",
                cause=cause,
            )
        ) from error


def read(file: Path, path: str | None = None) -> Source:
    """Read a file; `path` is what findings show, else the file's own path.

    Raises:
        SourceError: the file cannot be read, or is not UTF-8.
    """
    shown = file.as_posix() if path is None else path
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SourceError(
            finding(
                "source/unreadable",
                "error",
                Place(shown, (1, 1), (1, 1)),
                f"the file cannot be read: {error.strerror or error}",
            )
        ) from error
    return decode(data, shown)


def finding(
    rule: str,
    severity: Severity,
    place: Place,
    message: str,
    *,
    cause: str = "",
    source: str = "",
    fix: Fix | None = None,
    alternatives: tuple[Fix, ...] = (),
) -> Finding:
    """A finding at a place."""
    return Finding(
        rule=rule,
        severity=severity,
        path=place.path,
        line=place.line,
        column=place.column,
        message=message,
        cause=cause,
        source=source,
        fix=fix,
        alternatives=alternatives,
    )
