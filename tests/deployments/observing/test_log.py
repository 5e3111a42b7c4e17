"""Reading a load balancer's log while it grows, is cut down, and is torn."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from seatrial.deployments.observing.log import PIECE, Position, Tail
from seatrial.errors import SeatrialError
from support.logs import line

if TYPE_CHECKING:
    from pathlib import Path


def _read(tail: Tail) -> list[int]:
    return [answer.port for answer in tail.answers()]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


def _append(log: Path, *lines: bytes) -> None:
    with log.open("ab") as stream:
        stream.write(b"".join(lines))


def test_a_line_says_who_answered_when_how_and_how_long_it_took(log: Path) -> None:
    log.write_bytes(b'[1800000000250000,"s1","40001",503,"1500","POST","+2","SC"]\n')
    (answer,) = Tail(log).answers()
    assert (answer.at, answer.slot, answer.port, answer.status) == (1_800_000_000.25, "s1", 40001, 503)
    assert (answer.seconds, answer.method, answer.retries, answer.cut) == (0.0015, "POST", 2, False)


@pytest.mark.parametrize(
    ("text", "slot", "port", "status", "cut"),
    [
        (b'[1,"<NOSRV>","-",503,"20","GET","0","SQ"]', "", 0, 503, False),
        (b'[1,"<NOSRV>","-",400,"-","<BADREQ>","0","PR"]', "", 0, 400, False),
        (b'[1,"s1","7",-1,"20","GET","0","CH"]', "s1", 7, 0, False),
        (b'[1,"s1","7",200,"20","GET","0","SD"]', "s1", 7, 200, True),
        (b'[1,"s1","7",200,"20","GET","0","CD"]', "s1", 7, 200, False),
        (b'[1,"s1","7",200,"20","GET","0","UC,UPE"]', "s1", 7, 200, True),
        (b'[1,"-","-",0,"20","GET","-","DC"]', "", 0, 0, False),
    ],
)
def test_requests_without_a_whole_answer(
    log: Path, text: bytes, slot: str, port: int, status: int, cut: bool
) -> None:
    log.write_bytes(text + b"\n")
    (answer,) = Tail(log).answers()
    assert (answer.slot, answer.port, answer.status, answer.cut) == (slot, port, status, cut)


def test_only_whole_lines_are_read_and_each_once(log: Path) -> None:
    tail = Tail(log)
    assert _read(tail) == []  # not there yet
    _append(log, line(port=1), line(port=2)[:20])
    assert _read(tail) == [1]
    assert _read(tail) == []
    _append(log, line(port=2)[20:])
    assert _read(tail) == [2]
    assert _read(Tail(log, tail.position)) == []
    _append(log, line(port=3))
    assert _read(Tail(log, tail.position)) == [3]


def test_lines_beyond_what_is_read_at_once(log: Path) -> None:
    each = line(port=1)
    count = 2 * PIECE // len(each) + 100
    log.write_bytes(each * count)
    assert len(_read(Tail(log))) == count


def test_a_torn_line_costs_no_other(log: Path) -> None:
    _append(log, line(port=1), line(port=2)[:25] + line(port=3), line(port=4), b"\xff\xfe\n", line(port=5))
    tail = Tail(log)
    assert _read(tail) == [1, 4, 5]
    assert tail.damaged == 2


def test_a_hole_at_the_beginning_is_not_read(log: Path) -> None:
    log.write_bytes(b"\0" * (PIECE + 4096) + line(port=1))
    tail = Tail(log)
    assert _read(tail) == [1]
    assert not tail.damaged


def test_a_renamed_log_is_read_to_its_end_before_the_next(log: Path) -> None:
    _append(log, line(port=1))
    tail, other = Tail(log), Tail(log)
    assert _read(tail) == _read(other) == [1]
    _append(log, line(port=2))
    log.rename(log.with_name("access.log.1"))
    assert _read(tail) == [2]
    _append(log, line(port=3))
    assert _read(tail) == [3]
    # Whoever comes back after that finds the old one by its number.
    assert _read(Tail(log, other.position)) == [2, 3]


def test_an_emptied_log_is_read_from_its_beginning(log: Path) -> None:
    _append(log, line(port=1), line(port=2))
    tail = Tail(log)
    assert _read(tail) == [1, 2]
    os.truncate(log, 0)
    _append(log, line(port=3))
    assert _read(tail) == [3]


def test_a_position_in_a_log_that_is_gone_begins_again(log: Path) -> None:
    _append(log, line(port=1))
    assert _read(Tail(log, Position(file=1, offset=10_000))) == [1]


def test_what_was_written_before_is_skipped_but_for_a_half_line(log: Path) -> None:
    _append(log, line(port=1), line(port=2)[:20])
    tail = Tail(log)
    tail.skip()
    _append(log, line(port=2)[20:], line(port=3))
    assert _read(tail) == [2, 3]


def test_a_log_that_cannot_be_opened_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SeatrialError, match="cannot read the load balancer's log"):
        _read(Tail(tmp_path / "file" / "access.log"))
