"""How traffic goes from the old to the new version over time: a strategy is a list of shares, each held for a while.

Traffic configurations of CodeDeploy are strategies, too. Source: AWS CodeDeploy user guide, "Working with deployment
configurations"; the largest whole time and the percentages that are allowed are those of CreateDeploymentConfig.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.deployments import configurations
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from seatrial.deployments.configurations import Traffic

LONGEST = configurations.LONGEST * 60.0
"""Seconds that a shift may take, bake time aside."""
_FIX = (
    "use all-at-once, blue-green, canary:10%:5m, linear:10%:1m, steps:1%,5%,25%,100%:2m or the name of a traffic"
    " configuration such as LambdaCanary10Percent5Minutes"
)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}


class Step(NamedTuple):
    """The new version has `share` percent of the traffic for at least `seconds`."""

    share: float
    seconds: float


class Strategy(msgspec.Struct, frozen=True):
    """Steps with growing shares, of which the last is 100 %. In a step of 0 % the new version runs without traffic, for
    tests; the last one's time is the bake time, in which the old version is still there.
    """

    name: str
    steps: tuple[Step, ...]

    @property
    def seconds(self) -> float:
        """The shortest time it takes, bake time included."""
        return sum(step.seconds for step in self.steps)

    def share(self, elapsed: float) -> float:
        """Percent of the traffic that the new version has after `elapsed` seconds when nothing holds it up."""
        end = 0.0
        for step in self.steps:
            end += step.seconds  # in the order of `seconds`, so that its end is exactly the end
            if elapsed < end:
                return step.share
        return self.steps[-1].share


def parse(text: str, *, bake: float = 0.0, test: float = 0.0) -> Strategy:
    """The strategy that a user names; `bake` is the time after the last shift and `test` the time before the first.

    Raises:
        UsageError: it is none, or its numbers are not within the limits.
    """
    kind, _, rest = text.partition(":")
    if kind in ("all-at-once", "blue-green") and not rest:
        found = [Step(100, bake)]
    elif kind in ("canary", "linear"):
        share, seconds = _share_and_time(text, rest)
        found = _canary(share, seconds, bake) if kind == "canary" else _linear(share, seconds, bake)
    elif kind == "steps":
        found = _steps(text, rest, bake)
    else:
        found = _configured(text, bake)
    if test or kind == "blue-green":
        found = [Step(0, test), *found]
    strategy = Strategy(text, tuple(found))
    _check(strategy)
    return strategy


def of(name: str, traffic: Traffic, *, bake: float = 0.0) -> Strategy:
    """A traffic configuration of CodeDeploy as a strategy."""
    moments = configurations.shifts(traffic)
    later = [minutes for minutes, _ in moments[1:]]
    steps = [
        Step(share, (end - begin) * 60.0) for (begin, share), end in zip(moments[:-1], later, strict=True)
    ]
    return Strategy(name, (*steps, Step(100, bake)))


def _canary(share: float, seconds: float, bake: float) -> list[Step]:
    return [Step(share, seconds), Step(100, bake)]


def _linear(share: float, seconds: float, bake: float) -> list[Step]:
    count = -int(-100 // share)
    return [*(Step(share * n, seconds) for n in range(1, count)), Step(100, bake)]


def _steps(text: str, rest: str, bake: float) -> list[Step]:
    shares, _, time = rest.rpartition(":")
    seconds = _time(text, time)
    values = [_percent(text, share) for share in shares.split(",")]
    if sorted(set(values)) != values or values[-1] != 100:  # noqa: PLR2004 - all of it
        raise UsageError(f"the shares of {text!r} do not grow to 100%", fix="as in steps:1%,5%,25%,100%:2m")
    return [*(Step(share, seconds) for share in values[:-1]), Step(100, bake)]


def _configured(text: str, bake: float) -> list[Step]:
    try:
        known = configurations.find(text)
    except UsageError as error:
        raise UsageError(f"{text!r} is no strategy", why=error.what, fix=_FIX) from error
    if known.traffic is None:
        raise UsageError(
            f"{text!r} says how many hosts are deployed to at a time, not how traffic shifts", fix=_FIX
        )
    return list(of(known.name, known.traffic, bake=bake).steps)


def _share_and_time(text: str, rest: str) -> tuple[float, float]:
    share, _, time = rest.partition(":")
    percent = _percent(text, share)
    if percent >= 100:  # noqa: PLR2004
        raise UsageError(
            f"{text!r} shifts everything at once", fix="use all-at-once, or a percentage from 1 to 99"
        )
    return percent, _time(text, time)


def _percent(text: str, share: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)%?", share.strip())
    if not found or not 0 < float(found[1]) <= 100:  # noqa: PLR2004
        raise UsageError(f"{share!r} in {text!r} is no percentage of the traffic", fix=_FIX)
    return float(found[1])


def _time(text: str, time: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", time.strip())
    if not found:
        raise UsageError(f"{time!r} in {text!r} is no length of time", fix=_FIX)
    return float(found[1]) * _SECONDS[found[2]]


def _check(strategy: Strategy) -> None:
    shifting = sum(step.seconds for step in strategy.steps[:-1] if step.share)
    if shifting > LONGEST:
        raise UsageError(
            f"{strategy.name!r} takes {shifting / 60:g} minutes",
            why="shifting may take 2880 minutes (two days) at most, as in CodeDeploy",
            fix="use larger shares or shorter times",
        )
