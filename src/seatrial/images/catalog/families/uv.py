"""ghcr.io/astral-sh/uv: `python3.12-bookworm-slim`; and `0.8.15`, which holds two programs and nothing else."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images.catalog import systems, tables
from seatrial.images.catalog.model import Contents

if TYPE_CHECKING:
    from seatrial.images.catalog.identify import Image

_PYTHON = re.compile(r"(?:(?P<uv>\d+(?:\.\d+)*)-)?python(?P<python>3\.\d+)(?:-(?P<suite>[a-z0-9.-]+))?")


def read(image: Image) -> Contents:
    """A Python image with uv, or uv alone."""
    match = _PYTHON.fullmatch(image.tag)
    system = systems.in_tag((match["suite"] or "") if match else image.tag)
    alone = match is None and system is None
    return Contents(
        **image.common,
        **systems.facts(system) | ({"externally_managed": False} if match else {}),
        python=match["python"] if match else "",
        interpreter="image" if match else "",
        accelerator="cpu",
        cuda="",
        cuda_toolkit=False,
        cudnn="",
        nccl="",
        bare=True,
        conda=False,
        constraint_file="",
        moving="" if image.tag[:1].isdigit() else "rolling" if image.tag == "latest" or alone else "patch",
        sources=(tables.load("others")["sources"]["uv"],),
    )
