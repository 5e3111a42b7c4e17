"""Real and documented failures inside of long builds: the right cause first, with the right fix.

The labels were frozen, and a third was set aside, before any signature was written. The table goes to
`test-reports/explain.md`; of the third set aside it has numbers only.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from seatrial.diagnosis.explain import explain
from seatrial.files import write_atomic
from support.explained import (
    LINES,
    Figures,
    Verdict,
    background,
    explained,
    in_a_build,
    labels,
    missed,
    missed_by_service,
)

CASES = "build_failures.jsonl"


class Case(msgspec.Struct, frozen=True):
    id: str
    service: str
    log: str


class _Sets(dict[str, list[Verdict]]):
    """A test that fails prints its arguments, and what is set aside must not be read there."""

    def __repr__(self) -> str:
        return f"<{sum(map(len, self.values()))} verdicts>"


@pytest.fixture(scope="module")
def verdicts() -> dict[str, list[Verdict]]:
    folder = os.environ.get("SEATRIAL_CASES")
    if not folder or not (Path(folder) / CASES).is_file():
        pytest.skip(f"SEATRIAL_CASES does not name a folder with {CASES}")
    cases = [
        msgspec.json.decode(line, type=Case)
        for line in (Path(folder) / CASES).read_bytes().splitlines()
        if line.strip()
    ]
    expected = labels()
    assert {one.id for one in cases} == set(expected)
    sets = _Sets({"train": [], "held": []})
    for one in cases:
        label = expected[one.id]
        sets[label.set].append(explained(one.id, one.service, label, in_a_build(one.id, one.log)))
    reports = Path(__file__).parents[2] / "test-reports"
    reports.mkdir(exist_ok=True)
    write_atomic(reports / "explain.md", _table(sets).encode())
    return sets


@pytest.mark.parametrize("kind", ["train", "held"])
def test_the_cause_comes_first_with_its_fix(verdicts: dict[str, list[Verdict]], kind: str) -> None:
    every = verdicts[kind]

    shortfall = Figures.of(every).shortfall()

    assert not shortfall, f"{shortfall}; missed {missed_by_service(every)}"


def test_the_build_around_them_has_no_cause_itself() -> None:
    lines = [line for tool in background().values() for line in tool]

    assert len(lines) >= LINES
    assert [cause.id for cause in explain("\n".join(lines).encode()).causes] == []


def _table(sets: dict[str, list[Verdict]]) -> str:
    parts = [
        f"# Explained failures in {LINES:,} lines of builds\n",
        "| set | cases | right cause first | right fix | confident wrong cause |\n|---|---|---|---|---|",
    ]
    for kind, every in sets.items():
        all_of = Figures.of(every)
        parts.append(
            f"| {kind} | {all_of.cases} | {all_of.right:.1%} | {all_of.fixed:.1%} | {all_of.wrong:.1%} |"
        )
    parts.append("\n| set | service | cases | right | fixed | confident wrong |\n|---|---|---|---|---|---|")
    for kind, every in sets.items():
        for service in sorted({one.service for one in every}):
            some = [one for one in every if one.service == service]
            counts = (len(some), *(sum(column) for column in zip(*(one[4:] for one in some), strict=True)))
            parts.append(f"| {kind} | {service} | {' | '.join(map(str, counts))} |")
    parts += ["\n## Missed of the set train\n", *(f"- {line}" for line in missed(sets["train"])), ""]
    return "\n".join(parts)
