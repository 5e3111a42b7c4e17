"""Rules about checking itself."""

from __future__ import annotations

from seatrial.findings import Rule

RULES: tuple[Rule, ...] = (
    Rule(
        id="check/unknown-rule",
        severity="note",
        title="A rule that does not exist is disabled",
        explanation=(
            "A `# seatrial: disable=` comment or `check.disable` names a rule that Seatrial does not have, so it hides "
            "nothing. It is probably misspelled, or the rule was renamed."
        ),
        source="docs/how-to/check.md",
        example="# seatrial: disable=source/duplicated-key\n",
    ),
)
