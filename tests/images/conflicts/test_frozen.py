"""The trees of the reported conflicts, and what was decided about them, are those from before there were rules."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from support.conflict_cases import REPORTS, Tree, confirmed, convert, digest, frozen, reports
from support.conflict_fixes import accepts
from support.conflict_words import Inexpressible

FROZEN = frozen()
EXPRESSIBLE = [name for name, one in FROZEN.items() if "inexpressible" not in one]


@pytest.fixture(scope="module")
def known() -> dict[str, dict[str, Any]]:
    folder = os.environ.get("SEATRIAL_CASES")
    if not folder or not (Path(folder) / REPORTS).is_file():
        pytest.skip(f"SEATRIAL_CASES does not name a folder with {REPORTS}")
    return reports(Path(folder))


def tree_of(report: dict[str, Any]) -> Tree:
    tree = convert(report["setup"])
    assert isinstance(tree, Tree)
    return tree


def test_every_report_is_decided(known: dict[str, dict[str, Any]]) -> None:
    assert set(known) == set(FROZEN)


@pytest.mark.parametrize("name", FROZEN)
def test_the_converter_gives_the_frozen_tree(name: str, known: dict[str, dict[str, Any]]) -> None:
    made = convert(known[name]["setup"])
    if isinstance(made, Inexpressible):
        assert "tree" not in FROZEN[name], made.why
        assert made.why
    else:
        assert digest(made) == FROZEN[name]["tree"]


@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_no_accepted_fix_is_there_before_it_is_made(name: str, known: dict[str, dict[str, Any]]) -> None:
    for alternative in FROZEN[name]["accepted"]:
        assert not accepts([alternative], tree_of(known[name]).files)


@pytest.mark.parametrize("name", EXPRESSIBLE)
def test_confirmed_follows_the_one_rule_for_it(name: str, known: dict[str, dict[str, Any]]) -> None:
    assert FROZEN[name]["confirmed"] is confirmed(known[name]["fix_status"])


def test_what_is_frozen_is_complete() -> None:
    for name, one in FROZEN.items():
        if "inexpressible" in one:
            assert one["inexpressible"].endswith("."), name
            assert not one.keys() & {"rules", "accepted", "confirmed"}, name
        else:
            assert one["tree"], name
            assert one["rules"], name
            assert all(one["accepted"]), name
