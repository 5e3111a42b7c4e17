"""The timeline of a real HAProxy's traffic, beside what its clients saw."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seatrial.clock import SystemClock
from seatrial.deployments import haproxy
from seatrial.deployments.observing import seconds, windows
from seatrial.deployments.observing.seconds import Recorder
from seatrial.deployments.proxy import Options, Slot, weights
from seatrial.readiness import free_port
from support.backends import backend
from support.load import load
from support.registries import need
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.backends import Backend

SHARES = (10, 50, 90)


@contextmanager
def _haproxy(folder: Path) -> Iterator[int]:
    program = need("haproxy")
    port = free_port()
    folder.mkdir()
    haproxy.prepare(folder, port, ("old", "new"), Options(interval=0.05, access_log=True))
    with (folder / "access.log").open("ab") as log, (folder / "errors.log").open("ab") as errors:
        process = subprocess.Popen(haproxy.argv(folder, program=program), stdout=log, stderr=errors)
    try:
        haproxy.wait_started(folder, deadline=time.time() + 60, clock=SystemClock())
        yield port
    finally:
        process.kill()
        process.wait()


def _shift(folder: Path, old: Backend, new: Backend, share: int) -> float:
    """Returns when the load balancer has it."""
    given = weights({"old": 100 - share, "new": share})
    haproxy.apply(
        folder,
        [
            Slot(name="old", port=old.port, weight=given["old"], mode="ready"),
            Slot(name="new", port=new.port, weight=given["new"], mode="ready"),
        ],
    )
    return time.time()


def test_every_request_is_in_the_timeline_once_with_the_share_that_it_met(tmp_path: Path) -> None:
    folder, timeline = tmp_path / "proxy", tmp_path / "timeline.jsonl"
    with backend("old") as old, backend("new") as new, _haproxy(folder) as port:
        ports = {old.port: "old", new.port: "new"}
        since = _shift(folder, old, new, 0)
        haproxy.wait_up(folder, ("old", "new"), deadline=time.time() + 60, clock=SystemClock())
        recorder = Recorder(timeline, folder / "access.log", time.time())
        with load(port) as clients:
            for share in SHARES:
                since = _shift(folder, old, new, share)
                clients.take(600)
                recorder.step(time.time(), ports, share=share, since=since)
                # Who watches may be killed at any moment.
                recorder.close()
                recorder = Recorder(timeline, folder / "access.log", time.time())
            new.dies = True
            recorder.step(time.time(), ports, share=SHARES[-1], since=since)
        with load(port, method="POST", keep=False) as posts:
            until(
                lambda: bool(posts.failures),
                "a request that must not be repeated meets the back end that dies",
            )
        recorder.step(time.time(), ports, share=SHARES[-1], since=since, last=True)
        recorder.close()
    found = windows.totals(seconds.read(timeline), "new")
    assert not clients.failures
    assert found.failures == len(posts.failures) > 0
    assert found.requests == clients.answers.total() + posts.answers.total() + len(posts.failures)
    for split, share in zip(found.splits, SHARES, strict=True):
        assert split.asked == share
        assert split.requests > 500
        if share != SHARES[-1]:  # the last one met a back end that dies
            assert split.off is not None
            assert abs(split.off) <= 1, split
    took = [
        value for second in seconds.read(timeline) for arm in second.arms.values() for value in arm.latencies
    ]
    assert 1e-5 < min(took) < 0.02, "milliseconds are not fine enough for answers as fast as these"
