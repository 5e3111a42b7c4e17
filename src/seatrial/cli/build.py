"""`seatrial build`: the table of its commands."""

from __future__ import annotations

from typing import ClassVar

import click

from seatrial.cli.root import LazyGroup


class BuildGroup(LazyGroup):
    """Commands about builds, imported when they run."""

    table: ClassVar[dict[str, tuple[str, str, str]]] = {
        "run": ("seatrial.cli.build_run", "run", "Run a buildspec here as CodeBuild would."),
        "shell": ("seatrial.cli.build_shell", "shell", "Open a shell in the workspace of a build."),
        "batch": (
            "seatrial.cli.build_batch",
            "batch",
            "Run a batch: all builds of a list, graph, matrix or fanout.",
        ),
        "generate": (
            "seatrial.cli.build_generate",
            "generate",
            "Write a build of a project for CodeBuild or GitHub.",
        ),
        "cache": ("seatrial.cli.build_cache", "cache", "List or clear the local caches of a project."),
        "reports": (
            "seatrial.cli.build_reports",
            "reports",
            "Show test and coverage reports, and their trend.",
        ),
        "timeline": ("seatrial.cli.build_timeline", "timeline", "Show when each phase of a build ran."),
        "cost": ("seatrial.cli.build_cost", "cost", "Show what a build costs on CodeBuild, and quotas."),
    }


@click.group(cls=BuildGroup, epilog="Example: seatrial build run . --on host")
def build() -> None:
    """Run buildspecs on this machine: in processes, or in an image."""
