"""The plan of a build: a pure function from what is wanted and what the buildspec says to stages and steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from seatrial.builds import phases
from seatrial.engine.plan import Call, Plan, Ref, Service, Stage, Step, Teardown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.builds.setup import Wanted

_SLACK = 120.0
"""Seconds beyond the build's own time, after which the engine itself ends what is left."""


class Refusal(NamedTuple):
    """A phase that is known to fail, and what CodeBuild says then."""

    phase: str
    code: str
    messages: tuple[str, ...]


def build(
    wanted: Wanted,
    work: tuple[phases.Work, ...] = (),
    *,
    subject: str,
    secrets: Mapping[str, str] | None = None,
    refusal: Refusal | None = None,
    concurrent: int = 0,
    queued_timeout: float = 8 * 3600,
    from_phase: str = "",
) -> Plan:
    """What a build takes. `work` are the phases with commands, in order; `subject` is its folder.

    `secrets` maps variables to references (`env:NAME`). At most `concurrent` builds of this machine run at a time (0: any
    number); `queued_timeout` is in seconds. Phases before `from_phase` are left out.
    """
    skipped = phases.COMMANDS[: phases.COMMANDS.index(from_phase)] if from_phase else ()
    doing = {item.name: item for item in work if item.name not in skipped}
    after = phases.follows({name: item.on_failure for name, item in doing.items()})
    limits = ("build",) if concurrent else ()
    data = msgspec.to_builtins(wanted)
    stages = [Stage(name="SUBMITTED", steps=()), _queued(concurrent, queued_timeout)]
    stages += [_provisioning(wanted, data, secrets or {}, limits), _download(data, wanted)]
    before: list[str] = []
    for name in phases.COMMANDS:
        if name in skipped:
            stages.append(Stage(name=name, steps=(), despite=after.get(name, ())))
        elif name in doing:
            stages.append(_commands(doing[name], wanted, data, before, after.get(name, ())))
            before = []
        else:
            before.append(name)
            stages.append(Stage(name=name, steps=(), despite=after.get(name, ())))
    stages.append(_upload(wanted, data, after.get("UPLOAD_ARTIFACTS", ())))
    stages += [_finalizing(data, before), Stage(name="COMPLETED", steps=(), always=True)]
    if refusal is not None:
        at = phases.NAMES.index(refusal.phase)
        stages = [_refused(stage, refusal, later=place > at) for place, stage in enumerate(stages)]
    identity = wanted.identity
    return Plan(
        kind="build",
        name=identity.project,
        # Builds of one project run side by side, as in CodeBuild; each is its own subject.
        subject=f"{subject}#{identity.uuid}",
        key=identity.uuid,
        stages=tuple(stages),
        limits={"build": concurrent} if concurrent else {},
        abandon_after=30,
    )


def _call(name: str, title: str, function: str, inputs: dict[str, Any], **fields: Any) -> Step:
    secrets = fields.pop("secrets", {})
    module = {
        "download": "downloading",
        "reports": "uploading",
        "artifacts": "uploading",
        "save": "downloading",
    }
    target = f"seatrial.builds.{module.get(function, 'steps')}:{function}"
    action = Call(target=target, inputs=inputs, secrets=secrets)
    # A build's own programs run in its container; only fetching starts others.
    return Step(name=name, title=title, action=action, interrupted="fail", **{"contained": False, **fields})


def _common(data: dict[str, Any]) -> dict[str, Any]:
    return {"wanted": data, "place": Ref("prepare", "place"), "container": Ref("container", "folder")}


def _queued(concurrent: int, seconds: float) -> Stage:
    if not concurrent:
        return Stage(name="QUEUED", steps=())
    wait = _call(
        "queue",
        "wait for other builds",
        "queue",
        {"place": concurrent, "seconds": seconds},
        timeout=seconds + _SLACK,
    )
    return Stage(name="QUEUED", steps=(wait,))


def _provisioning(
    wanted: Wanted, data: dict[str, Any], secrets: Mapping[str, str], limits: tuple[str, ...]
) -> Stage:
    prepare = _call(
        "prepare", "make the workspace and the container", "prepare", {"wanted": data}, secrets=dict(secrets)
    )
    container = Step(
        name="container",
        title="start the container",
        action=Service(argv=Ref("prepare", "argv"), lifetime=wanted.timeout + _SLACK),
        grace=1,
        limits=limits,
    )
    return Stage(name="PROVISIONING", steps=(prepare, container), renewed=True)


def _download(data: dict[str, Any], wanted: Wanted) -> Stage:
    step = _call(
        "download",
        "fetch the sources and make the environment",
        "download",
        _common(data),
        timeout=wanted.timeout,
        contained=_fetches(wanted),
    )
    return Stage(name="DOWNLOAD_SOURCE", steps=(step,))


def _fetches(wanted: Wanted) -> bool:
    """Whether a source comes from elsewhere: those of this machine are absolute paths."""
    return not all(
        place.startswith("/") for place in (wanted.source, *(place for place, _ in wanted.secondary.values()))
    )


def _commands(
    work: phases.Work, wanted: Wanted, data: dict[str, Any], before: list[str], despite: tuple[str, ...]
) -> Stage:
    step = _call(
        work.name.lower(),
        f"run the commands of {work.name}",
        "phase",
        {**_common(data), "work": msgspec.to_builtins(work), "before": before},
        timeout=wanted.timeout + _SLACK / 2,
        grace=4,
    )
    return Stage(name=work.name, steps=(step,), despite=despite)


def _upload(wanted: Wanted, data: dict[str, Any], despite: tuple[str, ...]) -> Stage:
    caches = wanted.cache is not None and wanted.cache_at != "none"
    parts = [
        ("save", "keep the cache for the next build", caches),
        ("reports", "read the reports", wanted.reports),
        ("artifacts", "collect the artifacts", wanted.artifacts),
    ]
    steps = tuple(
        _call(name, title, name, _common(data), timeout=wanted.timeout)
        for name, title, there in parts
        if there
    )
    return Stage(name="UPLOAD_ARTIFACTS", steps=steps, despite=despite)


def _finalizing(data: dict[str, Any], before: list[str]) -> Stage:
    finalize = _call(
        "finalize",
        "keep what is needed after the build",
        "finalize",
        {"wanted": data, "before": before},
    )
    teardown = Step(name="teardown", title="end the container", action=Teardown(), timeout=300)
    return Stage(name="FINALIZING", steps=(finalize, teardown), always=True)


def _refused(stage: Stage, refusal: Refusal, *, later: bool) -> Stage:
    """A stage of a build that cannot get beyond the phase of `refusal`."""
    if stage.name == "FINALIZING":
        # Nothing was made that could be kept; the container, if there is one, still has to go.
        return msgspec.structs.replace(stage, steps=stage.steps[-1:])
    if stage.name != refusal.phase:
        return msgspec.structs.replace(stage, steps=()) if later else stage
    step = _call(
        "refuse",
        "say why the build cannot run",
        "refuse",
        {"phase": refusal.phase, "code": refusal.code, "messages": list(refusal.messages)},
    )
    return msgspec.structs.replace(stage, steps=(step,))
