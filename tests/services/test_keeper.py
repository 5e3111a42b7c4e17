"""Whatever of a service is killed, traffic goes on, and things become again what they should be."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from seatrial.engine import identity
from seatrial.errors import SeatrialError, UsageError
from seatrial.services import target, written
from seatrial.services.model import folder
from seatrial.services.waking import ensure_keeper
from support.envoys import need_envoy
from support.load import load
from support.standing import (
    ask,
    deployed,
    every_process,
    instances,
    kill,
    pid,
    revision,
    settings,
    standing,
)
from support.waiting import remove, until

if TYPE_CHECKING:
    from seatrial.deployments.proxy import SlotStatus


def test_killed_instances_cost_no_get_and_come_back_where_they_were(tmp_path: Path) -> None:
    with standing(tmp_path, settings()) as port:
        deployed(tmp_path, revision("old"), revision("new"), count=2)
        target.shift(tmp_path, "svc", {"old": 50, "new": 50})
        before = instances(tmp_path, "new")
        with load(port, clients=4) as clients:
            clients.take(50)
            for one in before:
                kill(pid(one))
            clients.take(50)
            until(
                lambda: (
                    [one.restarts for one in instances(tmp_path, "new") if one.state == "ready"] == [1, 1]
                ),
                "both are back",
            )
            clients.take(10)
            seen = clients.take(100)
        assert clients.failures == []
        assert abs(seen["new"] - seen["old"]) <= 6
        after = instances(tmp_path, "new")
        assert [(one.slot, one.port) for one in after] == [(one.slot, one.port) for one in before]
        assert {pid(one) for one in after}.isdisjoint(map(pid, before))


def test_a_killed_instance_costs_no_more_posts_than_were_in_flight(tmp_path: Path) -> None:
    with standing(tmp_path, settings()) as port:
        deployed(tmp_path, revision("old"), revision("new"))
        target.shift(tmp_path, "svc", {"old": 50, "new": 50})
        with load(port, clients=4, method="POST") as clients:
            clients.take(50)
            kill(pid(instances(tmp_path, "new")[0]))
            clients.take(100)
        assert len(clients.failures) <= 4


def test_an_instance_that_is_alone_keeps_its_requests_waiting_and_all_it_left_ends(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with standing(tmp_path, settings()) as port:
        deployed(tmp_path, revision("old", CHILD=str(pids)))
        with load(port, clients=2, keep=False) as clients:
            clients.take(20)
            kill(pid(instances(tmp_path)[0]))
            clients.take(20)
        assert clients.failures == []
        first, second = map(int, pids.read_text().split())
        assert identity.of(first) is None
        assert identity.of(second) is not None


def test_a_killed_load_balancer_is_back_with_the_same_slots_and_weights(tmp_path: Path) -> None:
    with standing(tmp_path, settings()) as port:
        deployed(tmp_path, revision("old"), revision("new"), count=2)
        target.shift(tmp_path, "svc", {"old": 75, "new": 25})
        target.expose(tmp_path, "svc", "new")
        wanted, actual = target.look(tmp_path, "svc")
        before = {name: (slot.port, slot.weight, slot.mode) for name, slot in _slots(tmp_path).items()}
        with load(port, clients=2, keep=False) as clients:
            clients.take(20)
            assert actual.proxy is not None
            kill(actual.proxy.pid)
            until(lambda: _answers(port), "it serves again")
            clients.take(20)
        # Connections were cut or refused; nobody was told 503 by a load balancer that did not know its slots.
        assert all("Error" in failure or "Disconnected" in failure for failure in clients.failures)
        until(lambda: target.look(tmp_path, "svc")[1].proxy_starts == 2, "it is counted")
        until(lambda: target.look(tmp_path, "svc")[1].number == wanted.number, "all is as wished")
        assert {
            name: (slot.port, slot.weight, slot.mode) for name, slot in _slots(tmp_path).items()
        } == before
        assert ask(wanted.listening.test_port)[1] == "new"
        answers = [ask(port)[1] for _ in range(40)]
        assert abs(answers.count("new") - 10) <= 3
        assert [one.restarts for one in instances(tmp_path)] == [0] * 4


def _slots(home: Path) -> dict[str, SlotStatus]:
    return target.status(home, "svc").slots


def _answers(port: int) -> bool:
    try:
        return ask(port)[0] == 200
    except OSError:
        return False


@pytest.mark.parametrize("with_guard", [False, True])
def test_a_killed_keeper_is_replaced_and_starts_nothing_twice(tmp_path: Path, with_guard: bool) -> None:
    with standing(tmp_path, settings()) as port:
        deployed(tmp_path, revision("old"), revision("new"))
        _, before = target.look(tmp_path, "svc")
        assert before.keeper is not None
        assert before.proxy is not None
        with load(port, clients=2) as clients:
            place = folder(tmp_path, "svc")
            if with_guard:
                for guard in set(_keepers(place)) - {before.keeper.pid}:
                    kill(guard)
            kill(before.keeper.pid)
            target.shift(tmp_path, "svc", {"old": 50, "new": 50})
            clients.take(50)
            _, after = target.look(tmp_path, "svc")
            assert after.keeper not in (None, before.keeper)
            assert after.proxy == before.proxy
            assert [one.process for one in after.instances] == [one.process for one in before.instances]
            # It hears of what ends although it has not started it.
            kill(pid(after.instances[1]))
            until(
                lambda: [one.restarts for one in instances(tmp_path) if one.state == "ready"] == [0, 1],
                "the killed one is back",
            )
        assert clients.failures == []
        assert len(_keepers(place)) == 2


def _keepers(place: Path) -> list[int]:
    mine = target.look(place.parent.parent, "svc")[1]
    others = {one.process.pid for one in mine.instances if one.process} | (
        {mine.proxy.pid} if mine.proxy else set()
    )
    return [one for one in every_process(place) if one not in others]


def test_everything_is_there_again_after_everything_was_killed(tmp_path: Path) -> None:
    service = settings()
    with standing(tmp_path, service) as port:
        deployed(tmp_path, revision("old"), revision("new"))
        target.shift(tmp_path, "svc", {"old": 50, "new": 50})
        place = folder(tmp_path, "svc")
        for _ in range(3):
            for number in sorted(every_process(place)):
                with suppress(ProcessLookupError):
                    kill(number)
        until(lambda: every_process(place) == [] and not written.is_kept(place), "nothing is left")
        with socket.create_server(("127.0.0.1", port)):
            with pytest.raises(SeatrialError, match="did not become what it should be") as caught:
                target.bring_up(tmp_path, "svc", service)
            assert f"process {os.getpid()}) listens on it" in (caught.value.why or "")
        assert target.bring_up(tmp_path, "svc", service).listening.port == port
        target.await_ready(tmp_path, "svc", "new")
        target.await_ready(tmp_path, "svc", "old")
        assert {ask(port)[1] for _ in range(4)} == {"old", "new"}
        until(lambda: target.look(tmp_path, "svc")[1].problem == "", "nothing is wrong any more")


def test_an_instance_of_a_machine_that_was_started_anew_is_not_taken_for_another_process(
    tmp_path: Path,
) -> None:
    with standing(tmp_path, settings()) as port:
        deployed(tmp_path, revision("old"))
        place = folder(tmp_path, "svc")
        _, actual = target.look(tmp_path, "svc")
        assert actual.keeper is not None
        assert actual.proxy is not None
        for number in [*_keepers(place), actual.proxy.pid, pid(actual.instances[0])]:
            with suppress(ProcessLookupError):
                kill(number)
        mine = actual.keeper._replace(boot="another")
        stale = msgspec.structs.replace(
            actual,
            proxy=mine,
            instances=tuple(msgspec.structs.replace(one, process=mine) for one in actual.instances),
        )
        (place / "actual.json").write_bytes(msgspec.json.encode(stale))
        ensure_keeper(place)
        until(lambda: _answers(port), "all is started anew")
        assert target.look(tmp_path, "svc")[1].proxy != mine


def test_a_load_balancer_that_cannot_be_asked_is_replaced(tmp_path: Path) -> None:
    with standing(tmp_path, settings()) as port:
        deployed(tmp_path, revision("old"))
        place = folder(tmp_path, "svc")
        lone = instances(tmp_path)[0]
        assert lone.state == "ready"
        remove(place / "proxy")
        (place / "proxy").mkdir(mode=0o700)
        until(lambda: target.look(tmp_path, "svc")[1].proxy_starts >= 2, "another one is started")
        until(lambda: _answers(port), "it serves")


def test_a_service_whose_folder_is_gone_ends(tmp_path: Path) -> None:
    with standing(tmp_path, settings()):
        deployed(tmp_path, revision("old"))
        place = folder(tmp_path, "svc")
        remove(place)
        until(lambda: every_process(place) == [], "all have ended")


def test_signals_to_the_command_do_not_reach_the_service(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[2]);"
        "from support.standing import *; home = pathlib.Path(sys.argv[1]);"
        "target.bring_up(home, 'svc', settings()); deployed(home, revision('old')); print('up', flush=True);"
        "import time; time.sleep(60)"
    )
    with standing(tmp_path, settings()) as port:
        command = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path), str(Path(__file__).parent.parent)],
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert command.stdout is not None
        assert command.stdout.readline() == b"up\n"
        os.killpg(command.pid, signal.SIGINT)
        command.wait()
        command.stdout.close()
        assert ask(port)[1] == "old"


def test_a_service_stands_behind_envoy_as_well(tmp_path: Path) -> None:
    need_envoy()
    with standing(tmp_path, settings(deploy={"driver": "envoy"})) as port:
        deployed(tmp_path, revision("old"), revision("new"))
        target.expose(tmp_path, "svc", "new")
        target.shift(tmp_path, "svc", {"old": 75, "new": 25})
        wanted, actual = target.look(tmp_path, "svc")
        assert actual.proxy is not None
        kill(actual.proxy.pid)
        until(lambda: _answers(port), "it serves again")
        assert abs([ask(port)[1] for _ in range(40)].count("new") - 10) <= 3
        assert ask(wanted.listening.test_port)[1] == "new"
        kill(pid(instances(tmp_path, "new")[0]))
        assert all(ask(port)[0] == 200 for _ in range(20))
        with pytest.raises(UsageError, match="Envoy cannot change its ping"):
            target.bring_up(tmp_path, "svc", settings(deploy={"driver": "envoy", "sticky": "PLACE"}))
