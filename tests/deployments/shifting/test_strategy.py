"""Schedules of traffic, and what a shift does with what it sees. Time is simulated."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as any_

from seatrial.deployments import configurations
from seatrial.deployments.shifting.progress import Policy, Seen, Shift, begin, proceed
from seatrial.deployments.shifting.strategy import LONGEST, Step, Strategy, of, parse
from seatrial.errors import UsageError

_TRAFFIC = [one for one in configurations.predefined().values() if one.traffic]


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("all-at-once", [Step(100, 30)]),
        ("blue-green", [Step(0, 0), Step(100, 30)]),
        ("canary:10%:5m", [Step(10, 300), Step(100, 30)]),
        ("linear:40%:90s", [Step(40, 90), Step(80, 90), Step(100, 30)]),
        ("linear:50%:1h", [Step(50, 3600), Step(100, 30)]),
        ("steps:1%,5%,25%,100%:2m", [Step(1, 120), Step(5, 120), Step(25, 120), Step(100, 30)]),
        ("LambdaCanary10Percent5Minutes", [Step(10, 300), Step(100, 30)]),
        ("CodeDeployDefault.ECSAllAtOnce", [Step(100, 30)]),
    ],
)
def test_what_a_name_means(text: str, steps: list[Step]) -> None:
    assert list(parse(text, bake=30).steps) == steps


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("canary", "percentage"),
        ("canary:0%:5m", "percentage"),
        ("canary:100%:5m", "everything at once"),
        ("canary:10%:5", "length of time"),
        ("linear:1%:30m", "2970 minutes"),
        ("steps:5%,1%,100%:1m", "do not grow"),
        ("steps:5%,50%:1m", "do not grow"),
        ("OneAtATime", "how many hosts"),
        ("sideways", "no strategy"),
    ],
)
def test_what_is_refused_says_why_and_what_to_write(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert said in str(caught.value)
    assert caught.value.fix


_TEXTS = any_.one_of(
    any_.just("all-at-once"),
    any_.just("blue-green"),
    any_.builds("canary:{}%:{}m".format, any_.integers(1, 99), any_.integers(1, 2880)),
    any_.builds("linear:{}%:{}s".format, any_.integers(1, 99), any_.integers(1, 1000)),
    any_.builds(
        lambda shares, seconds: f"steps:{','.join(f'{s}%' for s in sorted({*shares, 100}))}:{seconds}s",
        any_.sets(any_.integers(1, 100), max_size=8),
        any_.integers(1, 600),
    ),
    any_.sampled_from([one.name for one in _TRAFFIC]),
)


@given(_TEXTS, any_.floats(0, 3600), any_.floats(0, 600))
def test_every_schedule_grows_to_all_of_the_traffic_within_the_limit(
    text: str, bake: float, test: float
) -> None:
    found = parse(text, bake=bake, test=test)
    shares = [step.share for step in found.steps]
    assert all(0 <= share <= 100 for share in shares)
    assert all(a < b for a, b in pairwise(shares))
    assert shares[-1] == 100
    assert found.seconds - bake <= LONGEST + 600
    moments = [found.share(found.seconds * n / 50) for n in range(51)]
    assert moments == sorted(moments)
    assert found.share(found.seconds) == 100


@pytest.mark.parametrize("name", [one.name for one in _TRAFFIC])
def test_predefined_configurations_shift_as_their_names_say(name: str) -> None:
    """What has the share at a moment is what `shifts` of the configuration says for that minute."""
    traffic = configurations.predefined()[name].traffic
    assert traffic
    found = of(name, traffic)
    for minutes, share in configurations.shifts(traffic):
        assert found.share(minutes * 60) == share
        if minutes:
            assert found.share(minutes * 60 - 1) < share


CANARY = parse("canary:10%:60s", bake=120)


def run(moments: list[Seen], strategy: Strategy = CANARY, policy: Policy | None = None) -> Shift:
    shift = begin(strategy, 0)
    for seen in moments:
        shift = proceed(strategy, shift, seen, policy)
    return shift


def test_a_canary_that_does_well_is_promoted_step_by_step() -> None:
    shift = begin(CANARY, 0)
    assert shift.share == 10
    assert proceed(CANARY, shift, Seen(now=59, verdict="promote")) == shift
    shift = proceed(CANARY, shift, Seen(now=60, verdict="promote", because="no worse"))
    assert (shift.share, shift.status, shift.why) == (100, "shifting", "no worse")
    assert proceed(CANARY, shift, Seen(now=179, verdict="promote")).status == "shifting"
    assert proceed(CANARY, shift, Seen(now=180, verdict="promote")).status == "promoted"


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (Seen(now=5, verdict="roll back", because="p50 twice as high"), "p50 twice as high"),
        (Seen(now=5, alarm="alarm errors: 5 > 1"), "alarm errors: 5 > 1"),
        (Seen(now=5, healthy=False), "not healthy"),
        (Seen(now=5, request="roll back"), "by hand"),
        (Seen(now=5, verdict="promote", request="promote", alarm="alarm"), "alarm"),
    ],
)
@pytest.mark.parametrize("before", [[], [Seen(now=60, verdict="promote")], [Seen(now=1, request="hold")]])
def test_bad_news_rolls_back_at_once_wherever_the_shift_is(seen: Seen, why: str, before: list[Seen]) -> None:
    shift = run([*before, seen])
    assert (shift.status, shift.share) == ("rolled back", 0)
    assert why in shift.why
    assert proceed(CANARY, shift, Seen(now=999, verdict="promote", request="promote")) == shift


def test_unclear_evidence_holds_the_step_and_then_asks_a_person() -> None:
    policy = Policy(patience=100)
    unclear = [Seen(now=now, verdict="hold", because="42 of 500 requests") for now in (60, 159)]
    assert run(unclear, policy=policy) == begin(CANARY, 0)
    held = run([*unclear, Seen(now=160, verdict="hold", because="42 of 500 requests")], policy=policy)
    assert (held.status, held.share) == ("held", 10)
    assert "42 of 500" in held.why
    assert proceed(CANARY, held, Seen(now=900, verdict="promote")) == held
    assert proceed(CANARY, held, Seen(now=900, request="promote")).status == "promoted"
    backwards = Policy(patience=100, unclear="roll back")
    assert run([*unclear, Seen(now=160, verdict="hold")], policy=backwards).status == "rolled back"


def test_evidence_that_becomes_clear_late_still_counts() -> None:
    assert run([Seen(now=60, verdict="hold"), Seen(now=90, verdict="promote")]).share == 100


def test_what_a_person_holds_goes_on_only_when_asked_and_begins_its_step_anew() -> None:
    held = run([Seen(now=30, request="hold")])
    assert proceed(CANARY, held, Seen(now=500)) == held
    again = proceed(CANARY, held, Seen(now=500, request="continue"))
    assert (again.status, again.share, again.since) == ("shifting", 10, 500)
    assert proceed(CANARY, again, Seen(now=559)).share == 10
    assert proceed(CANARY, again, Seen(now=560)).share == 100


@given(
    _TEXTS,
    any_.lists(
        any_.tuples(
            any_.floats(0, 5000),
            any_.sampled_from([None, "promote", "hold", "roll back"]),
            any_.sampled_from(["", "promote", "hold", "continue", "roll back"]),
            any_.booleans(),
        ),
        max_size=30,
    ),
)
def test_whatever_happens_the_share_only_grows_until_it_falls_to_nothing(
    text: str, happenings: list[tuple[float, str | None, str, bool]]
) -> None:
    strategy = parse(text, bake=60)
    shift, now = begin(strategy, 0), 0.0
    for wait, verdict, request, healthy in happenings:
        now += wait
        after = proceed(
            strategy,
            shift,
            Seen(now=now, verdict=verdict, request=request, healthy=healthy),  # type: ignore[arg-type]
        )
        assert after.share >= shift.share or (after.status, after.share) == ("rolled back", 0)
        assert after.share in {step.share for step in strategy.steps} | {0.0}
        if shift.status in ("promoted", "rolled back"):
            assert after == shift
        if verdict == "roll back" and shift.status not in ("promoted", "rolled back"):
            assert after.status == "rolled back"
        shift = after
