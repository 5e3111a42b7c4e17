"""Reported dependency conflicts: found with their cause, and fixed the way the reports were.

The table of all cases goes to `test-reports/image-conflicts.md` and `.json`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from seatrial.checking.fixing import Choice, fix
from seatrial.checking.run import check, image_options
from seatrial.files import write_atomic
from support.conflict_cases import REPORTS, Tree, convert, frozen, reports
from support.conflict_table import COUNTED, Row, markdown, rows, target_of, write_files

if TYPE_CHECKING:
    from collections import Counter

    from seatrial.checking.run import Report

FOUND = 0.9
FIXED = 0.8
EXPRESSIBLE = [name for name, one in frozen().items() if "inexpressible" not in one]
EVERYTHING = Choice(unsafe=True, severities=frozenset(COUNTED), singly=True)


@pytest.fixture(scope="module")
def cases() -> Path:
    folder = os.environ.get("SEATRIAL_CASES")
    if not folder or not (Path(folder) / REPORTS).is_file():
        pytest.skip(f"SEATRIAL_CASES does not name a folder with {REPORTS}")
    return Path(folder)


@pytest.fixture(scope="module")
def table(cases: Path) -> list[Row]:
    found = rows(cases, offline=True)
    folder = Path(__file__).parents[2] / "test-reports"
    folder.mkdir(exist_ok=True)
    write_atomic(folder / "image-conflicts.md", markdown(found).encode())
    write_atomic(
        folder / "image-conflicts.json", msgspec.json.format(msgspec.json.encode(found), indent=2) + b"\n"
    )
    return found


def test_the_cause_is_found_without_asking_an_index(table: list[Row]) -> None:
    missed = [one.case for one in table if not one.found]

    assert len(missed) <= (1 - FOUND) * len(table), missed


def test_the_first_or_second_alternative_is_the_confirmed_fix(table: list[Row]) -> None:
    confirmed = [one for one in table if one.confirmed]
    other = [one.case for one in confirmed if not one.accepted]

    assert len(other) <= (1 - FIXED) * len(confirmed), other


@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_fixing_leaves_nothing_new_and_nothing_to_fix_again(name: str, cases: Path, tmp_path: Path) -> None:
    tree = convert(reports(cases)[name]["setup"])
    assert isinstance(tree, Tree)
    write_files(tree.files, tmp_path)
    options = image_options(target_of(tree), offline=True)
    before = check([tmp_path], options)

    first = fix([tmp_path], before, options, EVERYTHING)

    assert not said(first.report) - said(before)
    texts = {path: (tmp_path / path).read_bytes() for path in tree.files}
    again = fix([tmp_path], check([tmp_path], options), options, EVERYTHING)
    assert again.applied == ()
    assert {path: (tmp_path / path).read_bytes() for path in tree.files} == texts


def said(report: Report) -> Counter[tuple[str, str]]:
    from collections import Counter

    return Counter((one.rule, one.path) for one in report.findings if one.severity in COUNTED)
