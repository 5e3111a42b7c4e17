"""Dockerfiles of public projects, most of which work: every error was gone through by hand and is written down."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from seatrial.checking.run import Report, check, image_options

REVIEWED = Path(__file__).parent / "reviewed_errors.json"
ALLOWED = 0.02


@pytest.fixture(scope="module")
def folders() -> list[Path]:
    cases = os.environ.get("SEATRIAL_CASES")
    root = Path(cases) / "dockerfiles" if cases else None
    if root is None or not root.is_dir():
        pytest.skip("SEATRIAL_CASES does not name a folder with dockerfiles")
    return sorted(root.iterdir())


@pytest.fixture(scope="module", params=["offline", "resolved"])
def looked(request: pytest.FixtureRequest, folders: list[Path]) -> dict[str, Report]:
    offline = request.param == "offline"
    if not offline and not os.environ.get("SEATRIAL_RESOLVE"):
        pytest.skip("SEATRIAL_RESOLVE is not set: resolving all of them asks the package index for minutes")
    options = image_options({}, offline=offline)
    with ThreadPoolExecutor(1 if offline else 4) as pool:
        found = pool.map(lambda folder: check([folder], options), folders)
        return {folder.name: report for folder, report in zip(folders, found, strict=True)}


def test_each_error_was_reviewed_and_hardly_any_is_not_demonstrably_true(looked: dict[str, Report]) -> None:
    reviewed = json.loads(REVIEWED.read_text(encoding="utf-8"))
    found = {
        f"{name} {one.rule} {one.path}:{one.line}"
        for name, report in looked.items()
        for one in report.findings
        if one.severity == "error"
    }

    assert found <= reviewed.keys(), "not reviewed"
    doubtful = {one.split()[0] for one in found if not reviewed[one]["true"]}
    assert len(doubtful) <= ALLOWED * len(looked)


def test_something_is_read_in_every_folder(looked: dict[str, Report]) -> None:
    assert all(report.checked for report in looked.values())
