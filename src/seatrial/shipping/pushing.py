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
    context: Context, layout: str, digest: str, targets: list[str], tags: list[str], insecure: bool
) -> dict[str, Any]:
    """Push to each repository; a tag points to the image only after everything was read back by digest."""
    from seatrial.images import registry

    names = tags or [digest.removeprefix("sha256:")[:12]]
    pushed = [
        registry.push(
            Path(layout), f"{target}:{names[0]}", tags=names[1:], insecure=insecure, point=context.reach
        )
        for target in targets
    ]
    sent = sum(one.pushed_bytes for one in pushed)
    for one in pushed:
        context.say(
            f"{one.reference} as {', '.join(one.tags)}: {one.pushed_bytes} bytes sent in {one.seconds} s"
        )
    return {
        "reference": pushed[0].reference,
        "references": [one.reference for one in pushed],
        "tags": names,
        "pushed_bytes": sent,
        "summary": f"{', '.join(targets)}:{names[0]}, {megabytes(sent)} sent, digest verified",
    }
