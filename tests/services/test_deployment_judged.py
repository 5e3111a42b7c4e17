"""Deployments that are judged by their traffic: the same is promoted, what is slower or fails is rolled back."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from support.deploying import deploying
from support.load import load
from support.standing import ask

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = {
    "min_requests": 100,
    "min_batches": 8,
    "latency_increase": 0.1,
    "tail_increase": 9,
    "spread_increase": 99,
    "error_increase": 0.2,
}
VERSIONS: dict[str, dict[str, Any]] = {
    "same": {"strategy": "canary:40%:9s", "env": {"LATENCY": "0.04"}, "analysis": LIMITS},
    "slow": {"strategy": "canary:40%:14s", "env": {"LATENCY": "0.06"}, "analysis": LIMITS},
    "broken": {"strategy": "canary:40%:1h", "env": {"STATUS": "500 No"}, "analysis": {"max_errors": 0.2}},
}


def test_the_same_is_promoted_and_what_is_slower_or_broken_is_rolled_back(tmp_path: Path) -> None:
    with deploying(tmp_path, *VERSIONS) as here:
        first = here.start(*(here.piece("one", name, env={"LATENCY": "0.04"}) for name in VERSIONS))
        assert here.finish(first).status == "Succeeded"
        with ExitStack() as stack:
            clients = {name: stack.enter_context(load(here.port(name), clients=5)) for name in VERSIONS}
            deployments = {
                name: here.start(here.piece("two", name, patience=30, unclear="roll back", **version))
                for name, version in VERSIONS.items()
            }
            with ExitStack() as going:
                for one in deployments.values():
                    going.enter_context(here.going(one))
        ended = {name: here.load(one) for name, one in deployments.items()}
        said = {
            name: [event.text for event in here.told(one, "verdict")] for name, one in deployments.items()
        }
        assert {name: one.status for name, one in ended.items()} == {
            "same": "Succeeded",
            "slow": "Failed",
            "broken": "Failed",
        }, said
        assert ended["slow"].error_code == ended["broken"].error_code == "HEALTH_CONSTRAINTS"
        assert "p50 latency" in ended["slow"].why
        assert "requests failed, the limit is 20.00%" in ended["broken"].why
        assert {name: ask(here.port(name))[1] for name in VERSIONS} == {
            "same": "two",
            "slow": "one",
            "broken": "one",
        }
        assert clients["same"].failures == clients["slow"].failures == []
        assert set(clients["broken"].failures) == {"500 two"}
        # Each of the clients may have had one request under way when the deployment ended.
        assert 0 <= len(clients["broken"].failures) - here.outputs(deployments["broken"])["failures"] <= 5
        [verdict] = here.outputs(deployments["broken"])["verdicts"]
        assert (verdict["decision"], verdict["share"]) == ("roll back", 40)
        assert verdict["judgement"]["comparisons"][0]["canary"] == 1.0
        events = {event.kind: event.at for event in here.told(deployments["broken"])}
        assert events["rollback"] - events["shift"] < 6
