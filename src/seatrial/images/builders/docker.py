"""Docker's engine, by BuildKit where the client can speak it, else by the older builder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError
from seatrial.images.builders import commands, engine, progress
from seatrial.images.builders.stream import stream

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.images.builders.model import BuilderName, Request

NAME: BuilderName = "docker"


def problem() -> str:
    """Why this builder cannot be used here; empty when it can."""
    return engine.problem()


def version() -> str:
    """The client's version, and which builder is behind it."""
    client = _client()
    return f"Docker {client.text} ({'BuildKit' if client.speaks_buildkit else 'without BuildKit'})"


def capable() -> frozenset[str]:
    """Mounts with BuildKit alone; here-documents need a newer BuildKit than an engine may have."""
    client = _client()
    if not client.speaks_buildkit:
        return frozenset()
    return frozenset({"mounts", "heredocs"} if client.plugin and _new_engine(client) else {"mounts"})


def build(request: Request, work: Path, watch: Callable[[str], None]) -> int:
    """Run the build and return its exit code."""
    client = _client()
    for name, layout in request.bases.items():
        engine.adopt(client.path, name, layout)
    argv = commands.docker([client.path, "build"], request, work, mounts=client.speaks_buildkit)
    environment = {
        **commands.environment(request),
        "DOCKER_BUILDKIT": "1" if client.speaks_buildkit else "0",
    }
    return stream(argv, watch, environment=environment)


def export(work: Path, layout: Path) -> None:
    """Write the image as a layout."""
    engine.save([_client().path, "save", engine.image_id(work)], layout)


def lines() -> progress.Reader:
    """A reader of what it prints."""
    return progress.buildkit() if _client().speaks_buildkit else progress.classic()


def _client() -> engine.Client:
    found = engine.clients()
    if not found:
        raise SeatrialError("there is no docker program")
    return found[0]


def _new_engine(client: engine.Client) -> bool:
    """Whether the engine's BuildKit has Dockerfile syntax 1.4, which came with 23."""
    from seatrial.processes import run

    said = run([client.path, "version", "--format", "{{.Server.Version}}"], timeout=30).stdout
    major = said.partition(".")[0].strip()
    return major.isdigit() and int(major) >= 23  # noqa: PLR2004 - explained above
