"""The plan of a deployment on one host: each lifecycle event is a stage."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from seatrial.deployments.agent.order import Order, events_of
from seatrial.engine.plan import Call, Plan, Ref, Stage, Step

_LONGEST = 3600.0
"""Seconds that the scripts of an event may take together."""
_SLACK = 600.0


def host(order: Order) -> Plan:
    """What a deployment takes, as CodeDeploy's agent does it.

    One group of a root has one deployment at a time. The same order continues the deployment that was interrupted; an
    event whose agent vanished is not repeated: the deployment has failed, as after a restart of AWS's agent.
    """
    data = msgspec.to_builtins(order)
    stages: list[Stage] = []
    names: dict[str, int] = {}
    downloaded = ""
    for event in events_of(order):
        names[event] = names.get(event, 0) + 1
        name = event if names[event] == 1 else f"{event}-{names[event]}"
        given: Any = Ref(downloaded, "given") if downloaded else {}
        stages.append(Stage(name=name, steps=(_step(event, name, data, given),)))
        if event == "DownloadBundle":
            downloaded = name
    anonymous = msgspec.structs.replace(order, deployment="")
    return Plan(
        kind="deployment",
        name=order.application or order.group,
        subject=f"{order.root}#{order.group}",
        key=hashlib.sha256(msgspec.json.encode(anonymous)).hexdigest(),
        stages=tuple(stages),
    )


def _step(event: str, name: str, data: dict[str, Any], given: Any) -> Step:
    unpacking = event in ("DownloadBundle", "Install")
    return Step(
        name=name,
        title=f"go through {event}",
        action=Call(
            target="seatrial.deployments.agent.steps:event",
            inputs={"order": data, "name": event, "step": name, "given": given},
        ),
        # Time for each script is kept by the step; this is for one that hangs itself.
        timeout=12 * _LONGEST + _SLACK,
        grace=16,
        # Fetching and copying can be done again; nobody knows how far a script came.
        interrupted="retry" if unpacking else "fail",
        # An application that a script has started is what a deployment is for.
        leaves=True,
    )
