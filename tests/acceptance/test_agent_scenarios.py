"""Deployments that AWS's own agent went through, with what it left: this one leaves the same.

The table goes to `test-reports/deployments.md`.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support.scenarios import replay


def test_every_deployment_ends_as_that_of_awss_agent(tmp_path: Path) -> None:
    named = os.environ.get("SEATRIAL_CASES")
    file = Path(named or ".", "codedeploy_scenarios.jsonl")
    if not named or not file.exists():
        pytest.skip("SEATRIAL_CASES does not name a folder with codedeploy_scenarios.jsonl")
    if os.geteuid() != 0:
        pytest.skip("what the agent left belongs to root; owners cannot be given without being root")
    scenarios = [json.loads(line) for line in file.read_text().splitlines()]
    folders = [tmp_path / str(number) for number in range(len(scenarios))]
    for folder in folders:
        folder.mkdir()
    with ThreadPoolExecutor(2) as pool:
        found = dict(zip((s["name"] for s in scenarios), pool.map(replay, scenarios, folders), strict=True))
    rows = [f"| {name} | {'; '.join(lines) or 'as AWS'} |" for name, lines in found.items()]
    right = sum(not lines for lines in found.values())
    text = f"{right} of {len(found)} deployments end as AWS's agent ends them.\n\n| deployment | here |\n|---|---|\n"
    reports = Path(__file__).parents[2] / "test-reports"
    reports.mkdir(exist_ok=True)
    (reports / "deployments.md").write_text(text + "\n".join(rows) + "\n", encoding="utf-8")
    assert {name: lines for name, lines in found.items() if lines} == {}
