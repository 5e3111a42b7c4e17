"""Docker: through its daemon, which runs the image from its own store."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seatrial.errors import MissingToolError, UsageError
from seatrial.images.runtimes import engine
from seatrial.processes import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.images.rootfs import Root
    from seatrial.images.runtimes.backends import Prepared
    from seatrial.images.runtimes.launch import Launch

TITLE = "Docker"
__all__ = ["TITLE", "ready", "remarks"]


@contextmanager
def ready(root: Root, command: Sequence[str], launch: Launch, *, interactive: bool) -> Iterator[Prepared]:
    """The supervisor's command line, with the image in Docker's store.

    Raises:
        SeatrialError: the program, user or a bound file does not exist, or Docker refuses the image.
        UsageError: Docker cannot do what is asked for, here.
        MissingToolError: Docker is not installed, or its daemon does not answer.
    """
    program = engine.find("docker", TITLE)
    if launch.publish or launch.binds:
        place = _endpoint(program)
        if not place.startswith(("unix://", "npipe://")):
            raise UsageError(
                "Docker's daemon is on another machine, so it sees no files and ports of this one",
                why=f"it is at {place}",
                fix="leave out --volume and --publish, or use --runtime bwrap",
            )
    if launch.publish and os.geteuid() != 0:
        raise MissingToolError(
            "ports of a Docker container without network can be published by root only",
            why="the container's network belongs to root",
            fix="use --runtime bwrap or podman, or --network host without --publish",
        )
    with engine.ready(program, root, command, launch, interactive=interactive) as prepared:
        yield prepared


def remarks(launch: Launch) -> tuple[str, ...]:
    """What will not hold as asked."""
    return engine.remarks(TITLE, launch)


def _endpoint(program: engine.Engine) -> str:
    """Where the daemon listens: what DOCKER_HOST says, else the context in use."""
    if os.environ.get("DOCKER_HOST"):
        return os.environ["DOCKER_HOST"]
    line = [program.path, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"]
    said = run(line, timeout=engine.PATIENCE)
    return said.stdout.strip() or "unix:///var/run/docker.sock"
