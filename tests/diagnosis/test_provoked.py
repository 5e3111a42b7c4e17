"""Failures provoked by breaking real things (`scripts/provoke_failures.py`): the right cause first, with the right fix."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from support.commands import seatrial
from support.explained import Figures, Verdict, explained, failures, missed, missed_by_service

if TYPE_CHECKING:
    from pathlib import Path

ENOUGH = 100


def _verdicts(kind: str) -> list[Verdict]:
    return [explained(one.name, one.name.split("-")[0], one.expected, one.log) for one in failures(kind)]


def test_there_are_enough_of_them_and_a_third_is_set_aside() -> None:
    train, held = failures("train"), failures("held")

    assert len(train) + len(held) >= ENOUGH
    assert 0.25 <= len(held) / (len(train) + len(held)) <= 0.42
    assert not {one.name for one in train} & {one.name for one in held}


def test_the_cause_comes_first_with_its_fix() -> None:
    every = _verdicts("train")

    shortfall = Figures.of(every).shortfall()

    assert not shortfall, f"{shortfall}; {missed(every)}"


def test_the_cause_comes_first_with_its_fix_in_those_set_aside() -> None:
    every = _verdicts("held")

    shortfall = Figures.of(every).shortfall()

    assert not shortfall, f"{shortfall}; missed {missed_by_service(every)}"


@pytest.mark.parametrize("name", ["pip-conflict-direct", "port-taken-python", "sqlite-locked"])
def test_the_command_says_the_same(name: str, tmp_path: Path) -> None:
    case = next(one for one in failures("train") if one.name == name)
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "log").write_text(case.log)

    done = seatrial(folder, "explain", "log", "--json")

    first = json.loads(done.stdout)["causes"][0]
    assert done.returncode == 0, done.stderr
    assert first["id"] == case.cause
    assert first["evidence"]["text"] in case.log
