"""What package metadata cannot say about what goes into an image: one module for each family of rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from seatrial.images.rules import (
    base_torch,
    bases,
    building,
    cuda_toolkit,
    cudnn,
    driver,
    flash_attn,
    glibc,
    gpu,
    index_flags,
    indexes,
    libraries,
    metadata,
    nccl,
    numpy_abi,
    pairs,
    python_version,
    resolved,
    setuptools,
    tensorflow,
    torch_over_time,
    torch_pair,
    torch_variants,
    yanked,
)

if TYPE_CHECKING:
    from seatrial.findings import Rule
    from seatrial.images.rules.verdict import Verdict
    from seatrial.images.timeline.model import Timeline


class RuleModule(Protocol):
    """A module of this package with its rules, and what they say about one timeline."""

    @property
    def RULES(self) -> tuple[Rule, ...]: ...  # noqa: N802 - what modules call it

    def check(self, timeline: Timeline) -> list[Verdict]: ...


MODULES: tuple[RuleModule, ...] = (
    bases,
    torch_pair,
    torch_variants,
    torch_over_time,
    base_torch,
    index_flags,
    indexes,
    python_version,
    yanked,
    driver,
    gpu,
    cuda_toolkit,
    cudnn,
    libraries,
    nccl,
    tensorflow,
    glibc,
    pairs,
    flash_attn,
    building,
    setuptools,
    numpy_abi,
    metadata,
    resolved,
)

RULES: tuple[Rule, ...] = tuple(rule for module in MODULES for rule in module.RULES)


def check(timeline: Timeline) -> list[Verdict]:
    """What all rules say about one timeline."""
    return [one for module in MODULES for one in module.check(timeline)]
