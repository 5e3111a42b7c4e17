"""The alternatives of a finding about an image, and what is left when each is applied."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.image_checks import applied, findings

if TYPE_CHECKING:
    from seatrial.findings import Finding, Fix


def alternatives(finding: Finding) -> tuple[Fix, ...]:
    """All fixes, best first."""
    return () if finding.fix is None else (finding.fix, *finding.alternatives)


def titles(finding: Finding) -> list[str]:
    return [one.title for one in alternatives(finding)]


def texts(files: dict[str, str], finding: Finding, path: str = "Dockerfile") -> list[str]:
    """A file after each of the alternatives."""
    return [applied(files, one)[path] for one in alternatives(finding)]


def all_help(files: dict[str, str], finding: Finding, **target: str) -> bool:
    """Whether there are fixes, and none leaves a finding of the rule."""
    fixed = [findings(applied(files, one), finding.rule, **target) for one in alternatives(finding)]
    return bool(fixed) and not any(fixed)
