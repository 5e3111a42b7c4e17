"""Keys that are given twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.sources.text import finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.rules.look import Look
    from seatrial.findings import Finding, Rule

RULES: tuple[Rule, ...] = ()


def check(look: Look) -> Iterator[Finding]:
    """Each key that a mapping has twice; CodeBuild keeps the later one."""
    for one in look.document.duplicates:
        yield finding(
            "source/duplicate-key",
            "warning",
            one.again,
            f"the key {one.key!r} is given twice; the first is on line {one.first.line}",
            cause="this value is kept and the first one dropped without a word; some readers refuse the file",
            source="https://yaml.org/spec/1.1/#id861060",
        )
