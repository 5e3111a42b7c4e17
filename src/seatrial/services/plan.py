"""The plan of a deployment of services: its stages have the names of CodeDeploy's lifecycle events.

Source of their order and of the moments at which hooks are called: AWS CodeDeploy user guide, "AppSpec 'hooks' section
for an Amazon ECS deployment".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.engine.plan import Call, Plan, Stage, Step
from seatrial.services import hooks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.services.records import ServiceDeployment

KIND = "service-deployment"
_LONGEST = 30 * 86400.0
"""Seconds for a shift: it may be held, and waits for a person then."""
_GRACE = 20.0


def of(deployment: ServiceDeployment) -> Plan:
    """What a deployment takes. Everything else is in its record."""
    return Plan(
        kind=KIND,
        name=deployment.label,
        subject=f"service-deployment:{deployment.id}",
        key=deployment.id,
        stages=tuple(stage for stage in _stages(deployment) if stage.steps),
    )


def _stages(deployment: ServiceDeployment) -> Iterable[Stage]:
    undoing = bool(deployment.rollback_of)
    yield _stage("Begin", _call("begin", "say that it begins", deployment))
    if not undoing:
        yield _hooks(deployment, "BeforeInstall")
    yield Stage(
        name="Install",
        steps=tuple(
            _call(f"install.{deployment.short(part)}", f"start {part.after} of {part.service}", deployment, "install",
                  {"service": part.service}, needs=(), timeout=_LONGEST)
            for part in deployment.parts
        ),
    )  # fmt: skip
    if not undoing:
        yield from _tests(deployment)
    yield _stage("AllowTraffic", _call("traffic", "shift the traffic", deployment, timeout=_LONGEST))
    yield _stage(
        "Bake", _call("bake", "watch the new version with all the traffic", deployment, timeout=_LONGEST)
    )
    if not undoing:
        yield _hooks(deployment, "AfterAllowTraffic")
    yield _stage("Retire", _call("retire", "let the old version go", deployment))
    yield Stage(
        name="Rollback",
        steps=(
            _call("rollback", "bring the version before back, if this one failed", deployment, timeout=7200),
        ),
        always=True,
    )
    yield Stage(
        name="Close",
        steps=(_call("close", "write down how it ended", deployment, timeout=600),),
        always=True,
    )


def _tests(deployment: ServiceDeployment) -> Iterable[Stage]:
    """What happens to a new version that runs and has no traffic yet."""
    yield _hooks(deployment, "AfterInstall")
    yield _stage(
        "AllowTestTraffic",
        _call("expose", "let the test listener reach the new version", deployment, timeout=_LONGEST),
    )
    yield _hooks(deployment, "AfterAllowTestTraffic")
    if any(part.deploy.shadow is not None and part.compared for part in deployment.parts):
        yield _stage(
            "Shadow",
            _call("shadow", "compare answers to copies of real requests", deployment, timeout=_LONGEST),
        )
    yield _hooks(deployment, "BeforeAllowTraffic")


def _hooks(deployment: ServiceDeployment, event: hooks.Event) -> Stage:
    return Stage(name=event, steps=tuple(hooks.steps(deployment, event)))


def _stage(name: str, step: Step) -> Stage:
    return Stage(name=name, steps=(step,))


def _call(
    name: str,
    title: str,
    deployment: ServiceDeployment,
    function: str = "",
    inputs: dict[str, Any] | None = None,
    **fields: Any,
) -> Step:
    action = Call(
        target=f"seatrial.services.steps:{function or name}",
        inputs={"deployment": deployment.id, **(inputs or {})},
    )
    # A keeper that one of them has to start again goes on after it.
    return Step(name=name, title=title, action=action, leaves=True, **{"grace": _GRACE, **fields})
