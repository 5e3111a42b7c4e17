"""A cause whose fix names a rule: run the checks on the repository and take what this rule finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.explaining.confirm_verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.diagnosis.model import Cause

_KINDS = {
    "buildspec": frozenset({"buildspec"}),
    "appspec": frozenset({"appspec"}),
    "image": frozenset({"dockerfile", "requirements", "pyproject", "conda-environment"}),
}
_MOST = 5


def verdict(cause: Cause, repo: Path) -> Verdict:
    """Confirmed by a finding of the rule. No finding rejects nothing: the fault may be in a script or made at run time.

    Raises:
        UsageError: the repository's settings cannot be used.
    """
    area = cause.rule.split("/")[0]
    if not cause.rule or area not in _KINDS:
        return Verdict()
    from seatrial.checking.run import Options, check

    report = check([repo], Options(kinds=_KINDS[area]))
    found = [one for one in report.findings if one.rule == cause.rule]
    # The finding on what the log names comes first; a repository can hold many buildspecs and images.
    words = {value.lower() for value in cause.captures.values() if len(value) > 1}
    found.sort(key=lambda one: not any(word in one.message.lower() for word in words))
    return Verdict("yes" if found else "unknown", tuple(found[:_MOST]))
