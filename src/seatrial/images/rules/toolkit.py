"""Whether a compiler for CUDA is there when something is installed, as far as the files tell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images.story.model import Command, Copy, Install, SystemInstall

if TYPE_CHECKING:
    from seatrial.images.story.model import Step
    from seatrial.images.timeline.model import Timeline

_SYSTEM = re.compile(r"(nvidia-)?cuda(-toolkit|-nvcc|-compiler|-minimal-build|-\d|$)|nvhpc")
_PYTHON = re.compile(r"cuda(-toolkit|-nvcc|toolkit-dev|-compiler)?$|nvidia-cuda-nvcc")
_FORCES = (
    "FLASH_ATTENTION_FORCE_BUILD",
    "MAX_JOBS",
    "FLASH_ATTENTION_SKIP_CUDA_BUILD",
    "FLASH_ATTN_CUDA_ARCHS",
)


def toolkit(timeline: Timeline, install: Install) -> bool | None:
    """Whether nvcc is there when `install` runs. None: not known."""
    base = timeline.base
    if base is None or base.cuda_toolkit is None:
        return None
    if base.cuda_toolkit:
        return True
    for step in timeline.steps:
        if step is install:
            break
        if _may_bring(step):
            return None
    return False


def _may_bring(step: Step) -> bool:
    if isinstance(step, SystemInstall):
        return any(_SYSTEM.match(one.name) for one in step.packages)
    if isinstance(step, Install):
        return any(_PYTHON.match(one.conda or one.name) for one in step.requests)
    if isinstance(step, Copy):
        return any("cuda" in one for one in (*step.sources, step.destination))
    if isinstance(step, Command):
        return any("cuda" in one.lower() or "nvcc" in one for one in step.words)
    return False


def forced(timeline: Timeline, install: Install) -> bool:
    """Whether somebody asks for flash-attn to be compiled, and knows what that takes."""
    return (
        any(one in install.variables or one in timeline.variables for one in _FORCES)
        or any(one.startswith("no-binary") for one in install.flags)
    )  # fmt: skip
