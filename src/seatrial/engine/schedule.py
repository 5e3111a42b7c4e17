"""What to do next: a pure function from a plan and what has happened so far."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable  # noqa: TC003 - the annotation of a module value is evaluated
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection

    from seatrial.engine.plan import Criterion, Outcome, Plan, Retry, Stage, Step


class StepState(msgspec.Struct):
    """Where a step is. `due` is when a retry may start, in seconds since the epoch."""

    status: str = "pending"
    attempt: int = 0
    due: float = 0
    error: str = ""
    causes: list[tuple[str, str]] = []
    """Outcome and error of each attempt that did not pass."""


class StageState(msgspec.Struct):
    """Where a stage is."""

    status: str = "pending"
    error: str = ""


class State(msgspec.Struct):
    """Everything `decide` may look at. `request` is '', 'cancel' or 'kill'."""

    stages: dict[str, StageState]
    steps: dict[str, StepState]
    outputs: dict[str, dict[str, Any]]
    request: str = ""


class Begin(NamedTuple):
    """Start a stage."""

    stage: Stage


class Start(NamedTuple):
    """Start an attempt of a step."""

    step: Step


class Halt(NamedTuple):
    """Stop a running step; `hard` without asking it first."""

    step: Step
    hard: bool


class End(NamedTuple):
    """A stage is over; its steps that never started get the same status unless they have one."""

    stage: Stage
    status: str
    error: str


class Finish(NamedTuple):
    """The run is over."""

    status: str
    error: str


Decision = Begin | Start | Halt | End | Finish


class RetryDecision(NamedTuple):
    """Try again in `delay` seconds, because of `reason`, with `change` made to the inputs."""

    reason: str
    change: dict[str, Any]
    delay: float


def decide(plan: Plan, state: State, now: float) -> list[Decision]:
    """The next moves, none of which waits for another; an empty list means: wait."""
    if state.request == "kill":
        return _kill(plan, state)
    for stage in plan.stages:
        here = state.stages[stage.name]
        if here.status in ("pass", "fail", "skip", "stopped"):
            continue
        if not stage.always:
            if _failed(plan, state, stage.despite):
                return [End(stage, "skip", "")]
            if state.request == "cancel":
                return _cancel(stage, state)
        if here.status == "pending":
            return [Begin(stage)]
        return _advance(stage, state, now)
    status, error = _verdict(plan, state)
    return [Finish(status, error)]


def decide_retry(
    step: Step, outcome: Outcome, error: str, earlier: list[tuple[str, str]]
) -> RetryDecision | None:
    """Whether an attempt that did not pass is repeated; `earlier` are outcome and error of those before it."""
    if outcome == "lost" and step.interrupted == "retry":
        # Not the step's fault, so it does not use up the step's own retries; but a step that takes its
        # supervisor down every time must end, too.
        if sum(1 for cause, _ in earlier if cause == "lost") < _MOST_LOST:
            return RetryDecision("interrupted", {}, 0)
        return None
    for retry in step.retries:
        used = sum(1 for cause, text in earlier if _matches(retry, cause, text))
        if _matches(retry, outcome, error) and used < retry.times:
            return RetryDecision(retry.reason or outcome, retry.change, retry.delay * 2**used)
    return None


_MOST_LOST = 20


def _matches(retry: Retry, outcome: str, error: str) -> bool:
    return outcome in retry.on and (not retry.match or re.search(retry.match, error) is not None)


def _advance(stage: Stage, state: State, now: float) -> list[Decision]:
    """What may start in a stage that has begun, and whether it is over."""
    steps = state.steps
    free, running, failed = _look(stage, steps)
    if failed is not None and not stage.always:
        free = []
    if free or running:
        return [Start(step) for step in free if steps[step.name].due <= now]
    if failed is not None:
        return [End(stage, "fail", steps[failed.name].error)]
    problem = next(filter(None, (_unmet(criterion, state.outputs) for criterion in stage.gate)), "")
    return [End(stage, "fail" if problem else "pass", problem)]


def _look(stage: Stage, steps: dict[str, StepState]) -> tuple[list[Step], bool, Step | None]:
    """In one pass, since stages may have thousands of steps: which are free to start, whether anything runs, and
    the first that failed.
    """
    # In an always-stage every step gets its chance: one cleanup that fails must not keep the others.
    done = ("pass", "fail", "stopped") if stage.always else ("pass",)
    free: list[Step] = []
    running = False
    failed: Step | None = None
    before = "pass"
    for step in stage.steps:
        status = steps[step.name].status
        if status == "pending":
            if (
                (before in done)
                if step.needs is None
                else all(steps[need].status in done for need in step.needs)
            ):
                free.append(step)
        elif status == "running":
            running = True
        elif status != "pass" and failed is None:
            failed = step
        before = status
    return free, running, failed


def _cancel(stage: Stage, state: State) -> list[Decision]:
    running = [s for s in stage.steps if state.steps[s.name].status == "running"]
    if running:
        return [Halt(step, hard=False) for step in running]
    begun = state.stages[stage.name].status == "running"
    return [End(stage, "stopped" if begun else "skip", "")]


def _kill(plan: Plan, state: State) -> list[Decision]:
    steps = [step for stage in plan.stages for step in stage.steps]
    running = [s for s in steps if state.steps[s.name].status == "running"]
    if running:
        return [Halt(step, hard=True) for step in running]
    for stage in plan.stages:
        if state.stages[stage.name].status in ("pending", "running"):
            return [End(stage, "stopped" if state.stages[stage.name].status == "running" else "skip", "")]
    return [Finish("stopped", "killed: nothing was torn down; the ledger stays for the reaper")]


def _failed(plan: Plan, state: State, despite: Collection[str]) -> bool:
    return any(
        state.stages[stage.name].status == "fail"
        for stage in plan.stages
        if not stage.always and stage.name not in despite
    )


def _verdict(plan: Plan, state: State) -> tuple[str, str]:
    if state.request == "cancel" and any(
        state.stages[s.name].status in ("stopped", "skip") for s in plan.stages if not s.always
    ):
        failed = [s for s in plan.stages if state.stages[s.name].status == "fail" and s.always]
        return "stopped", state.stages[failed[0].name].error if failed else ""
    for stage in plan.stages:
        if state.stages[stage.name].status == "fail":
            return "failed", state.stages[stage.name].error
    return "succeeded", ""


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "in": lambda actual, expected: actual in expected,
}


def _unmet(criterion: Criterion, outputs: dict[str, dict[str, Any]]) -> str:
    try:
        actual = outputs[criterion.value.step][criterion.value.name]
    except KeyError:
        return f"gate: {criterion.value.step}.{criterion.value.name} is not known"
    try:
        holds = _COMPARE[criterion.op](actual, criterion.expected)
    except TypeError:
        return f"gate: {actual!r} {criterion.op} {criterion.expected!r} cannot be compared"
    if holds:
        return ""
    name = f"{criterion.value.step}.{criterion.value.name}"
    return (
        criterion.message or f"gate: {name} is {actual!r}, which is not {criterion.op} {criterion.expected!r}"
    )
