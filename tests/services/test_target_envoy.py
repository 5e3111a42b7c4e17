"""A service behind Envoy: as behind HAProxy nothing is lost, and copies of requests judge a version beforehand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.config.deploying import Shadow
from seatrial.deployments.observing.log import Tail
from seatrial.deployments.observing.recording import Recorder
from seatrial.deployments.observing.shadow import verdict
from seatrial.services import listening, target
from seatrial.services.model import folder
from support.envoys import need_envoy
from support.load import load
from support.standing import deployed, instances, kill, pid, revision, settings, standing
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.config import Service


def _settings(**deploy: object) -> Service:
    need_envoy()
    return settings(deploy={"driver": "envoy", **deploy})


def test_a_version_takes_over_and_no_killed_process_costs_a_get(tmp_path: Path) -> None:
    with standing(tmp_path, _settings()) as port:
        deployed(tmp_path, revision("old"), count=2)
        with load(port, clients=4) as clients:
            clients.take(20)
            target.install(tmp_path, "svc", revision("new"), 2)
            target.await_ready(tmp_path, "svc", "new")
            for share in (0, 10, 50):
                target.shift(tmp_path, "svc", {"old": 100 - share, "new": share})
                clients.take(10)  # those that were on their way
                seen = clients.take(300)
                assert abs(100 * seen["new"] / seen.total() - share) <= (1.5 if share else 0)
            kill(pid(instances(tmp_path, "new")[0]))
            clients.take(100)
            until(
                lambda: [one.state for one in instances(tmp_path, "new")] == ["ready", "ready"],
                "it is back",
            )
            target.shift(tmp_path, "svc", {"new": 100})
            clients.take(20)
            assert clients.take(50).keys() == {"new"}
            assert target.drain(tmp_path, "svc", "old")
            target.remove(tmp_path, "svc", "old")
            clients.take(50)
        assert clients.failures == []
        answered = 0
        with Tail(target.log_path(tmp_path, "svc")) as tail:

            def logged() -> bool:
                nonlocal answered
                answered += sum(one.status == 200 for one in tail.answers())
                return answered == clients.answers.total()

            until(logged, "every answer is in the log, and only once")


def test_a_killed_load_balancer_serves_the_same_split(tmp_path: Path) -> None:
    with standing(tmp_path, _settings()) as port:
        deployed(tmp_path, revision("old"), revision("new"))
        target.shift(tmp_path, "svc", {"old": 75, "new": 25})
        actual = target.look(tmp_path, "svc")[1]
        assert actual.proxy is not None
        kill(actual.proxy.pid)
        until(lambda: target.look(tmp_path, "svc")[1].proxy_starts == 2, "it is started again")
        with load(port, clients=1) as clients:
            clients.take(1)
            seen = clients.take(100)
        assert 23 <= 100 * seen["new"] / seen.total() <= 27
        assert "old" in seen


def test_copies_of_requests_judge_a_version_that_has_no_traffic(tmp_path: Path) -> None:
    shadow = Shadow(min_requests=30, methods=("GET",))
    with standing(tmp_path, _settings()) as port:
        deployed(tmp_path, revision("old"), revision("new"))
        place = listening.place(folder(tmp_path, "svc"))
        with Recorder(place, shadow, tmp_path / "shadow.json") as recorder, load(port) as clients:
            target.mirror(tmp_path, "svc", "new", shadow.share, shadow.methods)
            until(lambda: verdict(shadow, recorder.comparison()).decision == "roll back", "an answer differs")
            target.mirror(tmp_path, "svc", "new", 0)
            clients.take(20)
        assert clients.failures == []
        assert clients.answers.keys() == {"old"}
        found = recorder.comparison()
        assert found.different == found.compared
        assert found.examples[0].differences == ("expected 'old', got 'new'",)
