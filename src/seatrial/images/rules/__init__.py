"""What package metadata cannot say about what goes into an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images.rules import numpy_abi

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.findings import Finding
    from seatrial.images.requirements import RequirementSet

RULES = (numpy_abi.RULE,)


def check_requirements(asked: RequirementSet, *, python: str | None = None) -> list[Finding]:
    """Findings about what is asked for, without resolving; see each rule. `python` is `3.11`, None when not known."""
    return numpy_abi.check(asked, python=python)


def check_resolved(
    resolved: Mapping[str, str], requirements: Sequence[RequirementSet], *, python: str | None = None
) -> list[Finding]:
    """Findings about what a resolver chose: name → version.

    `requirements` are the sets that were resolved together; a finding is at the line that asked for the package,
    else at the first line of the first file.
    """
    return numpy_abi.check_resolved(resolved, requirements, python=python)
