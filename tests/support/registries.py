"""A real registry on this machine."""

from __future__ import annotations

import os
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import MissingToolError
from seatrial.images import registry_server
from seatrial.processes import find
from seatrial.readiness import free_port
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def need(program: str) -> str:
    """The program's path, or skip the test naming it."""
    try:
        return find(program)
    except MissingToolError:
        pytest.skip(f"{program} is not installed")


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """Run docker-registry with its storage in `folder`; yields HOST:PORT."""
    program = need("docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    settings = folder / "registry.yml"
    settings.write_text(registry_server.config(folder / "storage", port))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            registry_server.argv(settings, program=program),
            env={**os.environ, **registry_server.environment()},
            stdout=log,
            stderr=log,
        )
    try:
        until(
            lambda: process.poll() is not None or registry_server.ready(registry_server.url(port)),
            "registry ready",
        )
        assert process.poll() is None, (folder / "log").read_text()
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
