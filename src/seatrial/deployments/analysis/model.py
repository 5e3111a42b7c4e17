"""What is compared during a shift of traffic, what is allowed, and what came out."""

from __future__ import annotations

from typing import Literal

import msgspec

from seatrial.config.deploying import Limits

__all__ = ["Comparison", "Decision", "Judgement", "Limits", "State", "Window"]

Decision = Literal["promote", "hold", "roll back"]
State = Literal["pass", "unclear", "fail"]


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """What one arm did in a stretch of time. All arms of a comparison have windows of the same lengths and starts.

    `start` and `latencies` are in seconds; a request that failed has a latency, too. `values` are further metrics
    by name, one number each, such as the mean of a gauge over the window.
    """

    start: float
    requests: int = 0
    errors: int = 0
    latencies: tuple[float, ...] = ()
    values: dict[str, float] = {}


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """One metric: both versions' values, the change with its confidence interval, and the test that says so.

    `change`, `low` and `high` are fractions (0.2: 20 % more) except for the share of errors, where they are
    differences; None where nothing can be said.
    """

    metric: str
    state: State
    baseline: float | None
    canary: float | None
    change: float | None = None
    low: float | None = None
    high: float | None = None
    test: str = ""
    allowed: float | None = None
    why: str = ""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict and every comparison, those that decided first."""

    decision: Decision
    why: str
    comparisons: tuple[Comparison, ...]
    requests: tuple[int, int]
    batches: int
