"""Buildspecs of public projects: those that CodeBuild took have no error, those that were wrong carry what was wrong.

The table of all that were wrong goes to `test-reports/buildspecs.md` and `.json`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from seatrial.builds import reading
from seatrial.builds.rules import check
from seatrial.checking.fixing import Choice, fix
from seatrial.checking.run import Options
from seatrial.checking.run import check as check_folder
from seatrial.sources.text import read
from support import buildspec_table

if TYPE_CHECKING:
    from support.buildspec_table import Row

NAMED = 0.8
# Accepted by CodeBuild, and a command of it fails: an unclosed brace, and a quote that is not closed.
FAILS_LATER = {"buildspec__aws__sagemaker-xgboost-container__4.yml", "buildspec__aws__s2n-tls__3.yml"}


@pytest.fixture(scope="module")
def cases() -> Path:
    named = os.environ.get("SEATRIAL_CASES")
    if not named or not (Path(named) / "buildspec").is_dir():
        pytest.skip("SEATRIAL_CASES does not name a folder with buildspecs")
    return Path(named)


@pytest.fixture(scope="module")
def rows(cases: Path) -> list[Row]:
    found = list(buildspec_table.rows(cases))
    folder = Path(__file__).parents[2] / "test-reports"
    folder.mkdir(exist_ok=True)
    (folder / "buildspecs.md").write_text(buildspec_table.markdown(found), encoding="utf-8")
    (folder / "buildspecs.json").write_text(
        json.dumps(msgspec.to_builtins(found), indent=1), encoding="utf-8"
    )
    return found


def test_what_codebuild_took_has_no_error(cases: Path) -> None:
    files = sorted((cases / "buildspec").iterdir())
    wrong = {
        f"{file.name}:{one.line}: {one.message}"
        for file in files
        for one in check(read(file))
        if one.severity == "error"
    }

    assert len(files) >= 100
    assert wrong == set()
    assert all(reading.read(read(file)).spec is not None for file in files)


def test_what_codebuild_refuses_is_refused_by_the_rule_for_it(rows: list[Row]) -> None:
    refused = [one for one in rows if one.refused]

    assert len(refused) >= 30
    assert [one.file for one in refused if not one.is_right] == []


def test_what_codebuild_takes_has_no_error(rows: list[Row]) -> None:
    taken = [one for one in rows if not one.refused and one.file not in FAILS_LATER]

    assert [(one.file, one.errors) for one in taken if one.errors] == []


def test_what_was_mended_is_named(rows: list[Row]) -> None:
    followed = [one for one in rows if one.following]
    named = [one for one in followed if one.named]

    assert len(followed) >= 40
    assert len(named) >= NAMED * len(followed), [one.file for one in followed if not one.named]


def test_a_fix_leaves_no_error_where_each_error_has_one(cases: Path, tmp_path: Path) -> None:
    options = Options()
    for file in sorted((cases / "broken").glob("buildspec*")):
        source = read(file)
        if not all(one.fix and one.fix.safe for one in check(source) if one.severity == "error"):
            continue
        folder = tmp_path / file.stem
        folder.mkdir()
        (folder / "buildspec.yml").write_bytes(source.encoded())

        after = fix([folder], check_folder([folder], options), options, Choice()).report

        assert after.summary.error == 0, (file.name, after.findings)
