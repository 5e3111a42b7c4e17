"""What one look at the repository or the account says about a cause."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from seatrial.findings import Finding

if TYPE_CHECKING:
    from seatrial.diagnosis.model import Confirmed
    from seatrial.findings import Fix, Severity


class Verdict(NamedTuple):
    """`unknown` when it was not possible to tell."""

    confirmed: Confirmed = "unknown"
    findings: tuple[Finding, ...] = ()


def joined(*verdicts: Verdict) -> Verdict:
    """The findings of all; one that confirms is enough, and a rejection only counts when none does."""
    said = {one.confirmed for one in verdicts}
    confirmed: Confirmed = "yes" if "yes" in said else "no" if "no" in said else "unknown"
    return Verdict(confirmed, tuple(dict.fromkeys(found for one in verdicts for found in one.findings)))


def finding(
    rule: str,
    message: str,
    *,
    path: str = "",
    line: int = 1,
    column: int = 1,
    severity: Severity = "error",
    fix: Fix | None = None,
) -> Finding:
    """A finding of this look. The rule is `explain/…`."""
    return Finding(
        rule=f"explain/{rule}",
        severity=severity,
        path=path,
        line=line,
        column=column,
        message=message,
        fix=fix,
    )
