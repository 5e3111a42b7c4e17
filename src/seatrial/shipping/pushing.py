"""The steps around the registry: one of the run's own where none is given, and the push."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.clock import SystemClock
from seatrial.reports.units import megabytes

if TYPE_CHECKING:
    from seatrial.engine.call import Context


def registry_setup(context: Context) -> dict[str, Any]:
    """Choose a port and write the configuration of a registry that only this machine can reach."""
    from seatrial.files import write_atomic
    from seatrial.images import registry_server
    from seatrial.processes import find
    from seatrial.readiness import free_port

    program = find("docker-registry")
    folder = context.tree("registry")
    port = free_port()
    environment = registry_server.environment()
    # Written to a file of ours and named by reference: the journal and the command line hold no value.
    write_atomic(
        folder / "secret", environment.pop("REGISTRY_HTTP_SECRET", secrets.token_hex(32)), mode=0o600
    )
    write_atomic(folder / "config.yml", registry_server.config(folder / "storage", port), mode=0o600)
    return {
        "argv": registry_server.argv(folder / "config.yml", program=program),
        "env": environment,
        "secret": f"file:{folder / 'secret'}",
        "url": registry_server.url(port),
        "host": f"127.0.0.1:{port}",
        "summary": f"127.0.0.1:{port}",
    }


def registry_ready(context: Context, url: str, host: str, folder: str, name: str) -> dict[str, Any]:  # noqa: ARG001
    """Wait until the registry answers."""
    from seatrial.engine.execute import alive
    from seatrial.readiness import wait_http

    clock = SystemClock()
    wait_http(url, deadline=clock.now() + 30, clock=clock, alive=lambda: alive(Path(folder)))
    return {"repositories": [f"{host}/{name}"], "summary": host}


def push(
    context: Context, layout: str, digest: str, targets: list[str], settings: dict[str, Any], folder: str
) -> dict[str, Any]:
    """Push to each repository; a tag points to the image only after everything was read back by digest.

    `settings` are the image's `push` as data, without the repositories; `folder` is the project, for tags from git.
    """
    import msgspec

    from seatrial.config.model import Push
    from seatrial.images.pushing import order as orders

    wanted = msgspec.convert({**settings, "to": targets}, Push)
    order = orders.from_settings(wanted)
    plan = orders.plan(order, Path(folder), digest)
    plan = plan._replace(
        tags=plan.tags or (digest.removeprefix("sha256:")[:12],),
        settings=plan.settings._replace(point=context.reach),
    )
    for chosen in plan.decision.tags if plan.decision else ():
        context.say(f"tag {chosen.tag}: {chosen.why}")
    for line in plan.decision.notes if plan.decision else ():
        context.say(f"note: {line}")
    results = orders.carry_out(plan, Path(layout))
    pushed = [result.pushed for result in results if result.pushed]
    for one in pushed:
        context.say(
            f"{one.reference} as {', '.join(one.tags)}: {one.pushed_bytes} bytes sent in {one.seconds} s"
        )
    failures = [result.error for result in results if result.error]
    for error in failures[1:]:
        context.say(f"failed: {error}")
    if failures:
        raise failures[0]
    sent = sum(one.pushed_bytes for one in pushed)
    return {
        "reference": pushed[0].reference,
        "references": [one.reference for one in pushed],
        "tags": list(pushed[0].tags),
        "pushed_bytes": sent,
        "summary": f"{', '.join(plan.references)}:{pushed[0].tags[0]}, {megabytes(sent)} sent, digest verified",
    }
