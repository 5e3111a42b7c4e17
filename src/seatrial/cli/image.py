"""`seatrial image`: the table of its commands."""

from __future__ import annotations

from typing import ClassVar

import click

from seatrial.cli.root import LazyGroup


class ImageGroup(LazyGroup):
    """Commands about images, imported when they run."""

    table: ClassVar[dict[str, tuple[str, str, str]]] = {
        "check": (
            "seatrial.cli.image_check",
            "check",
            "Find dependency conflicts before the build.",
        ),
        "fix": ("seatrial.cli.image_fix", "fix", "Fix them with the smallest edits."),
        "bases": ("seatrial.cli.image_bases", "bases", "Rank base images for a project, with reasons."),
        "assemble": (
            "seatrial.cli.image_assemble",
            "assemble",
            "Assemble an image from a base, wheels and source.",
        ),
        "build": (
            "seatrial.cli.image_build",
            "build",
            "Build from a Dockerfile, and repair what fails.",
        ),
        "rebase": ("seatrial.cli.image_rebase", "rebase", "Move an image onto a patched base."),
        "inspect": ("seatrial.cli.image_inspect", "inspect", "Show what an image is made of."),
        "diff": (
            "seatrial.cli.image_diff",
            "diff",
            "Compare two images: packages, files, layers and settings.",
        ),
        "attest": ("seatrial.cli.image_attest", "attest", "Say what an image is made of, and sign it."),
        "run": ("seatrial.cli.image_run", "run", "Run a program in an image."),
        "opened": (
            "seatrial.cli.image_opened",
            "opened",
            "List the files that a program opens while it starts.",
        ),
        "test": ("seatrial.cli.image_test", "test", "Test that an image does what it is for."),
        "push": ("seatrial.cli.image_push", "push", "Push an image to registries."),
        "why": ("seatrial.cli.image_why", "why", "Say why a release does or does not fit, from facts."),
        "facts": ("seatrial.cli.image_facts", "facts", "List, show and refresh the facts behind the rules."),
        "tags": ("seatrial.cli.image_tags", "tags", "List a repository's tags with sizes and dates."),
    }


@click.group(cls=ImageGroup, epilog="Example: seatrial image assemble . --oci ./image")
def image() -> None:
    """Check, assemble, run, test and push images, without a daemon and without root."""
