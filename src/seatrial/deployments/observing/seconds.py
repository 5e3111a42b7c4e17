"""What each revision did, second by second: from a load balancer's log into a deployment's timeline.

The timeline is a file of JSON lines, one for each second, and its reader's memory as well: a line holds how far the log
had been read when it was written (`seen`) and where the first line of a later second is (`next`). Who goes on reads
from there and leaves out what is counted already, so a crash counts nothing twice and loses nothing.
"""

from __future__ import annotations

import math
import os
from bisect import bisect_right
from collections import Counter
from contextlib import suppress
from typing import IO, TYPE_CHECKING, NamedTuple, Self

import msgspec

from seatrial.deployments.observing import latencies
from seatrial.deployments.observing.log import Position, Tail
from seatrial.deployments.observing.model import Arm, Part, Second
from seatrial.errors import SeatrialError, from_os

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from seatrial.deployments.observing.model import Answer

_GRACE = 0.5
"""Seconds after which a second's answers are in the log; one that is later still counts in the next second."""
_LONGEST_GAP = 600
"""Seconds without anything that are written one by one; more of them are left out."""


class _Mark(NamedTuple):
    since: float
    share: float


class _Line(Second, kw_only=True, omit_defaults=True):
    """A second as it is written down. `ports` are those that were not known before.

    With a `mark` it is no second, but says after one what was asked for since: who goes on must know it.
    """

    next: Position = Position()
    seen: Position = Position()
    ports: dict[int, str] = msgspec.field(default_factory=dict)
    mark: _Mark | None = None


class _Open:
    """A second that is still being counted. `began` is where its first piece is in the log."""

    def __init__(self) -> None:
        self.began: Position | None = None
        self.arms: dict[str, Arm] = {}
        self.tallies: dict[str, Counter[int]] = {}
        self.parts: dict[_Mark, Counter[str]] = {}

    def arm(self, revision: str) -> Arm:
        found = self.arms.get(revision)
        if found is None:
            found = self.arms[revision] = Arm()
            self.tallies[revision] = Counter()
        return found


class Recorder:
    """Writes a service's timeline during a deployment.

    A new one begins at the end of the log, one whose timeline is there goes on with it. `damaged` counts lines of the
    log that are none.
    """

    def __init__(self, timeline: Path, log: Path, now: float) -> None:
        self._timeline = timeline
        self._ports: dict[int, str] = {}
        self._fresh: dict[int, str] = {}
        self._marks: list[_Mark] = []
        self._open: dict[int, _Open] = {}
        self._counted: tuple[Position, int] | None = None
        last = self._resumed()
        if last is None:
            self._tail = Tail(log)
            start = self._tail.skip()
            last = _Line(at=math.floor(now) - 1, next=start, seen=start)
            self._append([last])
        else:
            self._tail = Tail(log, last.next)
            self._counted = (last.seen, last.at)
        self._written = last

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the log go. What is not written yet is counted by whoever goes on."""
        self._tail.close()

    @property
    def damaged(self) -> int:
        return self._tail.damaged

    def step(
        self,
        now: float,
        ports: Mapping[int, str],
        *,
        share: float,
        since: float,
        values: Mapping[str, Mapping[str, float]] | None = None,
        last: bool = False,
    ) -> list[Second]:
        """Count what is new in the log, write the seconds that are over, and return those.

        `ports` are the instances' revisions by port, `share` the new version's percentage that is asked for `since`
        then, `values` further metrics by revision that were measured just now. With `last`, seconds that have only
        begun are written, too. Call it about once a second; whoever calls it later only gets them later.

        Raises:
            SeatrialError: the timeline cannot be written.
        """
        self._know(ports, _Mark(since, share))
        self._read()
        for revision, measured in (values or {}).items():
            if measured:
                second = self._open.setdefault(max(math.floor(now), self._written.at + 1), _Open())
                second.arm(revision).values.update(measured)
        upto = math.floor(now) if last else math.floor(now - _GRACE) - 1
        if last and self._open:
            upto = max(upto, *self._open)
        found = [self._finished(at) for at in self._over(upto)]
        self._append(found)
        return [_plain(line) for line in found]

    def _know(self, ports: Mapping[int, str], mark: _Mark) -> None:
        for port, revision in ports.items():
            if self._ports.get(port) != revision:
                self._ports[port] = self._fresh[port] = revision
        if not self._marks or mark.since > self._marks[-1].since:
            self._marks.append(mark)
            fresh, self._fresh = self._fresh, {}
            last = self._written
            self._append([_Line(at=last.at, next=last.next, seen=last.seen, ports=fresh, mark=mark)])

    def _over(self, upto: int) -> list[int]:
        if upto - self._written.at <= _LONGEST_GAP:
            return list(range(self._written.at + 1, upto + 1))
        return sorted({at for at in self._open if at <= upto} | {upto})

    # Counting

    def _read(self) -> None:
        if self._counted is not None:
            seen, last = self._counted
            while (found := self._tail.piece(seen)) is not None:
                began, answers = found
                self._count(began, [answer for answer in answers if answer.at >= last + 1])
            self._counted = None
        while (found := self._tail.piece()) is not None:
            self._count(*found)

    def _count(self, began: Position, answers: list[Answer]) -> None:
        starts = [mark.since for mark in self._marks]
        first = self._written.at + 1
        bucket = latencies.bucket
        for answer in answers:
            at = max(int(answer.at), first)
            second = self._open.get(at)
            if second is None:
                second = self._open[at] = _Open()
            if second.began is None:
                second.began = began
            revision = self._ports.get(answer.port, "")
            arm = second.arm(revision)
            arm.requests += 1
            status = answer.status
            if status >= 500 or not status or answer.cut:  # noqa: PLR2004 - the server's own failures
                arm.errors += 1
            elif status >= 400:  # noqa: PLR2004 - what clients are to blame for
                arm.refused += 1
            second.tallies[revision][bucket(answer.seconds)] += 1
            mark = self._marks[max(0, bisect_right(starts, answer.at - answer.seconds) - 1)]
            part = second.parts.get(mark)
            if part is None:
                part = second.parts[mark] = Counter()
            part[revision] += 1

    # Writing

    def _finished(self, at: int) -> _Line:
        second = self._open.pop(at, None) or _Open()
        for revision, tally in second.tallies.items():
            second.arms[revision].buckets = latencies.flat(tally)
        later = [one.began for one in self._open.values() if one.began is not None]
        # Of two files the one that is not being read now is the older.
        seen = self._tail.position
        fresh, self._fresh = self._fresh, {}
        self._written = _Line(
            at=at,
            arms=second.arms,
            share=next((mark.share for mark in reversed(self._marks) if mark.since < at + 1), 0.0),
            parts=[
                Part(share=mark.share, since=mark.since, requests=dict(counts))
                for mark, counts in sorted(second.parts.items())
            ],
            next=min(later, key=lambda place: (place.file == seen.file, place.offset), default=seen),
            seen=seen,
            ports=fresh,
        )
        return self._written

    def _append(self, lines: list[_Line]) -> None:
        if not lines:
            return
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        try:
            self._timeline.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._timeline, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                while data:
                    data = data[os.write(descriptor, data) :]
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _unwritable(self._timeline, error) from error

    def _resumed(self) -> _Line | None:
        """The last line that is whole. What was being written when somebody died is cut off: it is read again."""
        try:
            with self._timeline.open("r+b") as stream:
                return self._whole(stream)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unwritable(self._timeline, error) from error

    def _whole(self, stream: IO[bytes]) -> _Line | None:
        whole, last = 0, None
        for text in stream:
            try:
                line = _LINE.decode(text)
            except msgspec.MsgspecError:
                break
            if not text.endswith(b"\n"):
                break
            whole, last = whole + len(text), line
            self._ports |= line.ports
            if line.mark is not None:
                self._marks.append(line.mark)
        stream.truncate(whole)
        return last


def _plain(line: _Line) -> Second:
    return Second(at=line.at, arms=line.arms, share=line.share, parts=line.parts)


def _unwritable(timeline: Path, error: OSError) -> SeatrialError:
    known = from_os(error)
    return SeatrialError(
        f"cannot write what was seen of a deployment: {error.strerror or error}",
        where=str(timeline),
        fix=known.fix if known else "check the folder and its permissions",
    )


def read(timeline: Path) -> Iterator[Second]:
    """The seconds of a timeline in order, as far as they are whole; nothing where there is none."""
    with suppress(FileNotFoundError), timeline.open("rb") as stream:
        for text in stream:
            try:
                line = _LINE.decode(text)
            except msgspec.MsgspecError:
                return
            if line.mark is None:
                yield _plain(line)


def after(timeline: Path, offset: int) -> tuple[list[Second], int]:
    """The whole seconds after byte `offset` of a growing timeline, and the offset that is next.

    A timeline that is shorter by now was cut after a crash: all of it is read again.
    """
    with suppress(FileNotFoundError), timeline.open("rb") as stream:
        start = offset if os.fstat(stream.fileno()).st_size >= offset else 0
        stream.seek(start)
        data = stream.read()
        whole = data[: data.rfind(b"\n") + 1]
        lines = (_LINE.decode(text) for text in whole.splitlines())
        return [_plain(line) for line in lines if line.mark is None], start + len(whole)
    return [], 0


_LINE = msgspec.json.Decoder(_Line)
