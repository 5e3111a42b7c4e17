"""The builders there are, and the one that is taken."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

import msgspec

from seatrial.errors import MissingToolError

if TYPE_CHECKING:
    from seatrial.images.builders.model import Builder, BuilderName

# In the order in which they are tried. CodeBuild costs money, so it is taken only when it is asked for.
BUILDERS: dict[BuilderName, str] = {
    "docker": "seatrial.images.builders.docker",
    "buildkit": "seatrial.images.builders.buildkit",
    "podman": "seatrial.images.builders.podman",
    "buildah": "seatrial.images.builders.buildah",
    "codebuild": "seatrial.images.builders.codebuild",
}
AUTOMATIC: tuple[BuilderName, ...] = ("docker", "buildkit", "podman", "buildah")


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One builder on this machine: `problem` says why it cannot be used, empty when it can."""

    name: str
    version: str
    problem: str = ""


def load(name: BuilderName) -> Builder:
    """The builder's module."""
    return cast("Builder", import_module(BUILDERS[name]))


def look() -> list[Found]:
    """Every builder, and whether it can be used here."""
    found = []
    for name in BUILDERS:
        builder = load(name)
        problem = builder.problem()
        found.append(Found(name=name, version="" if problem else builder.version(), problem=problem))
    return found


def choose(wanted: str = "auto") -> Builder:
    """The builder that was named, else the first that can be used.

    Raises:
        MissingToolError: it cannot be used, or none can; says why of each.
    """
    problems = []
    for name in AUTOMATIC if wanted == "auto" else (cast("BuilderName", wanted),):
        builder = load(name)
        problem = builder.problem()
        if not problem:
            return builder
        problems.append(f"{name}: {problem}")
    raise MissingToolError(
        "no builder can be used here" if wanted == "auto" else f"{wanted} cannot build here",
        why="; ".join(problems),
        fix="install buildah (it needs no daemon and no root), or start Docker; `seatrial doctor` says how",
    )
