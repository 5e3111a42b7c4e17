"""What Seatrial says about each reported conflict, as a table: case, tree, found, rule, fix.

`python -m support.conflict_table` (in tests/, with SEATRIAL_CASES set) prints it; `--offline` does not resolve.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.checking.run import check, image_options
from seatrial.sources import edits
from support.conflict_cases import FROZEN, Tree, convert, frozen, reports, write
from support.conflict_fixes import accepts

if TYPE_CHECKING:
    from seatrial.findings import Severity

COUNTED: tuple[Severity, ...] = ("error", "warning")
CONSIDERED = 2
"""So many of our alternatives are looked at."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One case. `left` are findings that came or stayed after applying our first fix; `why` says where we disagree."""

    case: str
    tree: str
    expected: tuple[str, ...]
    found: bool
    rules: tuple[str, ...]
    confirmed: bool
    accepted: bool
    fixes: tuple[str, ...]
    why: str = ""


def rows(folder: Path, *, offline: bool) -> list[Row]:
    """A row for each case that is expressible."""
    known = reports(folder)
    return [
        _row(name, decided, convert(known[name]["setup"]), offline=offline)
        for name, decided in frozen().items()
        if "inexpressible" not in decided
    ]


def target_of(tree: Tree) -> dict[str, str]:
    """The target of a tree as `--target` takes it; of the driver the CUDA version where that is all that is known."""
    target = dict(tree.target)
    cuda = target.pop("driver_cuda", "")
    if cuda and "driver" not in target:
        target["driver"] = f"cuda{cuda}"
    return target


def _row(name: str, decided: dict[str, Any], tree: object, *, offline: bool) -> Row:
    assert isinstance(tree, Tree)
    with tempfile.TemporaryDirectory() as place:
        write_files(tree.files, Path(place))
        report = check([Path(place)], image_options(target_of(tree), offline=offline))
    found = [one for one in report.findings if one.severity in COUNTED]
    matching = [one for one in found if one.rule.removeprefix("image/") in decided["rules"]]
    fixes = [fix for one in matching for fix in (one.fix, *one.alternatives)[:CONSIDERED] if fix is not None]
    accepted = False
    for fix in fixes:
        chosen = edits.select([fix], report.sources)
        after = dict(tree.files)
        for path, spans in chosen.edits.items():
            after[path] = edits.edited(report.sources[path], spans).text
        accepted = accepted or accepts(decided["accepted"], after)
    return Row(
        case=name,
        tree=decided["tree"][:12],
        expected=tuple(decided["rules"]),
        found=bool(matching),
        rules=tuple(f"{one.severity} {one.rule.removeprefix('image/')}: {one.message}" for one in found),
        confirmed=decided["confirmed"],
        accepted=accepted,
        fixes=tuple(fix.title for fix in fixes),
        why=_disagreements().get(name, "") if not matching else decided.get("note", ""),
    )


def _disagreements() -> dict[str, str]:
    """Where we do not say what the report says, and why; written after looking at the packages themselves."""
    text = (FROZEN.parent / "disagreements.json").read_text(encoding="utf-8")
    found: dict[str, str] = json.loads(text)
    return found


def write_files(files: Any, folder: Path) -> None:
    """The files of a tree, without its target."""
    write(Tree(files=files, target={}), folder)
    (folder / "target.json").unlink(missing_ok=True)


def markdown(table: list[Row]) -> str:
    """The table for people."""
    found = sum(one.found for one in table)
    sure = [one for one in table if one.confirmed]
    good = sum(one.accepted for one in sure)
    lines = [
        "# Reported conflicts",
        "",
        (
            f"Found with the cause: {found} of {len(table)}. "
            f"Fixed as confirmed in the report, by the first or second alternative: {good} of {len(sure)}."
        ),
        "",
        "| case | tree | expected | found | what was said | confirmed | accepted | alternatives | remark |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in table:
        cells = (
            one.case,
            one.tree,
            ", ".join(one.expected),
            "yes" if one.found else "**no**",
            "<br>".join(one.rules),
            "yes" if one.confirmed else "",
            "yes" if one.accepted else ("**no**" if one.confirmed else ""),
            "<br>".join(one.fixes),
            one.why,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown(rows(Path(os.environ["SEATRIAL_CASES"]), offline="--offline" in sys.argv)))
