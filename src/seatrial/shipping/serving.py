"""The steps that run the service behind a load balancer and ask it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.clock import SystemClock
from seatrial.config import Service
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from seatrial.engine.call import Context


def pull(context: Context, reference: str, insecure: bool, platforms: list[str]) -> dict[str, Any]:
    """Bring what the registry holds under the digest, and unpack it: what runs is what was pushed."""
    from seatrial.images import registry, runtime
    from seatrial.shipping.building import platform_here

    platform = platform_here(platforms)
    layout = context.tree("deployed")
    digest = registry.pull(reference, layout, platform=platform, insecure=insecure, point=context.reach)
    runtime.prepare(layout, digest)
    context.reach("ship/unpacked")
    return {"layout": str(layout), "digest": digest, "summary": reference}


def place(context: Context, layout: str, service: dict[str, Any]) -> dict[str, Any]:
    """Choose ports, and write down how replicas and load balancer are started."""
    from seatrial.deployments import haproxy
    from seatrial.files import write_atomic
    from seatrial.processes import find
    from seatrial.readiness import free_port

    settings = msgspec.convert(service, Service)
    program = find("haproxy")
    folder = context.tree("proxy")
    front, behind = free_port(), [free_port() for _ in range(settings.replicas)]
    slots = [f"replica{number}" for number in range(1, settings.replicas + 1)]
    options = haproxy.Options(health=settings.ping.path)
    write_atomic(folder / haproxy.CONFIG, haproxy.config(front, slots, options=options), mode=0o600)
    haproxy.check(folder)
    env = {**settings.env, "PORT": str(settings.port)}
    ports = {"proxy": front, "replicas": behind, "folder": str(folder)}
    outputs: dict[str, Any] = {"ports": ports, "env": env, "proxy": haproxy.argv(folder, program=program)}
    for number, port in enumerate(behind, 1):
        # Each replica has a network of its own, so all may listen on the port that the image is made for.
        outputs[f"argv-{number}"] = [
            *(sys.executable, "-m", "seatrial", "image", "run", layout, "--network", "none"),
            *("--publish", f"127.0.0.1:{port}:{settings.port}"),
            *(item for name in env for item in ("--env", name)),
        ]
    outputs["summary"] = f"load balancer on 127.0.0.1:{front}, {settings.replicas} behind it"
    return outputs


def ready(
    context: Context, service: dict[str, Any], place: dict[str, Any], folders: list[str], proxy_folder: str
) -> dict[str, Any]:
    """Wait for each replica's ping, let the load balancer send traffic to it, and ping through that."""
    from seatrial.deployments import haproxy
    from seatrial.deployments.proxy import Slot
    from seatrial.engine.execute import alive
    from seatrial.readiness import wait_http

    settings = msgspec.convert(service, Service)
    clock = SystemClock()
    deadline = clock.now() + settings.start_timeout
    waited = []
    for port, folder in zip(place["replicas"], folders, strict=True):
        answer = wait_http(
            f"http://127.0.0.1:{port}{settings.ping.path}",
            deadline=deadline,
            clock=clock,
            alive=lambda folder=folder: alive(Path(folder)),  # type: ignore[misc]
            timeout=settings.ping.timeout,
        )
        waited.append(answer.waited)
        context.say(f"127.0.0.1:{port} is ready after {answer.waited:.2f} s")
    context.reach("ship/replicas-ready")
    balancer = Path(place["folder"])
    haproxy.wait_started(
        balancer, deadline=clock.now() + 15, clock=clock, alive=lambda: alive(Path(proxy_folder))
    )
    slots = [
        Slot(name=f"replica{n}", port=port, weight=100, mode="ready")
        for n, port in enumerate(place["replicas"], 1)
    ]
    haproxy.apply(balancer, slots)
    haproxy.wait_up(balancer, [slot.name for slot in slots], deadline=clock.now() + 15, clock=clock)
    context.reach("ship/traffic-open")
    url = f"http://127.0.0.1:{place['proxy']}"
    wait_http(
        f"{url}{settings.ping.path}",
        deadline=clock.now() + 15,
        clock=clock,
        alive=lambda: alive(Path(proxy_folder)),
    )
    return {"url": url, "summary": f"{url}{settings.ping.path} answers 200 after {max(waited):.2f} s"}


def _verdict(answers: int, failed: int) -> str:
    if not answers:
        return "only the ping was asked: `verify` of the service names no requests"
    return f"{answers} answer{'' if answers == 1 else 's'} as expected, {failed} failed requests"


def verify(context: Context, source: str, service: dict[str, Any], place: dict[str, Any]) -> dict[str, Any]:
    """Send each request of `verify` through the load balancer and compare the answers.

    Raises:
        SeatrialError: an answer is not the expected one; names the request and the differences.
    """
    from seatrial.answers import ask
    from seatrial.deployments import haproxy

    settings = msgspec.convert(service, Service)
    url = f"http://127.0.0.1:{place['proxy']}"
    details = []
    for call in settings.verify:
        asked = ask(url, call, Path(source))
        if asked.problems:
            raise SeatrialError(
                f"{asked.what}: the answer is not the expected one",
                where=call.expect,
                why="; ".join(asked.problems[:5]),
                fix=f"correct the service; if the new answer is right, correct {call.expect or 'seatrial.yaml'}",
            )
        details.append(f"{asked.what}: {asked.status} as expected in {asked.seconds * 1000:.0f} ms")
        context.say(details[-1])
    status = haproxy.status(Path(place["folder"]))
    if status.failed or status.requests < len(settings.verify):
        raise SeatrialError(
            "the load balancer saw failed requests",
            why=f"{status.failed} of {status.requests} answers were 5xx",
        )
    return {
        "answers": len(details),
        "requests": status.requests,
        "details": details,
        "summary": _verdict(len(details), status.failed),
    }
