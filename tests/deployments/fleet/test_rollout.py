"""Which hosts come next, and when a deployment has failed: stated cases, and what must hold for all."""

from __future__ import annotations

import heapq
from typing import NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from seatrial.deployments import configurations, rollout
from seatrial.deployments.configurations import Configuration, Healthy, Zonal
from seatrial.deployments.rollout import Host, State

ONE, HALF, ALL = (configurations.find(name) for name in ("OneAtATime", "HalfAtATime", "AllAtOnce"))


def names(count: int) -> list[str]:
    return [f"host-{number}" for number in range(1, count + 1)]


class Told(NamedTuple):
    """How a simulated deployment went; `together` is the most hosts that were in progress at a time."""

    status: str
    states: dict[str, State]
    together: int
    lowest: int
    seconds: float


def simulate(
    hosts: list[Host],
    configuration: Configuration,
    failing: set[str],
    lasting: dict[str, float] | None = None,
) -> Told:
    """Deploy in simulated time: each host takes as long as `lasting` says (else 10 seconds)."""
    states: dict[str, State] = {}
    now, together, busy = 0.0, 0, list[tuple[float, str]]()
    lowest = len(hosts)
    while True:
        decision = rollout.decide(hosts, configuration, states, now)
        for name in decision.start:
            states[name] = State("InProgress")
            heapq.heappush(busy, (now + (lasting or {}).get(name, 10), name))
        together = max(together, len(busy))
        out = {name for name, state in states.items() if state.status in ("InProgress", "Failed")}
        out |= {host.name for host in hosts if host.health == "unhealthy" and host.name not in states}
        lowest = min(lowest, len(hosts) - len(out))
        if decision.status:
            return Told(decision.status, states, together, lowest, now)
        if busy:
            now, name = heapq.heappop(busy)
            states[name] = State("Failed" if name in failing else "Succeeded", now)
        else:
            assert decision.until > now, "nothing is in progress, nothing starts and nothing is waited for"
            now = decision.until


def run(count: int, configuration: Configuration, *failing: int) -> tuple[str, int, int]:
    """Status, the most hosts at a time, and how many were never begun."""
    told = simulate([Host(name) for name in names(count)], configuration, {f"host-{n}" for n in failing})
    return told.status, told.together, count - len(told.states)


def test_one_at_a_time_ends_with_the_first_failure_unless_it_is_the_last_host() -> None:
    assert run(5, ONE) == ("Succeeded", 1, 0)
    assert run(5, ONE, 1) == ("Failed", 1, 4)
    assert run(5, ONE, 3) == ("Failed", 1, 2)
    assert run(5, ONE, 5) == ("Succeeded", 1, 0)
    assert run(1, ONE) == ("Succeeded", 1, 0)
    assert run(1, ONE, 1) == ("Failed", 1, 0)


def test_one_at_a_time_is_one_however_many_hosts_there_are() -> None:
    assert run(250, ONE) == ("Succeeded", 1, 0)


def test_half_at_a_time_needs_half_rounded_up() -> None:
    assert run(5, HALF) == ("Succeeded", 2, 0)
    assert run(9, HALF) == ("Succeeded", 4, 0)
    assert run(9, HALF, 6, 7, 8, 9) == ("Succeeded", 4, 0)
    assert run(5, HALF, 1, 2) == ("Failed", 2, 3)
    assert run(5, HALF, 1) == ("Succeeded", 2, 0)
    assert run(1, HALF) == ("Succeeded", 1, 0)


def test_all_at_once_succeeds_when_one_host_does() -> None:
    assert run(5, ALL) == ("Succeeded", 5, 0)
    assert run(5, ALL, 1, 2, 3, 4) == ("Succeeded", 5, 0)
    assert run(5, ALL, 1, 2, 3, 4, 5) == ("Failed", 5, 0)


def test_custom_numbers_and_percentages() -> None:
    assert run(5, configurations.find("HOST_COUNT=3")) == ("Succeeded", 2, 0)
    assert run(5, configurations.find("HOST_COUNT=3"), 1) == ("Succeeded", 2, 0)
    assert run(5, configurations.find("HOST_COUNT=3"), 1, 2) == ("Failed", 2, 3)
    assert run(10, configurations.find("FLEET_PERCENT=75")) == ("Succeeded", 2, 0)
    assert run(3, configurations.find("FLEET_PERCENT=0"), 1, 2) == ("Succeeded", 3, 0)


def test_a_minimum_that_leaves_no_host_cannot_start() -> None:
    decision = rollout.decide([Host("a"), Host("b")], configurations.find("HOST_COUNT=2"), {})

    assert (decision.status, decision.code) == ("Failed", "HEALTH_CONSTRAINTS_INVALID")
    assert rollout.decide([], ALL, {}).code == "NO_INSTANCES"


def test_hosts_in_trouble_come_first_and_those_that_have_the_revision_last() -> None:
    hosts = [
        Host("a", health="healthy", revision="current"),
        Host("b", health="healthy", revision="old"),
        Host("c", health="unknown"),
        Host("d", health="unhealthy", revision="old"),
    ]

    assert [host.name for host in rollout.order(hosts, ONE)] == ["d", "c", "b", "a"]


def test_a_host_that_failed_before_can_be_mended_though_no_other_may_go_out_of_service() -> None:
    hosts = [Host(name) for name in names(3)] + [Host("sick", health="unhealthy")]

    assert rollout.decide(hosts, ONE, {}).start == ("sick",)
    assert rollout.decide(hosts, ONE, {"sick": State("Succeeded")}).start == ("host-1",)
    assert rollout.decide(hosts, ONE, {"sick": State("Failed")}).code == "HEALTH_CONSTRAINTS"


def test_zones_come_one_after_the_other_with_a_pause_to_watch() -> None:
    hosts = [Host(f"{zone}{n}", zone) for zone in "abc" for n in (1, 2)]
    by_zone = Configuration(
        name="z",
        platform="Server",
        minimum_healthy=Healthy("HOST_COUNT", 1),
        zonal=Zonal(first_monitor=100, monitor=30, per_zone=Healthy("HOST_COUNT", 1)),
    )

    told = simulate(hosts, by_zone, set())

    # In each zone one stays in service, so a zone takes two turns of 10 seconds.
    assert (told.status, told.together, told.seconds) == ("Succeeded", 1, 20 + 100 + 20 + 30 + 20)
    assert {"b1", "b2", "c1", "c2"}.isdisjoint(simulate(hosts, by_zone, {"a1"}).states)


@st.composite
def fleets(draw: st.DrawFn) -> tuple[list[Host], Configuration, set[str], dict[str, float]]:
    count = draw(st.integers(1, 12))
    zones = draw(st.booleans())
    hosts = [
        Host(
            name,
            draw(st.sampled_from("abc")) if zones else "",
            draw(st.sampled_from(["healthy", "unhealthy", "unknown"])),
            draw(st.sampled_from(["current", "old", "unknown"])),
        )
        for name in names(count)
    ]
    healthy = st.one_of(
        st.builds(Healthy, st.just("HOST_COUNT"), st.integers(0, count)),
        st.builds(Healthy, st.just("FLEET_PERCENT"), st.integers(0, 99)),
    )
    zonal = draw(st.builds(Zonal, monitor=st.integers(0, 50), per_zone=healthy)) if zones else None
    custom = Configuration(name="own", platform="Server", minimum_healthy=draw(healthy), zonal=zonal)
    configuration = draw(st.sampled_from([ONE, HALF, ALL, custom]))
    failing = set(draw(st.lists(st.sampled_from(names(count)))))
    lasting = {name: draw(st.floats(1, 20)) for name in names(count)}
    return hosts, configuration, failing, lasting


@settings(max_examples=150, deadline=None)
@given(fleets())
def test_for_every_fleet(fleet: tuple[list[Host], Configuration, set[str], dict[str, float]]) -> None:
    hosts, configuration, failing, lasting = fleet
    sick = sum(host.health == "unhealthy" for host in hosts)
    needed = rollout.minimum(configuration, len(hosts))

    told = simulate(hosts, configuration, failing, lasting)  # it ends, and never waits for nothing

    good = sum(state.status == "Succeeded" for state in told.states.values())
    bad = {name for name, state in told.states.items() if state.status == "Failed"}
    assert told.together <= max(1, len(hosts) - needed)
    # What was in service is not taken out of it below the minimum, by the deployment's own choice.
    begun_healthy = any(host.health != "unhealthy" and host.name in told.states for host in hosts)
    assert not begun_healthy or told.lowest >= min(needed, len(hosts) - sick)
    if told.status == "Succeeded":
        assert len(told.states) == len(hosts)
        assert good >= max(1, needed)
    elif not bad:
        # Without any failure only a minimum that cannot be held ends a deployment.
        assert len(told.states) < len(hosts)
    assert told == simulate(list(reversed(hosts)), configuration, failing, lasting)
