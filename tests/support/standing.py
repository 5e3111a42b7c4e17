"""Services of this machine for tests: real load balancers, small programs, and nothing that outlives the test."""

from __future__ import annotations

import http.client
import os
import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.config import Service
from seatrial.engine import identity
from seatrial.services import processes, target
from seatrial.services.model import Revision, folder
from support.registries import need
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.services.model import Instance

PROGRAM = Path(__file__).with_name("small_service.py")


def settings(**values: Any) -> Service:
    """Settings of a service, with short times."""
    return msgspec.convert(
        {
            "start_timeout": 60,
            "stop_timeout": 5,
            **values,
            "deploy": {"drain_timeout": 5, **values.get("deploy", {})},
        },
        Service,
    )


def revision(name: str, **env: str) -> Revision:
    """A version of the small service."""
    return Revision(
        id=name,
        kind="command",
        source=".",
        digest=f"sha256:{name}",
        argv=(sys.executable, str(PROGRAM), name),
        cwd=str(PROGRAM.parent),
        env=env,
    )


@contextmanager
def standing(home: Path, service: Service, name: str = "svc") -> Iterator[int]:
    """Bring a service up; yields its port. Afterwards it is down, and whatever is left of it is an error."""
    need("haproxy")
    place = folder(home, name)
    try:
        yield target.bring_up(home, name, service).listening.port
    finally:
        with suppress(Exception):
            target.down(home, name)
        left = every_process(place)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    assert not left, f"left: {left}"


def deployed(home: Path, *versions: Revision, count: int = 1, name: str = "svc") -> None:
    """Install versions, wait until they are ready, and give all traffic to the first."""
    for version in versions:
        target.install(home, name, version, count)
    for version in versions:
        target.await_ready(home, name, version.id)
    target.shift(home, name, {versions[0].id: 100})


def instances(home: Path, version: str = "", name: str = "svc") -> list[Instance]:
    """The instances of a version, or all."""
    return [one for one in target.look(home, name)[1].instances if version in ("", one.revision)]


def pid(instance: Instance) -> int:
    """The number of the instance's process."""
    assert instance.process is not None
    return instance.process.pid


def kill(number: int) -> None:
    """Kill a process, and wait until it is gone."""
    os.kill(number, signal.SIGKILL)
    until(lambda: identity.of(number) is None, f"process {number} is gone")


def every_process(place: Path) -> list[int]:
    """All processes of the service in a folder, its keeper included."""
    mark = processes.token(place, "").encode()
    found = []
    for one in Path("/proc").iterdir():
        if not one.name.isdigit() or identity.of(int(one.name)) is None:
            continue
        with suppress(OSError):
            environment, command = (one / "environ").read_bytes(), (one / "cmdline").read_bytes()
            if mark in environment or (b"seatrial.services" in command and os.fsencode(place) in command):
                found.append(int(one.name))
    return found


def ask(
    port: int, path: str = "/", *, headers: dict[str, str] | None = None
) -> tuple[int, str, http.client.HTTPMessage]:
    """One request over a connection of its own: status, body, headers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()
