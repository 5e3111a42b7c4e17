"""Application specifications of public projects: the same verdicts as from the parser of AWS's agent.

The table of all verdicts goes to `test-reports/appspecs.md`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from seatrial.checking.fixing import Choice, fix
from seatrial.checking.run import Options, check
from seatrial.cli.root import root
from seatrial.deployments.appspec.reading import read
from seatrial.deployments.appspec.rules import check as look_at
from seatrial.sources.text import read as read_file
from support import appspec_table

HERE = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def cases() -> Path:
    named = os.environ.get("SEATRIAL_CASES")
    if not named or not (Path(named) / "appspec_verdicts.jsonl").is_file():
        pytest.skip("SEATRIAL_CASES does not name a folder with verdicts on appspecs")
    return Path(named)


def test_every_verdict_is_that_of_the_agent(cases: Path) -> None:
    found = list(appspec_table.rows(cases))
    folder = HERE / "test-reports"
    folder.mkdir(exist_ok=True)
    (folder / "appspecs.md").write_text(appspec_table.markdown(found), encoding="utf-8")

    assert len(found) >= 100
    assert [one for one in found if one.wrong] == []


def test_the_command_line_says_what_the_agent_says(cases: Path) -> None:
    for line in (cases / "appspec_verdicts.jsonl").read_text(encoding="utf-8").splitlines():
        verdict = json.loads(line)
        if "file" not in verdict:
            continue
        arguments = ["deploy", "check", str(cases / verdict["file"]), "--platform", "server", "--json"]
        result = CliRunner().invoke(root, arguments, standalone_mode=False)

        errors = [
            one["message"] for one in json.loads(result.stdout)["findings"] if one["severity"] == "error"
        ]
        assert bool(errors) != verdict["ok"], verdict["file"]
        assert result.return_value == (0 if verdict["ok"] else 1)
        if errors and not verdict["error_class"].endswith("NoMethodError"):
            assert verdict["error"] in errors


def test_real_files_for_functions_and_services_are_taken(cases: Path) -> None:
    taken = {}
    for file in sorted((cases / "appspec").iterdir()):
        source = read_file(file)
        reading = read(source)
        if reading.platform != "server":
            taken[file.name] = [one for one in look_at(source, reading) if one.severity == "error"]

    assert len(taken) >= 25
    assert {name: errors for name, errors in taken.items() if errors} == {}


def test_a_fix_leaves_no_error_where_each_error_has_one(cases: Path, tmp_path: Path) -> None:
    mended = 0
    for file in sorted((cases / "broken").glob("appspec*")):
        source = read_file(file)
        errors = [one for one in look_at(source) if one.severity == "error"]
        if not errors or not all(one.fix is not None and one.fix.safe for one in errors):
            continue
        folder = tmp_path / file.stem
        folder.mkdir()
        (folder / "appspec.yml").write_bytes(source.encoded())

        after = fix([folder], check([folder]), Options(), Choice()).report

        assert after.summary.error == 0, (file.name, after.findings)
        mended += 1
    assert mended >= 4
