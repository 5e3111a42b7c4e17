"""What every offered fix must do: take its finding away, bring no other, and change nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.image_checks import applied, findings

if TYPE_CHECKING:
    from seatrial.findings import Finding


def fixed(files: dict[str, str], found: Finding, **target: str) -> list[dict[str, str]]:
    """The files after each alternative, best first; fails where one leaves the finding or brings another."""
    before = findings(files, **target)
    outcomes = []
    for fix in (found.fix, *found.alternatives):
        if fix is None:
            continue
        after = applied(files, fix)
        left = findings(after, **target)
        same = [one for one in left if (one.rule, one.message) == (found.rule, found.message)]
        assert not same, f"{fix.title} leaves {found.message}"
        serious = {one.rule for one in left if one.severity != "note"}
        assert serious <= {one.rule for one in before}, f"{fix.title} brings {serious}"
        assert after != files
        outcomes.append(after)
    return outcomes


def changes(before: dict[str, str], after: dict[str, str]) -> dict[str, tuple[list[str], list[str]]]:
    """Path → lines that went and lines that came."""
    found = {}
    for path, text in before.items():
        old, new = text.splitlines(), after[path].splitlines()
        if old != new:
            found[path] = ([one for one in old if one not in new], [one for one in new if one not in old])
    return found
