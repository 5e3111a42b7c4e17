"""The plan of a batch: CodeBuild's phases of a batch as stages, each build a step that begins a run of its own.

Source: AWS CodeBuild API reference, `BuildBatchPhase`; its last phase (SUCCEEDED, FAILED, STOPPED) is how the run ends.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial import __version__
from seatrial.engine.plan import Call, Criterion, Plan, Ref, Stage, Step, Teardown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.builds.batch import Build, Expansion

KIND = "batch"
_GRACE = 60.0
"""Seconds for a build to end by itself: its container has to go, and what it held."""
_SLACK = 300.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for. `source` is where the sources come from, `directory` where they can be read now (the same for a
    folder), `version` which state of them is meant; `commit` and `url` are those of a repository. `images` maps the
    images that builds name to layout and digest; `image` is of the others.

    `secrets` are names of variables whose values travel apart. `timeout` is of each build, in seconds, `jobs` how many
    run at a time. `done` maps builds that an earlier batch has brought to success to those runs.
    """

    directory: str
    source: str
    version: str = ""
    commit: str = ""
    url: str = ""
    project: str
    buildspec: str = ""
    variables: dict[str, str] = {}
    secrets: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    image: tuple[str, ...] = ()
    image_name: str = ""
    images: dict[str, tuple[str, ...]] = {}
    runtime: str = ""
    credentials: bool = False
    timeout: float = 3600
    jobs: int = 1
    artifacts_to: str = ""
    combine: bool = False
    done: dict[str, str] = {}


def subject(wanted: Wanted) -> str:
    """What a batch is about: an unfinished one of the same stands in the way of a new one."""
    return f"{wanted.source}#{wanted.buildspec}"


def step_name(identifier: str) -> str:
    """The name of a build's step: the identifier where the engine takes it, else a hash of it."""
    if re.fullmatch(r"[A-Za-z0-9_.-]{1,50}", identifier):
        return f"build.{identifier}"
    return f"build.{hashlib.sha256(identifier.encode()).hexdigest()[:12]}"


def batch(wanted: Wanted, expansion: Expansion, *, fingerprint: str, carriers: Mapping[str, str]) -> Plan:
    """What a batch takes; `fingerprint` says which state of the source is meant.

    `carriers` maps variables that are secret to where their values are: `env:NAME`.
    """
    data = msgspec.to_builtins(wanted)
    stages = [
        Stage(name="SUBMITTED", steps=()),
        Stage(name="DOWNLOAD_BATCHSPEC", steps=(_source(wanted),)),
        _in_progress(wanted, data, expansion, carriers),
    ]
    if wanted.combine:
        names = {
            build.identifier: Ref(step_name(build.identifier), "artifacts_at") for build in expansion.builds
        }
        combine = _call("combine", "put all artifacts into one folder", "combine", {
            "artifacts": names, "folder": wanted.artifacts_to,
        })  # fmt: skip
        stages.append(Stage(name="COMBINE_ARTIFACTS", steps=(combine,)))
    end = _call("end", "end builds that nobody is in charge of", "end_all", {}, timeout=300)
    teardown = Step(name="teardown", title="remove the copy of the source", action=Teardown(), timeout=300)
    stages.append(Stage(name="FINALIZING", steps=(end, teardown), always=True))
    same = msgspec.structs.replace(wanted, directory="")
    asked = msgspec.json.encode([__version__, fingerprint, same], order="deterministic")
    return Plan(
        kind=KIND,
        name=wanted.project,
        subject=subject(wanted),
        key=hashlib.sha256(asked).hexdigest(),
        stages=tuple(stages),
        limits={"batch-build": wanted.jobs},
        abandon_after=1800,
    )


def _call(name: str, title: str, function: str, inputs: dict[str, Any], **fields: Any) -> Step:
    secrets = fields.pop("secrets", {})
    action = Call(target=f"seatrial.builds.batch_run:{function}", inputs=inputs, secrets=secrets)
    return Step(name=name, title=title, action=action, **fields)


def _source(wanted: Wanted) -> Step:
    # One copy for all builds, so that what is edited meanwhile is in all of them or in none.
    inputs = {"where": wanted.source, "version": wanted.commit or wanted.version}
    return _call("source", "copy the source and read the batch", "source", inputs)


def _in_progress(
    wanted: Wanted, data: dict[str, Any], expansion: Expansion, carriers: Mapping[str, str]
) -> Stage:
    steps = [_build(build, wanted, data, carriers) for build in expansion.builds]
    verdict = _call(
        "verdict",
        "say how the batch went",
        "verdict",
        {
            "wanted": data,
            "source": Ref("source", "path"),
            "statuses": {
                build.identifier: Ref(step_name(build.identifier), "status") for build in expansion.builds
            },
        },
        needs=tuple(step.name for step in steps),
    )
    gate = Criterion(
        Ref("verdict", "status"), "==", "SUCCEEDED", "not every build of the batch has succeeded"
    )
    return Stage(name="IN_PROGRESS", steps=(*steps, verdict), gate=(gate,))


def _build(build: Build, wanted: Wanted, data: dict[str, Any], carriers: Mapping[str, str]) -> Step:
    needs = tuple(step_name(name) for name in build.depend_on)
    return _call(
        step_name(build.identifier),
        f"build {build.identifier}",
        "one",
        {
            "identifier": build.identifier,
            "source": Ref("source", "path"),
            "wanted": data,
            "statuses": {name: Ref(step_name(name), "status") for name in build.depend_on},
        },
        secrets=dict(carriers),
        needs=needs,
        timeout=wanted.timeout + _SLACK,
        grace=_GRACE,
        limits=("batch-build",),
    )
