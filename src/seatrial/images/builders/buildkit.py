"""BuildKit through the buildx plugin: the builder that `docker buildx use` chose, in the engine, a container or elsewhere."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError
from seatrial.images.archives import read_archive
from seatrial.images.builders import commands, engine, progress
from seatrial.images.builders.stream import stream
from seatrial.processes import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.images.builders.model import BuilderName, Request

NAME: BuilderName = "buildkit"
_PATIENCE = 60


def problem() -> str:
    """Why this builder cannot be used here; empty when it can."""
    client = _client()
    if client is None:
        return "no docker on PATH has the buildx plugin"
    said = run([client.path, "buildx", "inspect"], timeout=_PATIENCE)
    if said.code != 0:
        return f"docker buildx says: {(said.stderr.strip().splitlines() or ['nothing'])[-1]}"
    return engine.problem() if _driver() == "docker" else ""


def version() -> str:
    """The plugin's version and the driver of the chosen builder."""
    said = run([_program(), "buildx", "version"], timeout=_PATIENCE).stdout.split()
    return f"buildx {said[1] if len(said) > 1 else ''} ({_driver()} driver)"


def capable() -> frozenset[str]:
    """Mounts everywhere. An engine's own BuildKit may be too old for here-documents."""
    return frozenset({"mounts"} if _driver() == "docker" else {"mounts", "heredocs"})


def build(request: Request, work: Path, watch: Callable[[str], None]) -> int:
    """Run the build and return its exit code."""
    argv = commands.docker([_program(), "buildx", "build"], request, work, mounts=True)
    context = argv.pop()
    if _driver() == "docker":
        for name, layout in request.bases.items():
            engine.adopt(_program(), name, layout)
        argv.append("--load")
    else:
        argv += [f"--output=type=oci,dest={work / 'image.tar'}", "--provenance=false"]
        argv += [
            f"--build-context={name}=oci-layout://{layout}@{_digest(layout)}"
            for name, layout in sorted(request.bases.items())
        ]
    return stream([*argv, context], watch, environment=commands.environment(request))


def export(work: Path, layout: Path) -> None:
    """Write the image as a layout."""
    made = work / "image.tar"
    if made.exists():
        with made.open("rb") as tar:
            read_archive(tar, layout, where="the built image")
        made.unlink()
        return
    engine.save([_program(), "save", engine.image_id(work)], layout)


def lines() -> progress.Reader:
    """A reader of what it prints."""
    return progress.buildkit()


def _client() -> engine.Client | None:
    return next((one for one in engine.clients() if one.plugin), None)


def _program() -> str:
    client = _client()
    if client is None:
        raise SeatrialError("no docker on PATH has the buildx plugin")
    return client.path


def _driver() -> str:
    found = re.search(
        r"^Driver:\s+(\S+)", run([_program(), "buildx", "inspect"], timeout=_PATIENCE).stdout, re.MULTILINE
    )
    return found[1] if found else "docker"


def _digest(layout: Path) -> str:
    from seatrial.images import layout as oci

    return oci.read_image(layout).digest
