"""A plan is a value: ordered stages, each with steps. It is frozen together with the run that it starts.

Steps are known by their names, which are unique in a plan, so that an upgrade never orphans a run.
A value `Ref("step", "output")` anywhere in an action's inputs stands for what that step will have put out.
"""

from __future__ import annotations

import re
from typing import Any, Literal

import msgspec

from seatrial.errors import UsageError

Outcome = Literal["exit", "signal", "timeout", "lost"]
"""Why an attempt did not pass: a non-zero exit, a signal from outside, its deadline, or it vanished."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class Ref(msgspec.Struct, frozen=True, tag="ref"):
    """The output `name` of the step `step`, known when that step has passed."""

    step: str
    name: str


class Command(msgspec.Struct, frozen=True, kw_only=True, tag="command"):
    """A program run to its end. `secrets` maps environment names to references: `env:TOKEN`, `file:PATH`."""

    argv: Any
    cwd: Any = None
    env: dict[str, Any] = {}
    secrets: dict[str, Any] = {}


class Call(msgspec.Struct, frozen=True, kw_only=True, tag="call"):
    """A Python function `module:name` taking a `Context` and the inputs, returning its outputs as a dict."""

    target: str
    inputs: dict[str, Any] = {}
    secrets: dict[str, Any] = {}


class Service(msgspec.Struct, frozen=True, kw_only=True, tag="service"):
    """A program that goes on after its step: the step passes once it has been started.

    It is in the ledger before it starts, and its own shim ends it after `lifetime` seconds.
    """

    argv: Any
    cwd: Any = None
    env: Any = {}
    secrets: dict[str, Any] = {}
    lifetime: float = 3600


class Teardown(msgspec.Struct, frozen=True, tag="teardown"):
    """Remove everything that the run's ledger holds, newest first."""


Action = Command | Call | Service | Teardown


class Retry(msgspec.Struct, frozen=True, kw_only=True):
    """Try again after one of the outcomes `on`, at most `times` times, waiting `delay` seconds (doubled each time).

    `match` is a regular expression that the error must contain; `change` replaces inputs (or environment
    values of a command) in the next attempt; `reason` is kept with that attempt.
    """

    on: tuple[Outcome, ...] = ("exit",)
    times: int = 1
    delay: float = 0
    match: str = ""
    change: dict[str, Any] = {}
    reason: str = ""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """What a step's result depends on; the same key means the same result.

    `inputs` names the inputs that count, `files` the input names whose value is a path (file or folder)
    that counts by content, `tools` programs that count by identity, `code` changes when the step's code does.
    A result whose output `unless` is true (not zero) is not kept.
    """

    inputs: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    code: str = "1"
    unless: str = ""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One unit of work: at least once, with everything it creates in the ledger first.

    `needs` are steps of the same stage that must have passed; None means the step before it.
    `timeout` and `grace` are seconds: the first until the step is stopped, the second between INT, TERM and KILL.
    `interrupted` says what happens when the attempt was lost with its machine or supervisor.
    `limits` are names of resources of which the step takes one slot each. `title` says in words what it does.
    What the step leaves running ends with it, unless it `leaves` it: a daemon that a script has started goes on
    after a step that ends by itself, and has no namespace of its own. Nor has a step that is not `contained`, for it
    starts only programs that it waits for; functions of that kind may share a process, which saves 20 ms.
    """

    name: str
    action: Action
    title: str = ""
    needs: tuple[str, ...] | None = None
    timeout: float = 3600
    grace: float = 10
    retries: tuple[Retry, ...] = ()
    interrupted: Literal["retry", "fail"] = "retry"
    key: Key | None = None
    limits: tuple[str, ...] = ()
    leaves: bool = False
    contained: bool = True


class Criterion(msgspec.Struct, frozen=True):
    """One condition of a gate: an output compared with an expected value."""

    value: Ref
    op: Literal["==", "!=", "<", "<=", ">", ">=", "in"]
    expected: Any
    message: str = ""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """Steps under one heading. `always` stages run whatever happened; `gate` criteria must hold at the end.

    A stage that does not run always is skipped when an earlier one has failed, unless that one is in `despite`.
    What a `renewed` stage made is made again when an ended run is reopened, and later stages that passed still stand.
    """

    name: str
    steps: tuple[Step, ...]
    always: bool = False
    despite: tuple[str, ...] = ()
    renewed: bool = False
    gate: tuple[Criterion, ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a run will do.

    `subject` is what it is about (a folder); an unfinished run of the same kind and subject stands in the way of
    a new one. When its `key`, a hash over everything that was asked for, is equal too, it is continued instead.
    `limits` maps resource names to how many steps on this machine may hold one at a time; a name that is not
    there is held by one. `steps` limits all steps, and the plan's kind all steps of runs of that kind.
    `abandon_after` is how many seconds nobody may be in charge before the run is cancelled and torn down.
    """

    kind: str
    name: str
    subject: str
    key: str
    stages: tuple[Stage, ...]
    limits: dict[str, int] = {}
    abandon_after: float = 3600


def check(plan: Plan) -> Plan:
    """Return `plan` if it can be run.

    Raises:
        UsageError: names are not unique or not usable as folder names, or a reference leads nowhere.
    """
    seen: set[str] = set()
    stages: set[str] = set()
    for stage in plan.stages:
        here: set[str] = set()
        if unknown := set(stage.despite) - stages:
            raise UsageError(
                f"stage {stage.name!r} runs despite {min(unknown)!r}, which does not come before it"
            )
        stages.add(stage.name)
        for step in stage.steps:
            if not _NAME.fullmatch(step.name):
                raise UsageError(f"step name {step.name!r} is not usable", fix="use letters, digits, . _ -")
            if step.name in seen | here:
                raise UsageError(f"two steps are called {step.name!r}", fix="give each step its own name")
            for need in step.needs or ():
                if need not in here:
                    raise UsageError(
                        f"step {step.name!r} needs {need!r}, which does not come before it in its stage"
                    )
            for ref in refs(step.action):
                if ref.step not in seen | here:
                    raise UsageError(
                        f"step {step.name!r} uses an output of {ref.step!r}, which does not come before it"
                    )
            here.add(step.name)
        seen |= here
    return plan


def refs(value: Any) -> list[Ref]:
    """All references in a value, however deep."""
    if isinstance(value, Ref):
        return [value]
    if isinstance(value, Command | Call | Service):
        return refs([getattr(value, field) for field in value.__struct_fields__])
    if isinstance(value, dict):
        return [ref for item in value.values() for ref in refs(item)]
    if isinstance(value, list | tuple):
        return [ref for item in value for ref in refs(item)]
    return []


def resolve(value: Any, outputs: dict[str, dict[str, Any]]) -> Any:
    """`value` with each reference replaced by the output it stands for.

    Raises:
        UsageError: the step has no such output.
    """
    if isinstance(value, Ref):
        try:
            return outputs[value.step][value.name]
        except KeyError as error:
            raise UsageError(f"step {value.step!r} has no output {value.name!r}") from error
    if isinstance(value, dict):
        return {key: resolve(item, outputs) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [resolve(item, outputs) for item in value]
    return value


def to_json(plan: Plan) -> bytes:
    """The frozen form kept with the run."""
    return msgspec.json.encode(plan, enc_hook=_reject)


def from_json(data: bytes | str) -> Plan:
    """Read a frozen plan back, references included."""
    plan = msgspec.json.decode(data, type=Plan)
    return msgspec.structs.replace(
        plan,
        stages=tuple(
            msgspec.structs.replace(
                stage,
                steps=tuple(
                    msgspec.structs.replace(step, action=_thaw_action(step.action)) for step in stage.steps
                ),
            )
            for stage in plan.stages
        ),
    )


def _thaw_action(action: Action) -> Action:
    if isinstance(action, Teardown):
        return action
    return msgspec.structs.replace(
        action, **{field: _thaw(getattr(action, field)) for field in action.__struct_fields__}
    )


def _thaw(value: Any) -> Any:
    if isinstance(value, dict):
        if value.get("type") == "ref" and set(value) == {"type", "step", "name"}:
            return Ref(value["step"], value["name"])
        return {key: _thaw(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_thaw(item) for item in value]
    return value


def _reject(value: Any) -> Any:
    raise UsageError(f"a plan holds JSON values, not {type(value).__name__}")
