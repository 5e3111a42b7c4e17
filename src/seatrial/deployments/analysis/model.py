"""What is compared during a shift of traffic, what is allowed, and what came out."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

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


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the new version may be worse by, and what it may never be. Shares and increases are fractions."""

    latency_increase: Annotated[
        float, Meta(gt=0, description="By which fraction the typical latency may rise.")
    ] = 0.10
    tail_increase: Annotated[
        float,
        Meta(
            gt=0,
            description="By which fraction requests may become more frequent that are slower than the old version's p95.",
        ),
    ] = 0.5
    spread_increase: Annotated[
        float, Meta(gt=0, description="By which fraction the spread (interquartile range) may rise.")
    ] = 0.5
    error_increase: Annotated[
        float, Meta(gt=0, lt=1, description="By how much the share of failed requests may rise.")
    ] = 0.005
    value_increase: Annotated[
        float, Meta(gt=0, description="By which fraction further metrics may rise.")
    ] = 0.10
    max_errors: (
        Annotated[float, Meta(gt=0, lt=1, description="The share of failed requests that is never accepted.")]
        | None
    ) = None
    max_latency: (
        Annotated[float, Meta(gt=0, description="The p99 latency in seconds that is never accepted.")] | None
    ) = None
    lower_is_worse: Annotated[
        tuple[str, ...], Meta(description="Further metrics of which less is worse.")
    ] = ()
    required: Annotated[
        tuple[str, ...], Meta(description="Further metrics without which the new version fails.")
    ] = ()
    min_requests: Annotated[int, Meta(ge=1, description="Requests that each version must have answered.")] = (
        500
    )
    min_batches: Annotated[int, Meta(ge=8, description="Stretches of time that must be comparable.")] = 10
    confidence: Annotated[
        float, Meta(gt=0.5, lt=1, description="Of each comparison, two-sided, over all looks together.")
    ] = 0.98


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
