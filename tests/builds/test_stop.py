"""Builds that are stopped, run out of time or are killed: nothing of them goes on, and what they said stays."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from seatrial.engine.run import describe
from support.built import build, context, living, log, phases, statuses, write
from support.places import Place
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLOW = phases(build=["echo before", "sleep 301 & touch $FLAG; sleep 302"], post_build=["echo after"])


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path / "place")
    yield place
    place.kill_all()


def started(place: Place, folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    flag = place.folder / "flag"
    process = subprocess.Popen(
        [sys.executable, "-m", "seatrial", "build", "run", str(folder), "--env", f"FLAG={flag}", *arguments],
        env=place.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    until(flag.exists, "the command runs")
    return process


def sleeping(place: Place) -> list[str]:
    """The build's processes that are still there: they have its variable."""
    return living(f"FLAG={place.folder / 'flag'}", "environ")


def test_a_build_whose_time_is_over(tmp_path: Path) -> None:
    folder = write(tmp_path / "demo", SLOW)
    found = build(folder, "--timeout", "2s", "--env", f"FLAG={tmp_path / 'flag'}")
    assert found["build_status"] == "TIMED_OUT"
    assert context(found, "BUILD") == ("BUILD_TIMED_OUT", "Build has timed out. ")
    assert statuses(found)["BUILD"] == "TIMED_OUT"
    assert statuses(found)["POST_BUILD"] is None
    assert statuses(found)["FINALIZING"] == "SUCCEEDED"
    assert "before" in log(folder, found).splitlines()


def test_an_interrupt_stops_the_build(tmp_path: Path, place: Place) -> None:
    process = started(place, write(tmp_path / "demo", SLOW))
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out.decode()
    assert b"STOPPED" in out
    assert b"after" not in out
    until(lambda: not sleeping(place), "nothing goes on")


@pytest.mark.parametrize("how", ["stop", "resume"])
def test_a_killed_build_is_ended_or_goes_on(tmp_path: Path, place: Place, how: str) -> None:
    process = started(place, write(tmp_path / "demo", SLOW))
    process.kill()
    process.communicate()
    done = subprocess.run(
        [sys.executable, "-m", "seatrial", "runs", "stop", "latest"],
        env=place.env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    until(lambda: not sleeping(place), "nothing goes on")
    journal = place.journal()
    run = journal.find("latest")
    assert describe(journal, run)["held"] == []
    logs = subprocess.run(
        [sys.executable, "-m", "seatrial", "runs", "logs", "latest", "build"],
        env=place.env, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "before" in logs.stdout.splitlines()
    if how == "resume":
        flag = place.folder / "flag"
        flag.unlink()
        again = subprocess.Popen(
            [sys.executable, "-m", "seatrial", "runs", "resume", "latest"],
            env=place.env,
            start_new_session=True,
        )
        until(flag.exists, "the phase runs again")
        again.send_signal(signal.SIGTERM)
        again.communicate(timeout=60)
        until(lambda: not sleeping(place), "nothing goes on")
