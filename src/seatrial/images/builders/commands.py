"""The command lines of builders: pure, and without a value in them that could be a secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.builders.model import Request

# Variables by which programs find themselves, their settings and their libraries.
_STEERING = re.compile(
    r"PATH|HOME|USER|SHELL|TMPDIR|PWD|GODEBUG|(?:LD|DOCKER|BUILDKIT|BUILDX|BUILDAH|CONTAINERS?|REGISTRY|STORAGE|XDG|SSL)_.*"
)


def docker(program: list[str], request: Request, work: Path, *, mounts: bool) -> list[str]:
    """`docker build` or `docker buildx build`; build arguments are named here and given in the environment."""
    argv = [*program, f"--file={request.dockerfile}", f"--iidfile={work / 'image-id'}"]
    if mounts:
        argv += ["--progress=plain"]
        argv += [f"--secret=id={name},src={path}" for name, path in sorted(request.secrets.items())]
    if request.fresh:
        argv.append("--no-cache")
    return [*argv, *_common(request), str(request.context)]


def buildah(program: list[str], request: Request, work: Path, *, isolation: str) -> list[str]:
    """`buildah build` and `podman build`, which is the same program."""
    argv = [
        *program,
        f"--file={request.dockerfile}",
        f"--iidfile={work / 'image-id'}",
        f"--format={request.form}",
    ]
    argv += [f"--isolation={isolation}", "--pull=false"]
    argv += ["--no-cache"] if request.fresh else ["--layers"]
    argv += [f"--secret=id={name},src={path}" for name, path in sorted(request.secrets.items())]
    return [*argv, *_common(request), str(request.context)]


def _common(request: Request) -> list[str]:
    argv = [
        f"--build-arg={name}={value}" if _steers(name) else f"--build-arg={name}"
        for name, value in sorted(request.arguments.items())
    ]
    given = {"target": request.target, "platform": request.platform, "network": request.network}
    return argv + [f"--{name}={value}" for name, value in given.items() if value]


def environment(request: Request) -> dict[str, str]:
    """The variables that the builder's program gets: build arguments are read from there, so no value is in argv.

    Those that would steer the program itself stay out; they are said on its command line, like in any other tool.
    """
    return {name: value for name, value in request.arguments.items() if not _steers(name)}


def _steers(name: str) -> bool:
    return _STEERING.fullmatch(name) is not None
