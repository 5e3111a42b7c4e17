"""When evidence is looked at, what several verdicts come to, and whether instances are well: pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from seatrial.deployments.shifting.strategy import Step, parse
from seatrial.services import health, judging
from seatrial.services.model import Actual, Instance, Listening, Wanted, Wish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.deployments.analysis.model import Decision


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (Step(0, 60), ()),
        (Step(10, 0), (0, 10, 40, 160)),
        (Step(10, 10), (0, 10, 20, 50, 170)),
        (Step(10, 60), (0, 15, 30, 60, 70, 100, 220)),
        (Step(10, 300), (0, 15, 30, 60, 120, 300, 310, 340, 460)),
        (Step(100, 60), (0, 15, 30, 60)),
        (Step(100, 0), (0,)),
    ],
)
def test_a_step_is_looked_at_early_at_its_end_and_while_it_is_unclear(
    step: Step, expected: Sequence[float]
) -> None:
    assert judging.moments(step, 160) == expected
    assert [judging.due(step, 160, moment) for moment in expected] == list(range(1, len(expected) + 1))


@pytest.mark.parametrize(
    "text",
    [
        "canary:10%:5m",
        "linear:10%:1m",
        "steps:1%,5%,25%,100%:2m",
        "all-at-once",
        "blue-green",
        "canary:1%:47h",
    ],
)
def test_all_looks_of_a_deployment_are_planned(text: str) -> None:
    strategy = parse(text, bake=600)
    assert (
        judging.planned(strategy, 600) == sum(len(judging.moments(step, 600)) for step in strategy.steps) < 80
    )


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ((), (None, "")),
        ((("a", None, ""), ("b", None, "")), (None, "")),
        ((("a", "promote", "good"), ("b", None, "")), ("promote", "a: good")),
        ((("a", "promote", "good"), ("b", "hold", "few")), ("hold", "b: few")),
        (
            (("a", "promote", "good"), ("b", "hold", "few"), ("c", "roll back", "bad")),
            ("roll back", "c: bad"),
        ),
    ],
)
def test_the_worst_verdict_on_a_service_is_that_on_all(
    found: tuple[tuple[str, Decision | None, str], ...], expected: tuple[Decision | None, str]
) -> None:
    assert judging.together(found, named=True) == expected


def _look(before: health.Health, now: float, **instance: Any) -> tuple[health.Health, list[str]]:
    one = Instance(**{"slot": "s1", "revision": "new", "port": 1, "state": "ready", **instance})
    listening = Listening(port=1, test_port=2, test_header="X", slots=("s1",))
    wanted = Wanted(
        number=1, name="svc", listening=listening, instances=(Wish(slot="s1", revision="new", port=1),)
    )
    return health.look(before, wanted, Actual(instances=(one,)), "new", now)


def test_an_instance_that_is_started_again_is_told_and_one_that_fails_is_sick() -> None:
    state, said = _look(health.Health(), 0)
    assert (state.sick, said) == ("", [])
    state, said = _look(state, 1, restarts=1, why="out of memory")
    assert state.sick == ""
    assert said == ["the instance of new on port 1 has ended and was started again (1 times): out of memory"]
    state, said = _look(state, 2, restarts=1)
    assert said == []
    state, said = _look(state, 3, state="failing", ended=3, restarts=3, why="out of memory")
    assert state.sick == "the instance of new on port 1 has ended 3 times in a minute: out of memory"


def test_a_version_without_any_instance_that_is_ready_is_sick_after_a_while() -> None:
    state, _ = _look(health.Health(), 10, state="starting")
    assert state.sick == ""
    state, _ = _look(state, 10 + health.PATIENCE - 1, state="starting")
    assert state.sick == ""
    late, _ = _look(state, 10 + health.PATIENCE, state="starting")
    assert late.sick == "no instance of new has been ready for 15 s"
    well, _ = _look(state, 10 + health.PATIENCE, state="ready")
    assert well.sick == ""
