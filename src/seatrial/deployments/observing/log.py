"""The load balancer's access log: what a line says, and reading the lines that are new.

A line is a JSON array, so that reading is done by a decoder in C:

    [answered, slot, port, status, took, method, retries, ended]

`answered` is when the answer was complete, in microseconds since the epoch, as a number; `status` is a number, too.
The others are strings, since a load balancer that knows none writes `-`: the slot, the instance's port, microseconds
from the request's arrival to the answer's end, the method, how often it was sent again, and how it ended: HAProxy's
two letters or Envoy's response flags.

A log may be cut down from its beginning by a hole (offsets stay), by being renamed to NAME.1, or by being emptied.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from seatrial.deployments.observing.model import Answer
from seatrial.errors import SeatrialError, from_os

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEGAN = "http-request set-var(txn.began) date(0,us)"
"""What HAProxy is told, before any other rule of a front end, so that `FORMAT` knows when a request arrived."""
FORMAT = '[%[date(0,us)],"%s","%sp",%ST,"%[date(0,us),sub(txn.began)]","%HM","%rc","%ts"]'
"""HAProxy's log-format. Its own timers are whole milliseconds; the difference of two dates is finer."""
PIECE = 1 << 20
"""Bytes that are read at once: some 15,000 lines."""

_MILLION = 1e6
_NOBODY = ("<NOSRV>", "-", "")
# The answer had begun, and its end never came: from the server, a time limit, the load balancer or its administrator.
_CUT = frozenset({"SD", "sD", "PD", "LD", "RD", "ID", "KD", "UC", "UT", "UR", "UPE", "SI", "DT", "UMSDR"})
_Line = tuple[int, str, str, int, str, str, str, str]
_LINE = msgspec.json.Decoder(_Line)


class Position(NamedTuple):
    """A place in a log: the file's number and the bytes before it. File 0 is whichever is there."""

    file: int = 0
    offset: int = 0


class Tail:
    """Reads a growing log from a position. `damaged` counts lines that are none, as a killed writer leaves them.

    Every way to read raises SeatrialError when the log is there and cannot be opened.
    """

    def __init__(self, path: Path, position: Position = Position()) -> None:  # noqa: B008 - immutable
        self.path = path
        self.position = position
        self.damaged = 0
        self._file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the file go. Reading goes on where it stopped."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def answers(self) -> Iterator[Answer]:
        """What has been written since; ends at the end."""
        while found := self.piece():
            yield from found[1]

    def piece(self, until: Position | None = None) -> tuple[Position, list[Answer]] | None:
        """Whole lines of the next piece and where it began; None at the end, or where `until` is reached."""
        while self._open():
            began = self.position
            last = until is not None and until.file == began.file
            most = min(PIECE, until.offset - began.offset) if until and last else PIECE
            data = os.pread(self._file, most, began.offset) if most > 0 else b""
            whole = data.rfind(b"\n") + 1 or (len(data) if len(data) == PIECE else 0)
            if whole:
                self.position = began._replace(offset=began.offset + whole)
                return began, self._decoded(data[:whole])
            if last or not self._next():
                return None
        return None

    def skip(self) -> Position:
        """Go to the end of what has been written, and say where that is."""
        if self._open():
            size = os.fstat(self._file).st_size
            # The last line may be half written.
            back = os.pread(self._file, min(size, PIECE), max(0, size - PIECE))
            self.position = self.position._replace(offset=size - len(back) + back.rfind(b"\n") + 1)
        return self.position

    def _open(self) -> bool:
        if self._file >= 0:
            return True
        for path in (self.path, self.path.with_name(f"{self.path.name}.1")):
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _unreadable(path, error) from error
            number = os.fstat(descriptor).st_ino
            if self.position.file in (0, number):
                self._file, self.position = descriptor, self.position._replace(file=number)
                return True
            os.close(descriptor)
        if not self.path.exists():
            return False
        self.position = Position()  # both are others by now: what was between is gone
        return self._open()

    def _next(self) -> bool:
        """Go to the beginning of what follows: the file that has the name now, or the same one emptied."""
        if os.fstat(self._file).st_size < self.position.offset:
            self.position = self.position._replace(offset=0)
            return True
        with suppress(FileNotFoundError):
            number = self.path.stat().st_ino
            if number != self.position.file:
                self.close()
                self.position = Position(number, 0)
                return True
        return False

    def _decoded(self, data: bytes) -> list[Answer]:
        try:
            lines = _LINE.decode_lines(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            lines = list(self._one_by_one(data))
        return [_answer(line) for line in lines]

    def _one_by_one(self, data: bytes) -> Iterator[_Line]:
        for text in data.split(b"\n"):
            line = text.lstrip(b"\0")  # a hole
            if not line:
                continue
            try:
                yield _LINE.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.damaged += 1


def _unreadable(path: Path, error: OSError) -> SeatrialError:
    known = from_os(error)
    return SeatrialError(
        f"cannot read the load balancer's log: {error.strerror or error}",
        where=str(path),
        fix=known.fix if known else "check the folder and its permissions",
    )


def _answer(line: _Line) -> Answer:
    at, slot, port, status, took, method, retries, ended = line
    return Answer(
        at=at / _MILLION,
        slot="" if slot in _NOBODY else slot,
        port=_number(port),
        status=max(status, 0),
        seconds=_number(took) / _MILLION,
        method=method,
        retries=_number(retries),
        cut=ended != "--" and not _CUT.isdisjoint(ended.split(",")),
    )


def _number(text: str) -> int:
    # HAProxy puts a plus before retries that went to another server.
    return int(text) if text.isdecimal() else int(text[1:]) if text[1:].isdecimal() and text[0] == "+" else 0
