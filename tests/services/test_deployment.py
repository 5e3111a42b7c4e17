"""Deployments of services: a new version takes the traffic over, or what was before has it again."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from seatrial.deployments.deployments import Limited
from seatrial.errors import SeatrialError, UsageError
from seatrial.services import records, rollback, starting, target, written
from support.deploying import deploying
from support.load import load
from support.standing import ask, instances, kill, pid
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from support.deploying import Deploying


def test_a_canary_is_promoted_and_rolled_back_in_one_call_later_and_nobody_notices(tmp_path: Path) -> None:
    with deploying(tmp_path) as here:
        first = here.deploy("one")
        assert (first.status, first.parts[0].before, ask(here.port())[1]) == ("Succeeded", "", "one")
        assert "first version" in here.told(first, "stage")[0].text
        with load(here.port(), clients=3) as clients:
            second = here.start(here.piece("two", strategy="canary:20%:2s", keep_old=600))
            with here.going(second):
                here.await_share(second, 20)
                clients.take(10)
                seen = clients.take(200)
                assert abs(100 * seen["two"] / seen.total() - 20) <= 1.5
            assert here.load(second).status == "Succeeded"
            clients.take(10)
            assert set(clients.take(50)) == {"two"}
            undo = rollback.begin(here.journal, "svc")
            clients.take(10)
            assert set(clients.take(50)) == {"one"}  # before anything of its run was done
            assert here.finish(undo).status == "Succeeded"
            clients.take(50)
        assert clients.failures == []
        assert here.load(second).rolled_back_by == undo.id
        assert {one.revision for one in instances(here.home)} == {first.parts[0].after}
        found = here.outputs(second)
        assert found["failures"] == 0
        assert {split["asked"] for split in found["split"]} == {20.0, 100.0}
        # What was under way as the share changed counts for the step that had begun; the exact split is asked for above.
        assert all(abs(split["off"]) <= 3 for split in found["split"] if split["requests"] > 1000)
        assert [event.kind for event in here.told(second)][:2] == ["created", "stage"]
        with pytest.raises(UsageError, match="no good version before"):
            rollback.begin(here.journal, "svc")


def test_people_hold_continue_promote_and_roll_back_at_any_time(tmp_path: Path) -> None:
    with deploying(tmp_path) as here:
        here.deploy("one")
        held = here.start(here.piece("two", strategy="canary:10%:0.1s", patience=0))
        here.ask(held, "hold")
        with here.going(held):
            until(lambda: here.told(held, "held") != [], "it is held")
            until(lambda: here.journal.run(here.load(held).run)["status"] == "waiting", "its run waits")
            assert here.shares() == {held.parts[0].before: 90, held.parts[0].after: 10}
            here.ask(held, "continue")
        assert here.load(held).status == "Succeeded"
        promoted = here.start(here.piece("three", strategy="linear:10%:1h", bake=3600))
        with pytest.raises(Limited, match="active deployment"):
            here.start(here.piece("four"))
        with here.going(promoted):
            here.await_share(promoted, 10)
            here.ask(promoted, "promote")
        assert here.load(promoted).status == "Succeeded"
        back = here.start(here.piece("four", strategy="canary:10%:0s", bake=3600))
        with here.going(back):
            until(lambda: here.load(back).status == "Baking", "it bakes")
            here.ask(back, "roll back")
        ended = here.load(back)
        assert (ended.status, ended.error_code, ended.why) == ("Failed", "MANUAL_STOP", "rolled back by hand")
        undo = records.load(here.home, ended.rolled_back_by)
        assert (undo.creator, undo.status, undo.rollback_of) == ("codeDeployRollback", "Succeeded", back.id)
        assert here.shares() == {promoted.parts[0].after: 100}
        assert len(instances(here.home)) == 1
        with pytest.raises(UsageError, match="has ended"):
            here.ask(back, "hold")


def test_a_stop_and_alarms_bring_back_what_was_before(tmp_path: Path) -> None:
    alarm = tmp_path / "fine"
    alarms = {"disk": {"command": ["test", "-e", str(alarm)]}}
    with deploying(tmp_path) as here:
        first = here.deploy("one")
        one = here.start(here.piece("two", strategy="canary:30%:1h"))
        with here.going(one):
            here.await_share(one, 30)
            stopped = starting.stop(here.journal, one.id)
        assert (stopped.status, stopped.error_code) == ("Stopped", "MANUAL_STOP")
        assert ask(here.port())[1] == "one"
        for strategy, share in (
            ("canary:30%:1h", 30),
            ("all-at-once", 100),
        ):  # in the shift, and in the bake time
            alarm.touch()
            one = here.start(here.piece("two", strategy=strategy, bake=3600, alarms=alarms))
            with here.going(one):
                here.await_share(one, share)
                alarm.unlink()
            ended = here.load(one)
            assert (ended.status, ended.error_code) == ("Stopped", "ALARM_ACTIVE")
            assert ended.why.startswith("disk: ")
            assert here.told(one, "rollback")
            assert ask(here.port())[1] == "one"
            assert [each.revision for each in instances(here.home)] == [first.parts[0].after]


def test_a_version_that_is_not_well_has_no_traffic_or_loses_it(tmp_path: Path) -> None:
    with deploying(tmp_path) as here:
        here.deploy("one")
        with load(here.port(), clients=2) as clients:
            dead = here.deploy("two", env={"EXIT": "3"})
            assert (dead.status, dead.error_code) == ("Failed", "HEALTH_CONSTRAINTS")
            assert "two has no model to serve" in dead.why
            ill = here.start(here.piece("three", strategy="canary:10%:1h"))
            with here.going(ill):
                here.await_share(ill, 10)
                killed = 0
                for _ in range(3):
                    killed = _another(here, ill.parts[0].after, killed)
                    kill(killed)
                    until(lambda: here.told(ill, "health") != [], "its end is told")
            ended = here.load(ill)
            assert (ended.status, ended.error_code) == ("Failed", "HEALTH_CONSTRAINTS")
            assert "times in a minute" in ended.why
            clients.take(20)
        assert clients.failures == []
        assert set(here.shares()) == {ill.parts[0].before}


def _another(here: Deploying, revision: str, killed: int) -> int:
    """The process of a revision's only instance, once one is ready that is not the killed one."""

    def ready() -> bool:
        found = instances(here.home, revision)
        process = found[0].process if [one.state for one in found] == ["ready"] else None
        return process is not None and process.pid != killed

    until(ready, "another is ready")
    return pid(instances(here.home, revision)[0])


def test_a_first_version_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with deploying(tmp_path, "svc", "other") as here:
        one = here.deploy("one", env={"EXIT": "3"})
        assert (one.status, one.rolled_back_by) == ("Failed", "")
        with pytest.raises(UsageError, match="no service"):
            target.look(here.home, "svc")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            pieces = here.piece("one"), here.piece("one", "other", port=taken.getsockname()[1])
            with pytest.raises(SeatrialError, match="is taken"):
                here.start(*pieces)
        assert written.names(here.home) == []


def test_services_that_are_deployed_as_one_move_and_return_together(tmp_path: Path) -> None:
    with deploying(tmp_path, "left", "right") as here:
        first = here.finish(here.start(here.piece("one", "left"), here.piece("one", "right")))
        assert first.status == "Succeeded"
        with pytest.raises(UsageError, match="need one strategy"):
            here.start(here.piece("two", "left"), here.piece("two", "right", strategy="canary:1%:1s"))
        alarm = {"queue": {"url": "http://127.0.0.1:9/"}}
        pieces = here.piece("two", "left"), here.piece("two", "right", alarms=alarm)
        one = here.start(*pieces, strategy="canary:50%:1h")
        with here.going(one):
            until(lambda: here.told(one, "shift") != [], "the shift begins")
        ended = here.load(one)
        assert (ended.status, ended.error_code) == ("Stopped", "ALARM_ACTIVE")
        assert ended.why.startswith("right: queue: ")
        assert [ask(here.port(name))[1] for name in ("left", "right")] == ["one", "one"]
        two = here.start(here.piece("two", "left"), here.piece("two", "right"), strategy="canary:50%:0.5s")
        with here.going(two):
            here.await_share(two, 50)
        assert [ask(here.port(name))[1] for name in ("left", "right")] == ["two", "two"]


def test_the_version_before_goes_when_its_time_has_come(tmp_path: Path) -> None:
    with deploying(tmp_path) as here:
        here.deploy("one")
        one = here.deploy("two", keep_old=2)
        assert len(instances(here.home)) == 2
        until(lambda: [each.revision for each in instances(here.home)] == [one.parts[0].after], "it is gone")
        again = here.deploy("two", replicas=2)
        assert (again.status, len(instances(here.home))) == ("Succeeded", 2)
        assert "is what is there" in here.told(again, "stage")[0].text
        assert here.deploy("two").status == "Succeeded"
        until(lambda: len(instances(here.home)) == 1, "one is enough again")
        assert ask(here.port())[1] == "two"
