"""Hooks: what a project wants to be called at moments of a deployment, each a step of its run.

Logs, deadlines and the ending of whatever hangs are the engine's. A hook that fails rolls the deployment back.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.config.deploying import Event
from seatrial.engine.plan import Call, Command, Step
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.config.deploying import Hook
    from seatrial.engine.call import Context
    from seatrial.services.records import Part, ServiceDeployment

__all__ = ["EVENTS", "Event", "post", "steps", "variables"]

EVENTS: tuple[Event, ...] = (
    "BeforeInstall",
    "AfterInstall",
    "AfterAllowTestTraffic",
    "BeforeAllowTraffic",
    "AfterAllowTraffic",
)
_GRACE = 10.0
_MOST_SHOWN = 2000


def steps(deployment: ServiceDeployment, event: Event) -> Iterator[Step]:
    """The hooks of all services at a moment, one after the other, in the order in which they are written."""
    for part in deployment.parts:
        for number, hook in enumerate(part.deploy.hooks.get(event, ()), 1):
            yield Step(
                name=f"{event}.{deployment.short(part)}.{number}",
                title=f"{event} of {part.service}: {_what(hook)}",
                action=_action(deployment, part, event, hook),
                timeout=hook.timeout,
                grace=_GRACE,
            )


def variables(deployment: ServiceDeployment, part: Part, event: Event) -> dict[str, str]:
    """What a hook is told, as environment variables; the document for URLs and functions has the same."""
    return {
        "DEPLOYMENT_ID": deployment.id,
        "LIFECYCLE_EVENT": event,
        "SERVICE": part.service,
        "REVISION": part.after,
        "PREVIOUS_REVISION": part.before,
        "STRATEGY": deployment.strategy,
        "SERVICE_URL": part.url,
        "TEST_URL": part.test_url,
        "TEST_HEADER": part.deploy.test_header,
    }


def post(context: Context, url: str, document: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Send the document to a hook's address.

    Raises:
        SeatrialError: it cannot be reached, or does not answer 2xx.
    """
    from seatrial.transport import Retry, connect, send

    body = msgspec.json.encode(document)
    with connect(clock=context.clock, retry=Retry(attempts=1), timeout=timeout) as link:
        answer = send(
            link, "POST", url, content=body, headers={"Content-Type": "application/json"}, limit=1 << 20
        )
    context.say(f"{url} answers {answer.status_code}")
    said = answer.content.decode(errors="replace").strip()
    if said:
        context.say(said[:_MOST_SHOWN])
    if not 200 <= answer.status_code < 300:  # noqa: PLR2004 - the class of answers that are good
        raise SeatrialError(
            f"the hook answers {answer.status_code} instead of 2xx", where=url, why=said[:300] or None
        )
    return {"status": answer.status_code, "summary": f"{answer.status_code}"}


def _action(deployment: ServiceDeployment, part: Part, event: Event, hook: Hook) -> Command | Call:
    told = variables(deployment, part, event)
    if hook.script is not None:
        return Command(argv=list(hook.script), cwd=part.cwd, env=told)
    if hook.python is not None:
        argv = [sys.executable, "-m", "seatrial.services.hook", hook.python]
        return Command(argv=argv, cwd=part.cwd, env=told)
    return Call(
        target="seatrial.services.hooks:post",
        inputs={"url": hook.url, "document": _document(told), "timeout": hook.timeout},
    )


def _document(told: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in told.items()}


def _what(hook: Hook) -> str:
    return hook.python or hook.url or " ".join(hook.script or ())
