"""The plan of a deployment: each host a step, which waits for its turn; then how it went, and what is undone."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from seatrial.deployments import rollout
from seatrial.engine.plan import Call, Plan, Stage, Step

if TYPE_CHECKING:
    from seatrial.deployments.deployments import Deployment

KIND = "deployment"
LONGEST = 8 * 3600.0
"""Seconds that a deployment may take in all, as CodeDeploy's."""
MOST = 64
"""Hosts that are deployed to at the same time, whatever the configuration allows: they are all on one machine."""
_GRACE = 120.0


def group(deployment: Deployment) -> Plan:
    """What a deployment to the hosts of a group takes. Everything else is in its record."""
    hosts = deployment.order()
    # More steps than hosts may be out of service never run, so that no process waits for a turn far away.
    slots = "deployment." + hashlib.sha256(deployment.label.encode()).hexdigest()[:16]
    steps = tuple(
        _call(
            f"host.{host.name}",
            f"deploy to {host.name}",
            "host",
            deployment,
            {"name": host.name},
            needs=(),
            limits=(slots,),
            timeout=LONGEST,
            grace=_GRACE,
        )
        for host in hosts
    )
    verdict = _call(
        "verdict",
        "say how it went",
        "verdict",
        deployment,
        needs=tuple(step.name for step in steps),
        timeout=600,
    )
    return Plan(
        kind=KIND,
        name=deployment.label,
        subject=f"deployment:{deployment.id}",
        key=deployment.id,
        stages=(
            Stage(
                name="START", steps=(_call("begin", "say that it begins", "begin", deployment, timeout=600),)
            ),
            Stage(name="DEPLOY", steps=(*steps, verdict)),
            Stage(
                name="END",
                steps=(
                    _call("close", "write down how it ended", "close", deployment, timeout=300),
                    _call(
                        "rollback",
                        "deploy the last good revision",
                        "rollback",
                        deployment,
                        timeout=LONGEST,
                        grace=_GRACE,
                    ),
                ),
                always=True,
            ),
        ),
        limits={slots: min(MOST, rollout.at_once(deployment.configuration, len(hosts)))},
    )


def _call(
    name: str,
    title: str,
    function: str,
    deployment: Deployment,
    inputs: dict[str, Any] | None = None,
    **fields: Any,
) -> Step:
    action = Call(
        target=f"seatrial.deployments.fleet:{function}",
        inputs={"deployment": deployment.id, **(inputs or {})},
    )
    return Step(name=name, title=title, action=action, **fields)
