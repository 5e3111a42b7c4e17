"""Failures that people reported from CodeBuild: said before the build starts, with the fix, and the fixed file runs.

The files in `reported/` have the mistakes of those builds at the places of their messages.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from seatrial.builds.rules import check
from seatrial.sources.text import read
from support.commands import seatrial

REPORTED = Path(__file__).parent / "reported"

# name, rule, what CodeBuild or the shell said, line, part of the cause
FAILURES = [
    ("multi-line", "buildspec/command-type", "Expected Commands[7] to be of string type: found subkeys instead", 22, "`: `"),
    ("long", "source/yaml-syntax", "could not find expected ':' at line 106", 107, "not indented"),
    ("minimal", "buildspec/command-type", "Expected Commands[8] to be of string type: found subkeys instead", 23, "`: `"),
    ("quote", "buildspec/shell-syntax", "unexpected EOF while looking for matching", 12, "double quote"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "rule", "message", "line", "cause"), FAILURES, ids=[one[0] for one in FAILURES]
)
def test_is_said_with_place_cause_and_fix(name: str, rule: str, message: str, line: int, cause: str) -> None:
    found = [one for one in check(read(REPORTED / f"{name}.yml")) if one.rule == rule]

    assert message in found[-1].message
    assert found[-1].line == line
    assert cause in found[-1].cause
    assert found[-1].fix is not None
    assert found[-1].fix.safe


@pytest.mark.parametrize("name", [one[0] for one in FAILURES])
def test_it_stops_a_build_before_its_start_and_runs_when_it_is_fixed(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "source"
    folder.mkdir()
    shutil.copy(REPORTED / f"{name}.yml", folder / "buildspec.yml")

    refused = seatrial(folder, "build", "run", ".")
    fixed = seatrial(folder, "check", "--fix", ".")
    ran = seatrial(folder, "build", "run", ".")

    assert refused.returncode not in (0, 3)
    assert "buildspec.yml" in refused.stdout + refused.stderr
    assert fixed.returncode == 0, fixed.stdout
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_buildspec_that_worked_has_no_error_and_known_weaknesses() -> None:
    found = check(read(REPORTED / "final.yml"))

    assert {one.rule: one.severity for one in found} == {
        "buildspec/docker-privileged": "note",
        "buildspec/unguarded-push": "warning",
        "buildspec/only-latest": "warning",
    }
