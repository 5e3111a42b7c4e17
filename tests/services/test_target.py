"""A service on this machine: versions are installed, take over, and go, and nothing is lost."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from seatrial.clock import SystemClock
from seatrial.deployments.observing.log import Tail
from seatrial.engine import identity
from seatrial.errors import SeatrialError, UsageError
from seatrial.readiness import free_port
from seatrial.services import target, written
from seatrial.services.model import folder
from support.load import load
from support.standing import ask, deployed, every_process, instances, revision, settings, standing
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.deployments.observing.model import Answer


def test_a_version_takes_over_step_by_step(tmp_path: Path) -> None:
    with standing(tmp_path, settings(replicas=2)) as port:
        deployed(tmp_path, revision("old"), count=2)
        with load(port, clients=2) as keeping, load(port, clients=2, keep=False) as closing:
            closing.take(20)
            target.install(tmp_path, "svc", revision("new"), 3)
            target.await_ready(tmp_path, "svc", "new")
            for share in (0, 1, 25, 100):
                target.shift(tmp_path, "svc", {"old": 100 - share, "new": share})
                closing.take(5)  # those that were on their way
                keeping.take(5)
                before = keeping.answers + closing.answers
                closing.take(150)
                seen = keeping.answers + closing.answers - before
                assert abs(100 * seen["new"] / seen.total() - share) <= (0 if share in (0, 100) else 2), share
            assert target.drain(tmp_path, "svc", "old")
            target.remove(tmp_path, "svc", "old")
            closing.take(50)
        assert keeping.failures + closing.failures == []
        assert {one.revision for one in instances(tmp_path)} == {"new"}
        ports = {one.port for one in instances(tmp_path)}
        expected = keeping.answers + closing.answers
        answers: list[Answer] = []
        with Tail(target.log_path(tmp_path, "svc")) as tail:

            def logged() -> bool:
                answers.extend(tail.answers())
                return len(answers) >= expected.total()

            until(logged, "all are logged: a client has its answer a moment before")
        assert len(answers) == expected.total()
        assert sum(one.port in ports for one in answers) == expected["new"]
        assert {(one.status, one.method, one.retries) for one in answers} == {(200, "GET", 0)}
        assert all(one.seconds > 0 for one in answers)


def test_a_version_under_test_is_reached_by_listener_and_header_alone(tmp_path: Path) -> None:
    with standing(tmp_path, settings(deploy={"test_header": "X-Try"})) as port:
        test_port = target.look(tmp_path, "svc")[0].listening.test_port
        deployed(tmp_path, revision("old"), revision("new"))
        assert ask(test_port)[0] == 503
        target.expose(tmp_path, "svc", "new")
        for _ in range(4):
            assert ask(test_port)[1] == ask(port, headers={"X-Try": "1"})[1] == "new"
            assert ask(port)[1] == "old"
        target.expose(tmp_path, "svc", "")
        assert ask(test_port)[0] == 503
        with Tail(target.log_path(tmp_path, "svc")) as tail:
            assert len(list(tail.answers())) == 4  # nobody's traffic is judged by tests of it


def test_sticky_clients_stay_until_their_version_has_no_traffic(tmp_path: Path) -> None:
    with standing(tmp_path, settings(deploy={"sticky": "PLACE"})) as port:
        deployed(tmp_path, revision("old"), revision("new"))
        cookie = {"Cookie": (ask(port)[2]["Set-Cookie"] or "").partition(";")[0]}
        target.shift(tmp_path, "svc", {"old": 10, "new": 90})
        assert {ask(port, headers=cookie)[1] for _ in range(8)} == {"old"}
        assert "new" in {ask(port)[1] for _ in range(8)}
        target.shift(tmp_path, "svc", {"new": 100})
        assert {ask(port, headers=cookie)[1] for _ in range(4)} == {"new"}


def test_what_is_in_flight_is_answered_before_an_instance_ends(tmp_path: Path) -> None:
    with standing(tmp_path, settings()) as port:
        deployed(tmp_path, revision("old"), revision("new"))
        found: list[tuple[int, str]] = []
        slow = threading.Thread(target=lambda: found.append(ask(port, "/slow?0.6")[:2]))
        slow.start()
        until(lambda: _sessions(tmp_path) == 1, "the request has arrived")
        target.shift(tmp_path, "svc", {"new": 100})
        soon = SystemClock().now() + 0.05
        assert not target.drain(tmp_path, "svc", "old", deadline=soon)
        assert ask(port)[1] == "new"
        target.remove(tmp_path, "svc", "old")
        assert [one.revision for one in instances(tmp_path)] == ["new"]
        slow.join()
        assert found == [(200, "old")]


def _sessions(home: Path) -> int:
    return sum(slot.sessions for slot in target.status(home, "svc").slots.values())


def test_calls_may_be_repeated_and_instances_see_nothing_of_who_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OF_THE_COMMAND", "1")
    service = settings(replicas=2)
    with standing(tmp_path, service) as port:
        for _ in range(2):
            target.install(tmp_path, "svc", revision("old", MODEL="small"), 2)
            target.await_ready(tmp_path, "svc", "old")
            target.shift(tmp_path, "svc", {"old": 100})
            assert target.bring_up(tmp_path, "svc", service).listening.port == port
        wanted, actual = target.look(tmp_path, "svc")
        assert len(wanted.instances) == len(actual.instances) == 2
        assert (actual.number, actual.proxy_starts, actual.problem) == (wanted.number, 1, "")
        seen = json.loads(ask(port, "/env")[1])
        assert seen["MODEL"] == "small"
        assert int(seen["PORT"]) in {one.port for one in actual.instances}
        assert "OF_THE_COMMAND" not in seen


def test_down_answers_what_is_in_flight_and_leaves_nothing(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with standing(tmp_path, settings(replicas=2, stop_timeout=0.3)) as port:
        deployed(tmp_path, revision("old", CHILD=str(pids), STUBBORN="1"), count=2)
        found: list[tuple[int, str]] = []
        slow = threading.Thread(target=lambda: found.append(ask(port, "/slow?0.4")[:2]))
        slow.start()
        until(lambda: _sessions(tmp_path) == 1, "the request has arrived")
        target.down(tmp_path, "svc")
        slow.join()
        assert found == [(200, "old")]
        assert every_process(folder(tmp_path, "svc")) == []
        assert len(pids.read_text().split()) == 2
        for pid in pids.read_text().split():
            with pytest.raises(ProcessLookupError):
                os.kill(int(pid), 0)
        with pytest.raises(UsageError, match="there is no service 'svc'"):
            target.look(tmp_path, "svc")


def test_a_program_that_does_not_stay_up_is_told_with_its_last_words(tmp_path: Path) -> None:
    with standing(tmp_path, settings()):
        absent = msgspec.structs.replace(revision("absent"), argv=("no-such-program",))
        for version, why in (
            (revision("bad", EXIT="3"), "exit code 3: bad has no model to serve"),
            (absent, "no-such-program: No such file"),
        ):
            target.install(tmp_path, "svc", version, 1)
            with pytest.raises(SeatrialError, match="does not stay up") as caught:
                target.await_ready(tmp_path, "svc", version.id)
            assert why in (caught.value.why or "")
        assert [one.state for one in instances(tmp_path)] == ["failing", "failing"]
        with pytest.raises(SeatrialError, match="no instance of it is ready"):
            target.shift(tmp_path, "svc", {"bad": 100})
        target.remove(tmp_path, "svc", "bad")
        assert [one.revision for one in instances(tmp_path)] == ["absent"]


def test_a_taken_port_is_told_with_who_has_it(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SeatrialError, match=f"port {port} on 127.0.0.1 is taken") as caught:
            target.bring_up(tmp_path, "svc", settings(deploy={"port": port}))
        assert f"process {os.getpid()}" in (caught.value.why or "")


def test_services_do_not_take_each_others_ports(tmp_path: Path) -> None:
    port = free_port()
    with standing(tmp_path, settings(deploy={"port": port})):
        with pytest.raises(SeatrialError, match=f"port {port} of service other is that of service svc"):
            target.bring_up(tmp_path, "other", settings(deploy={"test_port": port}))
        with pytest.raises(UsageError, match=f"has port {port}, and cannot have"):
            target.bring_up(tmp_path, "svc", settings(deploy={"port": port + 1}))


def test_what_cannot_be_is_told(tmp_path: Path) -> None:
    with standing(tmp_path, settings()):
        deployed(tmp_path, revision("old"))
        with pytest.raises(UsageError, match="HAProxy, which copies no requests"):
            target.mirror(tmp_path, "svc", "old", 10)
        with pytest.raises(UsageError, match="has no revision new"):
            target.expose(tmp_path, "svc", "new")
        with pytest.raises(SeatrialError, match="has no room for 99 instances"):
            target.install(tmp_path, "svc", revision("new"), 99)
        with pytest.raises(UsageError, match="no instances of new"):
            target.await_ready(tmp_path, "svc", "new")
    with pytest.raises(UsageError, match="there is no service 'svcs'"):
        target.shift(tmp_path, "svcs", {"old": 100})
    with pytest.raises(UsageError, match="cannot be the name of a service"):
        target.bring_up(tmp_path, "../svc", settings())


def test_a_version_that_was_kept_for_a_while_goes_by_itself(tmp_path: Path) -> None:
    with standing(tmp_path, settings()) as port:
        deployed(tmp_path, revision("new"), revision("old"), revision("older"))
        _retire(tmp_path, "old", 0.3)
        _retire(tmp_path, "older", 0.3)
        target.shift(tmp_path, "svc", {"older": 100})  # needed after all
        until(lambda: {one.revision for one in instances(tmp_path)} == {"new", "older"}, "old has gone")
        wanted, _ = target.look(tmp_path, "svc")
        assert (set(wanted.revisions), wanted.retire) == ({"new", "older"}, {})
        assert ask(port)[1] == "older"


def _retire(home: Path, version: str, seconds: float) -> None:
    written.changed(
        home,
        "svc",
        lambda now: msgspec.structs.replace(now, retire={**now.retire, version: time.time() + seconds}),
    )


def test_a_version_that_is_never_well_is_told_and_takes_no_traffic(tmp_path: Path) -> None:
    with standing(tmp_path, settings()) as port:
        deployed(tmp_path, revision("old"))
        target.install(tmp_path, "svc", revision("new", UNWELL="1"), 1)
        until(lambda: "503" in instances(tmp_path, "new")[0].why, "the check has seen it")
        with pytest.raises(SeatrialError, match="is not ready in time") as caught:
            target.await_ready(tmp_path, "svc", "new", deadline=time.time() + 0.1)
        assert "its ping is not answered" in (caught.value.why or "")
        with pytest.raises(SeatrialError, match=r"new cannot have 10 % of the traffic[\s\S]*ready"):
            target.shift(tmp_path, "svc", {"old": 90, "new": 10})
        with pytest.raises(SeatrialError, match=r"other cannot have 10 %[\s\S]*not installed"):
            target.shift(tmp_path, "svc", {"old": 90, "other": 10})
        assert ask(port)[1] == "old"


def test_a_service_gets_other_settings_without_losing_a_request(tmp_path: Path) -> None:
    with standing(tmp_path, settings()) as port:
        deployed(tmp_path, revision("old"))
        before = target.look(tmp_path, "svc")[1]
        found: list[tuple[int, str]] = []
        slow = threading.Thread(target=lambda: found.append(ask(port, "/slow?0.5")[:2]))
        slow.start()
        until(lambda: _sessions(tmp_path) == 1, "the request has arrived")
        with load(port, clients=3, keep=False) as clients, load(port, clients=2) as keeping:
            clients.take(30)
            more = settings(replicas=5, deploy={"sticky": "PLACE", "test_header": "X-Try"})
            target.bring_up(tmp_path, "svc", more)
            target.install(tmp_path, "svc", revision("new"), 8)
            target.await_ready(tmp_path, "svc", "new")
            target.expose(tmp_path, "svc", "new")
            assert ask(port, headers={"X-Try": ""})[1] == "new"
            assert "PLACE=" in (ask(port)[2]["Set-Cookie"] or "")
            target.shift(tmp_path, "svc", {"new": 100})
            target.remove(tmp_path, "svc", "old")
            clients.take(30)
            keeping.take(10)
        slow.join()
        assert clients.failures + keeping.failures == []
        assert found == [(200, "old")]
        after = target.look(tmp_path, "svc")[1]
        assert before.proxy not in (None, after.proxy)
        assert before.proxy is not None
        until(
            lambda: before.proxy is not None and identity.of(before.proxy.pid) is None, "the first has ended"
        )
        with pytest.raises(UsageError, match="has driver haproxy, and cannot have envoy"):
            target.bring_up(tmp_path, "svc", settings(deploy={"driver": "envoy"}))
