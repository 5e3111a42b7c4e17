"""A deployment's timeline: every answer is counted once, whoever dies in between."""

from __future__ import annotations

import math
import random
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from seatrial.deployments.observing import seconds, windows
from seatrial.deployments.observing.seconds import Recorder
from seatrial.errors import SeatrialError
from support.logs import PORTS, START, line

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.deployments.observing.model import Second


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.touch()
    return path


@pytest.fixture
def timeline(tmp_path: Path) -> Path:
    return tmp_path / "deployment" / "timeline.jsonl"


def _append(log: Path, *lines: bytes) -> None:
    with log.open("ab") as stream:
        stream.write(b"".join(lines))


def _step(recorder: Recorder, now: float, share: float = 10, since: float = START) -> list[Second]:
    return recorder.step(now, PORTS, share=share, since=since)


def _known(timeline: Path) -> dict[int, Second]:
    return {second.at - START: second for second in seconds.read(timeline)}


def test_answers_are_counted_by_revision_and_second(timeline: Path, log: Path) -> None:
    with Recorder(timeline, log, START) as recorder:
        _append(
            log,
            line(START + 0.1, seconds=0.02),
            line(START + 0.2, port=40002, status=500),
            line(START + 0.3, port=40002, status=404),
            line(START + 0.4, port=40002, ended="SD"),
            line(START + 0.5, port=40002, status=-1),
            line(START + 1.5, port=40001),
            line(START + 1.6, port=999, status=503),
        )
        found = _step(recorder, START + 2.6)
    known = _known(timeline)
    assert [second.at - START for second in found] == [0, 1]
    assert known[0] == found[0]
    old, new = known[0].arms["r-old"], known[0].arms["r-new"]
    assert (old.requests, old.errors, old.refused) == (1, 0, 0)
    assert (new.requests, new.errors, new.refused) == (4, 3, 1)
    assert old.latencies == [pytest.approx(0.02, rel=0.01)]
    assert {revision: arm.requests for revision, arm in known[1].arms.items()} == {"r-old": 1, "": 1}


def test_what_was_answered_before_the_deployment_does_not_count(timeline: Path, log: Path) -> None:
    _append(log, line(START - 5), line(START - 1))
    with Recorder(timeline, log, START) as recorder:
        _append(log, line(START + 0.2))
        _step(recorder, START + 9)
    assert windows.totals(seconds.read(timeline), "r-new").requests == 1


def test_seconds_without_traffic_are_there_and_long_pauses_are_not(timeline: Path, log: Path) -> None:
    with Recorder(timeline, log, START) as recorder:
        _step(recorder, START + 5)
        assert sorted(_known(timeline)) == [-1, 0, 1, 2, 3]
        _step(recorder, START + 90_000)
        assert len(_known(timeline)) < 10


def test_an_answer_that_is_late_in_the_log_counts_in_the_next_second(timeline: Path, log: Path) -> None:
    with Recorder(timeline, log, START) as recorder:
        _step(recorder, START + 3)
        _append(log, line(START + 0.5))
        _step(recorder, START + 4)
    assert _known(timeline)[2].arms["r-old"].requests == 1


def test_the_last_step_leaves_nothing_behind(timeline: Path, log: Path) -> None:
    with Recorder(timeline, log, START) as recorder:
        _append(log, line(START + 0.1), line(START + 2.9))
        recorder.step(START + 2.95, PORTS, share=100, since=START, last=True)
    assert windows.totals(seconds.read(timeline), "r-new").requests == 2


def test_further_metrics_are_written_with_their_second(timeline: Path, log: Path) -> None:
    with Recorder(timeline, log, START) as recorder:
        recorder.step(START + 1.2, PORTS, share=10, since=START, values={"r-new": {"tokens": 12.5}})
        _step(recorder, START + 5)
    assert _known(timeline)[1].arms["r-new"].values == {"tokens": 12.5}


def test_requests_count_for_the_share_at_their_arrival(timeline: Path, log: Path) -> None:
    """Those that are answered after a shift were sent to an instance before it."""
    with Recorder(timeline, log, START) as recorder:
        _append(log, *(line(START + 1 + i / 100, seconds=0.005) for i in range(90)))
        _append(log, *(line(START + 1 + i / 100, port=40002, seconds=0.005) for i in range(10)))
        _step(recorder, START + 1.95)
        _append(log, line(START + 2.2, seconds=0.5), line(START + 2.3, port=40002, seconds=0.01))
        _append(log, line(START + 2.4, port=40002, seconds=0.01))
        _step(recorder, START + 9, share=100, since=START + 2.1)
    first, second = windows.totals(seconds.read(timeline), "r-new").splits
    assert (first.asked, first.requests, first.new) == (10, 101, 10)
    assert first.off == pytest.approx(1000 / 101 - 10)
    assert (second.asked, second.requests, second.new, second.off) == (100, 2, 2, 0)


def test_a_crash_forgets_no_share(timeline: Path, log: Path) -> None:
    """Nothing of the first second is written when the next share begins and who watches dies."""
    with Recorder(timeline, log, START) as recorder:
        _append(log, line(START + 0.2, seconds=0.01))
        _step(recorder, START + 0.3)
    with Recorder(timeline, log, START + 1) as recorder:
        _append(log, line(START + 0.9, seconds=0.01))
        recorder.step(START + 1, PORTS, share=50, since=START + 0.5, last=True)
    found = windows.totals(seconds.read(timeline), "r-new").splits
    assert [(split.asked, split.requests) for split in found] == [(10, 1), (50, 1)]


@pytest.mark.parametrize("seed", range(12))
def test_no_crash_counts_an_answer_twice_or_loses_one(timeline: Path, log: Path, seed: int) -> None:
    """The recorder dies again and again, at times in the middle of a write; lines come late and out of order."""
    chance = random.Random(seed)
    expected: Counter[str] = Counter()
    recorder = Recorder(timeline, log, START)
    now = float(START)
    renamed = log.with_name("access.log.1")
    for turn in range(60):
        now += chance.uniform(0.1, 1.5)
        for _ in range(chance.randrange(30)):
            port = chance.choice([40001, 40002])
            status = chance.choice([200, 200, 200, 500])
            expected[PORTS[port]] += 1
            expected["errors"] += status == 500
            _append(log, line(now - chance.choice([0.01, 0.4, 3.0]), port=port, status=status))
        if turn == seed * 5:
            log.rename(renamed)
            log.touch()
        if chance.random() < 0.7:
            _step(recorder, now)
        if chance.random() < 0.3:
            recorder.close()
            if chance.random() < 0.7:
                lines = timeline.read_bytes().splitlines(keepends=True)
                torn = b"".join(lines[:-1]) + lines[-1][: chance.randrange(len(lines[-1]))]
                if len(lines) > 1:  # before the first second there is nothing to lose
                    timeline.write_bytes(torn)
            recorder = Recorder(timeline, log, now)
    recorder.step(now + 9, PORTS, share=10, since=START, last=True)
    found = windows.totals(seconds.read(timeline), "r-new")
    assert found.revisions == {name: expected[name] for name in ("r-old", "r-new")}
    assert found.failures == expected["errors"]
    assert sum(split.requests for split in found.splits) == found.requests
    ats = [second.at for second in seconds.read(timeline)]
    assert ats == sorted(set(ats))


def test_an_instance_that_is_gone_is_still_known_by_its_port(timeline: Path, log: Path) -> None:
    with Recorder(timeline, log, START) as recorder:
        _step(recorder, START + 2)
    _append(log, line(START + 3, port=40002))
    with Recorder(timeline, log, START + 4) as recorder:
        recorder.step(START + 9, {}, share=0, since=START + 2.5)
    assert windows.totals(seconds.read(timeline), "r-new").revisions == {"r-new": 1}


def test_an_hour_under_load_stays_small(timeline: Path, log: Path) -> None:
    """5,000 requests in a second take a few kilobytes, with each latency within one percent."""
    chance = random.Random(1)
    took = sorted(round(chance.lognormvariate(-3, 0.4), 6) for _ in range(5000))
    with Recorder(timeline, log, START) as recorder:
        _append(log, *(line(START + 0.5, seconds=value) for value in took))
        _step(recorder, START + 3)
    assert timeline.stat().st_size < 4000
    found = _known(timeline)[0].arms["r-old"].latencies
    assert len(found) == len(took)
    assert max(abs(math.log(a / b)) for a, b in zip(found, took, strict=True)) < 0.01


def test_a_timeline_that_cannot_be_written_is_said(tmp_path: Path, log: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SeatrialError, match="cannot write what was seen"):
        Recorder(tmp_path / "file" / "timeline.jsonl", log, START)


def test_a_reader_sees_whole_seconds_while_they_are_written(timeline: Path, log: Path) -> None:
    with Recorder(timeline, log, START) as recorder:
        found = _step(recorder, START + 4)
        known, offset = seconds.after(timeline, 0)
        assert known[1:] == found
        later = _step(recorder, START + 6, share=50, since=START + 5)
    whole = timeline.stat().st_size
    with timeline.open("ab") as stream:
        stream.write(b'{"at":18000')
    assert list(seconds.read(timeline)) == [*known, *later]
    assert seconds.after(timeline, offset) == (later, whole)
    # What a crash left is cut off by who goes on, and a reader that was further begins again.
    assert seconds.after(timeline, whole + 100) == ([*known, *later], whole)
    assert list(seconds.read(timeline.with_name("none"))) == []
