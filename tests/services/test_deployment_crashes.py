"""Whoever leads a deployment may be killed at any moment: the split stays, and the next one goes on where it was."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from seatrial.clock import SystemClock
from seatrial.services import records, starting
from support.deploying import Deploying, deploying
from support.load import load
from support.standing import ask, instances
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.services.records import ServiceDeployment

CARRY_OUT = """
import sys
from pathlib import Path
from seatrial.engine.journal import Journal
from seatrial.services import starting
starting.carry_out(Journal(Path(sys.argv[1])), sys.argv[2])
"""


@pytest.mark.parametrize(
    "crashes",
    [
        {"deployment/installed": 0, "shift/recorded:2": 30, "shift/applied": 100},
        {"deployment/rollback": 0, "deployment/rolled-back": 0},
    ],
    ids=["promoted", "rolled-back"],
)
def test_what_crashes_cut_off_is_gone_on_with(tmp_path: Path, crashes: dict[str, float]) -> None:
    undone = "deployment/rollback" in crashes
    with deploying(tmp_path) as here:
        here.deploy("one")
        piece = here.piece("two", strategy="steps:30%,60%,100%:0.7s", bake=3600 if undone else 0.5)
        one = here.start(piece)
        if undone:
            here.ask(one, "roll back")
        with load(here.port(), clients=2) as clients:
            for point, share in crashes.items():
                _crash(here, one, point)
                assert here.shares().get(one.parts[0].after, 0) == share
                clients.take(50)
                assert (
                    here.shares().get(one.parts[0].after, 0) == share
                )  # nobody is in charge, and nothing moves
                again, continued = starting.start(here.journal, starting.Wanted((piece,)))
                assert (again.id, continued) == (one.id, True)
            began = SystemClock().now()
            here.finish(one)
            clients.take(20)
        assert clients.failures == []
        ended = here.load(one)
        assert ended.status == ("Failed" if undone else "Succeeded")
        assert ask(here.port())[1] == ("one" if undone else "two")
        assert len(instances(here.home)) == 1
        if not undone:
            taken_over = [event.at for event in here.told(one, "note") if "going on" in event.text]
            assert taken_over[-1] - began < 4  # a second, where nobody else is busy
            assert [event.data["share"] for event in here.told(one, "shift")] == [30, 60, 100, 100]
        followers = [each for each in records.every(here.home) if each.rollback_of]
        assert [each.status for each in followers] == ["Succeeded"] * undone


def _crash(here: Deploying, one: ServiceDeployment, point: str) -> None:
    """Lead the deployment in a process of its own until it and its step are killed at a point."""
    environment = {**os.environ, "SEATRIAL_CRASH": point, "SEATRIAL_POINTS": str(here.home.parent / "points")}
    argv = [sys.executable, "-c", CARRY_OUT, str(here.home), one.id]
    done = subprocess.run(argv, env=environment, timeout=60, capture_output=True, check=False)
    assert done.returncode == -9, done
    until(lambda: not records.in_charge(here.journal, here.load(one)), "nobody is in charge any more")
