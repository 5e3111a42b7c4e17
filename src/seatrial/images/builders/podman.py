"""Podman: no daemon, and no root where the user has a range of ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images.builders import containers, progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.images.builders.model import BuilderName, Request

NAME: BuilderName = "podman"


def problem() -> str:
    """Why this builder cannot be used here; empty when it can."""
    return containers.problem("podman")


def version() -> str:
    """The program's name and version."""
    return containers.version("podman")


def capable() -> frozenset[str]:
    """It has mounts. Here-documents came with Buildah 1.33, and are written out for all versions."""
    return frozenset({"mounts"})


def build(request: Request, work: Path, watch: Callable[[str], None]) -> int:
    """Run the build and return its exit code."""
    return containers.build("podman", request, work, watch)


def export(work: Path, layout: Path) -> None:
    """Write the image as a layout."""
    containers.export("podman", work, layout)


def lines() -> progress.Reader:
    """A reader of what it prints."""
    return progress.buildah()
