"""Deployments of our own, each from a rule of the agent that it states."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.scenarios import replay

SCENARIOS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("scenarios.yaml").read_text())


@pytest.mark.skipif(os.geteuid() != 0, reason="what is installed belongs to root, and runas takes root")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=[one["name"] for one in SCENARIOS])
def test_a_deployment_leaves_what_the_rule_says(scenario: dict[str, Any], tmp_path: Path) -> None:
    assert replay(scenario, tmp_path) == []
