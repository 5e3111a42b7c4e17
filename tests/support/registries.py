"""A real registry on this machine."""

from __future__ import annotations

import json
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
def running(folder: Path, *, login: tuple[str, str] | None = None) -> Iterator[str]:
    """Run docker-registry with its storage in `folder`; yields HOST:PORT. `login` is the only user and password."""
    program = need("docker-registry")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    settings = folder / "registry.yml"
    config = json.loads(registry_server.config(folder / "storage", port))
    if login is not None:
        (folder / "htpasswd").write_text(f"{login[0]}:{_bcrypt(login[1])}\n")
        config["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    settings.write_text(json.dumps(config))
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


def _bcrypt(password: str) -> str:
    """What docker-registry wants in its htpasswd file; perl's crypt() is the C library's, which knows this kind."""
    script = "print crypt($ARGV[0], '$2b$04$' . 'abcdefghijklmnopqrstuu')"
    done = subprocess.run([need("perl"), "-e", script, password], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("$2b$"), "the C library knows no bcrypt"
    return done.stdout
