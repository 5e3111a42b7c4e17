"""Logs of runs that succeeded, full of words that look like failure: none may be given a cause."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from seatrial.diagnosis.explain import explain
from seatrial.diagnosis.model import Context
from support.explained import background

LOGS = sorted((Path(__file__).parent / "healthy").glob("*.txt.gz"))
ENOUGH = 50
RECOVERED = {"curl-retries", "git-tag-fallback", "shell-port-probe"}
"""A command failed and the script went on by another way. The text alone reads as that of the failure; only the exit
status or the phases tell.
"""


def _name(path: Path) -> str:
    return path.name.split(".")[0]


def test_there_are_enough_of_them() -> None:
    assert len(LOGS) >= ENOUGH


@pytest.mark.parametrize("path", LOGS, ids=_name)
def test_a_healthy_run_has_no_cause(path: Path) -> None:
    log = gzip.decompress(path.read_bytes())

    assert explain(log, context=Context(exit_code=0)).causes == ()


@pytest.mark.parametrize("path", LOGS, ids=_name)
def test_nor_has_a_build_whose_phases_all_succeeded(path: Path) -> None:
    log = gzip.decompress(path.read_bytes()).decode()
    stamp = "[Container] 2024/06/01 10:00:00.123456"
    build = f"{stamp} Entering phase BUILD\n{log}\n{stamp} Phase complete: BUILD State: SUCCEEDED\n"

    assert explain(build).causes == ()


@pytest.mark.parametrize(
    "path",
    [one for one in LOGS if _name(one) not in RECOVERED],
    ids=_name,
)
def test_nor_has_its_text_when_nothing_else_is_known(path: Path) -> None:
    log = gzip.decompress(path.read_bytes())

    assert [(one.id, one.evidence.text) for one in explain(log).causes] == []


@pytest.mark.parametrize("tool", sorted(background()))
def test_a_long_build_has_no_cause(tool: str) -> None:
    lines = background()[tool]

    assert [(one.id, one.evidence.text) for one in explain("\n".join(lines)).causes] == []
