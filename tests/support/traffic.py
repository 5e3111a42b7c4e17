"""Made-up traffic of two versions of a service, repeatable by its seed."""

from __future__ import annotations

import math
import random
from typing import Any

import msgspec

from seatrial.deployments.analysis.model import Window


class Arm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one version answers: about `rate` requests in each window, with log-normal latencies around `latency` s.

    Of the requests a share `errors` fails and a share `slow` takes `slower` times as long. `drift` is how far the
    version's own speed wanders (standard deviation of the logarithm per window). In every tenth window `burst_errors`
    more requests fail. Only one window in `every` has requests. `values` are means of further metrics. Latencies are
    measured by a clock that ticks every `tick` seconds (0: all the time).
    """

    rate: float = 40
    latency: float = 0.05
    spread: float = 0.4
    errors: float = 0.0
    slow: float = 0.0
    slower: float = 4.0
    drift: float = 0.0
    burst_errors: float = 0.0
    values: dict[str, float] = {}
    every: int = 1
    tick: float = 0.0


class Traffic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Both versions over `windows` stretches of time. `common` is how far the speed of both wanders together, and each
    window's wandering keeps the part `memory` of the one before; `bursts` multiplies the rate of every tenth window.
    """

    windows: int = 60
    common: float = 0.0
    memory: float = 0.8
    bursts: float = 1.0
    old: Arm = Arm()
    new: Arm = Arm()


def generate(traffic: Traffic, seed: int) -> tuple[list[Window], list[Window]]:
    """The windows of the old and of the new version."""
    chance = random.Random(seed)
    common = _wander(chance, traffic, traffic.common)
    rates = [traffic.bursts if i % 10 == 0 else 1.0 for i in range(traffic.windows)]
    old, new = (
        _windows(
            chance,
            arm,
            [a + b for a, b in zip(common, _wander(chance, traffic, arm.drift), strict=True)],
            rates,
        )
        for arm in (traffic.old, traffic.new)
    )
    return old, new


def _wander(chance: random.Random, traffic: Traffic, size: float) -> list[float]:
    found, now = [], 0.0
    for _ in range(traffic.windows):
        now = traffic.memory * now + chance.gauss(0, size)
        found.append(now)
    return found


def _windows(chance: random.Random, arm: Arm, pace: list[float], rates: list[float]) -> list[Window]:
    found = []
    for start, (speed, rate) in enumerate(zip(pace, rates, strict=True)):
        expected = arm.rate * rate
        count = max(0, round(chance.gauss(expected, math.sqrt(expected)))) if start % arm.every == 0 else 0
        share = arm.errors + (arm.burst_errors if start % 10 == 0 else 0)
        found.append(
            Window(
                start=start,
                requests=count,
                errors=sum(chance.random() < share for _ in range(count)),
                latencies=tuple(
                    _measured(chance, arm, _latency(chance, arm) * math.exp(speed)) for _ in range(count)
                ),
                values={name: chance.gauss(mean, abs(mean) / 10) for name, mean in arm.values.items()},
            )
        )
    return found


def _latency(chance: random.Random, arm: Arm) -> float:
    usual = arm.latency * math.exp(chance.gauss(0, arm.spread))
    return usual * arm.slower if chance.random() < arm.slow else usual


def _measured(chance: random.Random, arm: Arm, latency: float) -> float:
    """How many ticks there were while it lasted."""
    return math.floor(latency / arm.tick + chance.random()) * arm.tick if arm.tick else latency


def traffic(data: dict[str, Any]) -> Traffic:
    """Read from plain data."""
    return msgspec.convert(data, Traffic)
