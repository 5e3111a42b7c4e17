"""Which hosts may be deployed to next: a pure function of the hosts, the configuration and what has happened so far.

A host is out of service while it is deployed to, and after that has failed. So many must stay in service as the
configuration says. Source: AWS CodeDeploy User Guide, "Instance health".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.deployments.configurations import Configuration

Status = Literal["Pending", "InProgress", "Succeeded", "Failed", "Skipped", "Unknown"]
"""Where a host is in a deployment, in CodeDeploy's words."""
TOO_FEW = (
    "The overall deployment failed because too many individual instances failed deployment, too few healthy instances"
    " are available for deployment, or some instances in your deployment group are experiencing problems."
)
CANNOT_START = "The deployment can't start because the minimum number of healthy instances is not available."


class Host(msgspec.Struct, frozen=True):
    """A host as the group knows it: its zone, how the last deployment to it ended, and which revision it has."""

    name: str
    zone: str = ""
    health: Literal["healthy", "unhealthy", "unknown"] = "unknown"
    revision: Literal["current", "old", "unknown"] = "unknown"


class State(msgspec.Struct, frozen=True):
    """Where a host is, and when its part ended, in seconds since the epoch."""

    status: Status = "Pending"
    ended: float = 0


class Decision(NamedTuple):
    """What comes next: hosts to `start`, or how the deployment has ended and why.

    Neither means that something must happen first: hosts in progress, or the time `until` (seconds since the epoch).
    """

    start: tuple[str, ...] = ()
    status: Literal["", "Succeeded", "Failed"] = ""
    code: str = ""
    why: str = ""
    until: float = 0


def minimum(configuration: Configuration, hosts: int) -> int:
    """How many of `hosts` must stay in service.

    With OneAtATime it is all but one, with HalfAtATime half rounded up; a single host may always be deployed to.
    """
    if configuration.minimum_healthy is None:
        raise ValueError(f"{configuration.name} is not for servers")
    name = configuration.name
    if name == "CodeDeployDefault.OneAtATime":
        return max(0, hosts - 1)
    needed = configuration.minimum_healthy.of(hosts)
    return min(needed, max(0, hosts - 1)) if name == "CodeDeployDefault.HalfAtATime" else needed


def at_once(configuration: Configuration, hosts: int) -> int:
    """How many hosts may be deployed to at the same time, at most; at least one."""
    return max(1, hosts - minimum(configuration, hosts))


def order(hosts: Sequence[Host], configuration: Configuration) -> tuple[Host, ...]:
    """Hosts in the order of their turn: those that are in trouble first, those that have the revision last.

    With a zonal configuration one zone after the other, by name.
    """
    health = {"unhealthy": 0, "unknown": 1, "healthy": 2}
    revision = {"unknown": 0, "old": 1, "current": 2}
    zones = configuration.zonal is not None
    return tuple(
        sorted(
            hosts,
            key=lambda host: (
                host.zone if zones else "",
                health[host.health],
                revision[host.revision],
                host.name,
            ),
        )
    )


def decide(
    hosts: Sequence[Host], configuration: Configuration, states: Mapping[str, State], now: float = 0
) -> Decision:
    """What comes next, when `hosts` are where `states` says (Pending where it says nothing)."""
    places = {host.name: states.get(host.name, State()) for host in hosts}
    begun = any(state.status != "Pending" for state in places.values())
    needed = minimum(configuration, len(hosts))
    if not begun and hosts and needed >= len(hosts):
        return Decision((), "Failed", "HEALTH_CONSTRAINTS_INVALID", CANNOT_START)
    if not hosts:
        return Decision(
            (), "Failed", "NO_INSTANCES", "The deployment failed because no instances were found."
        )
    zones = _zones(hosts, configuration)
    for number, zone in enumerate(zones):
        if all(places[host.name].status not in ("Pending", "InProgress") for host in zone):
            continue
        until = _watched(zones[number - 1], configuration, places, first=number == 1) if number else 0
        if until > now:
            return Decision(until=until)
        return _within(zone, hosts, configuration, places, begun=begun)
    return _verdict(places, needed)


def _zones(hosts: Sequence[Host], configuration: Configuration) -> list[list[Host]]:
    ordered = order(hosts, configuration)
    if configuration.zonal is None:
        return [list(ordered)]
    names = sorted({host.zone for host in hosts})
    return [[host for host in ordered if host.zone == name] for name in names]


def _watched(
    zone: Sequence[Host], configuration: Configuration, places: Mapping[str, State], *, first: bool
) -> float:
    """Until when the zone that has just been done is watched."""
    if configuration.zonal is None:
        return 0
    seconds = configuration.zonal.monitor
    if first and configuration.zonal.first_monitor is not None:
        seconds = configuration.zonal.first_monitor
    return max(places[host.name].ended for host in zone) + seconds if seconds else 0


def _within(
    zone: Sequence[Host],
    hosts: Sequence[Host],
    configuration: Configuration,
    places: Mapping[str, State],
    *,
    begun: bool,
) -> Decision:
    """Whose turn it is in a zone (the whole group where there are none)."""
    waiting = [host for host in zone if places[host.name].status == "Pending"]
    busy = sum(1 for state in places.values() if state.status == "InProgress")
    room = at_once(configuration, len(hosts)) - busy
    spare = _in_service(hosts, places) - minimum(configuration, len(hosts))
    if configuration.zonal is not None:
        spare = min(spare, _in_service(zone, places) - configuration.zonal.per_zone.of(len(zone)))
    chosen = []
    for host in waiting:
        # One that is out of service already takes nothing away from those that are in service.
        cost = 0 if host.health == "unhealthy" else 1
        if room > 0 and (not cost or spare > 0):
            chosen.append(host.name)
            room, spare = room - 1, spare - cost
    if chosen or busy:
        return Decision(tuple(chosen))
    if not begun:
        return Decision((), "Failed", "HEALTH_CONSTRAINTS_INVALID", CANNOT_START)
    return Decision((), "Failed", "HEALTH_CONSTRAINTS", TOO_FEW)


def _in_service(hosts: Sequence[Host], places: Mapping[str, State]) -> int:
    return sum(
        1
        for host in hosts
        if places[host.name].status == "Succeeded"
        or (places[host.name].status == "Pending" and host.health != "unhealthy")
    )


def _verdict(places: Mapping[str, State], needed: int) -> Decision:
    """How a deployment has ended in which every host had its turn."""
    good = sum(1 for state in places.values() if state.status == "Succeeded")
    if good and good >= needed:
        return Decision((), "Succeeded")
    return Decision((), "Failed", "HEALTH_CONSTRAINTS", TOO_FEW)
