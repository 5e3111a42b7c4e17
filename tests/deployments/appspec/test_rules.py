"""What a check says of application specifications, and what its fixes make of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from seatrial.checking.fixing import Choice, fix
from seatrial.checking.run import Options, check
from seatrial.cli.root import root
from seatrial.deployments.appspec.rules import check as look_at
from seatrial.sources.text import Source

HERE = Path(__file__).parent
HEAD = "version: 0.0\nos: linux\n"
CASES = yaml.safe_load((HERE / "findings.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["why"])
def test_what_is_said(case: dict[str, Any], tmp_path: Path) -> None:
    source = Source("appspec.yml", HEAD + case["head"])

    found = look_at(source)

    if "none" in case:
        assert found == []
        return
    rule, line, severity = case["finding"]
    wanted = (rule if "/" in rule else f"appspec/{rule}", line, severity)
    assert wanted in [(one.rule, one.line, one.severity) for one in found], found
    if "fixed" in case:
        unsafe = case.get("unsafe", False)
        assert unsafe is (_fixed(tmp_path, source.text) != HEAD + case["fixed"])
        assert _fixed(tmp_path, source.text, unsafe=unsafe) == HEAD + case["fixed"]


def _fixed(folder: Path, text: str, *, unsafe: bool = False) -> str:
    file = folder / "appspec.yml"
    file.write_text(text)
    fix([file], check([file]), Options(), Choice(unsafe=unsafe))
    return file.read_text()


def test_what_is_quoted_stays_quoted(tmp_path: Path) -> None:
    files = '"files": [{"src": "/", "destination": "/srv/app"}]'

    fixed = _fixed(tmp_path, f'{{"version": "0.0", "OS": "Linux", {files}}}\n', unsafe=True)

    assert json.loads(fixed) == {
        "version": 0.0,
        "os": "linux",
        "files": [{"source": "/", "destination": "/srv/app"}],
    }


def test_what_is_missing_is_added(tmp_path: Path) -> None:
    files = "files:\n  - source: /\n    destination: /srv/app\n"

    assert _fixed(tmp_path, files) == f"version: 0.0\nos: linux\n{files}"
    assert _fixed(tmp_path, f"version: 1.0\nos: Ubuntu\n{files}") == HEAD + files
    assert _fixed(tmp_path, f"Version: 0.0\nOS: linux\n{files}") == HEAD + files


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("version: 0.2\nphases:\n  build:\n    commands: [make]\n", "a buildspec"),
        ("version: 0.2\nphases:\n  build:\n    commands:\n      - echo: [\n", "a buildspec"),
        ("AWSTemplateFormatVersion: '2010-09-09'\nResources: {}\n", "a CloudFormation template"),
        ("apiVersion: apps/v1\nkind: Deployment\n", "a Kubernetes manifest"),
        ("services:\n  app: {image: app}\n", "a Compose file"),
        ("#!/bin/sh\nset -e\n", "a script"),
    ],
)
def test_another_file_in_its_place_has_one_finding_that_says_what_to_do(text: str, what: str) -> None:
    found = look_at(Source("appspec.yml", text))

    assert [(one.rule, one.severity) for one in found] == [("appspec/other-file", "error")]
    assert found[0].cause.startswith(f"this is {what}")
    assert "; " in found[0].cause


def test_a_buildspec_in_its_place_is_found_in_a_repository(tmp_path: Path) -> None:
    (tmp_path / "appspec.yml").write_text("version: 0.2\nphases:\n  build:\n    commands: [make]\n")

    assert [one.rule for one in check([tmp_path]).findings] == ["appspec/other-file"]


@pytest.mark.parametrize(
    "text",
    [
        f"{HEAD}files:\n  - source: /\n    destination: /x\n",
        "version: 0.0\nResources:\n  - TargetService:\n      Type: AWS::ECS::Service\n",
    ],
)
def test_an_appspec_in_a_buildspecs_place_has_one_finding(text: str, tmp_path: Path) -> None:
    (tmp_path / "buildspec.yml").write_text(text)

    found = check([tmp_path / "buildspec.yml"]).findings

    assert [one.rule for one in found] == ["appspec/in-buildspec-place"]
    assert found[0].message.startswith("invalid buildspec `version` specified: 0.0")
    assert "name it appspec.yml" in found[0].cause


@pytest.fixture
def revision(tmp_path: Path) -> Path:
    folder = tmp_path / "revision"
    (folder / "scripts").mkdir(parents=True)
    for name, content, mode in (
        ("good.sh", b"#!/bin/sh\ntrue\n", 0o755),
        ("crlf.sh", b"#!/bin/bash\r\ntrue\r\n", 0o755),
        ("plain.sh", b"#!/bin/sh\n", 0o644),
        ("bash.sh", b"source /etc/app\n", 0o755),
    ):
        (folder / "scripts" / name).write_bytes(content)
        (folder / "scripts" / name).chmod(mode)
    return folder


def _hook(folder: Path, location: str) -> list[tuple[str, str, str]]:
    (folder / "appspec.yml").write_text(f"{HEAD}hooks:\n  AfterInstall:\n    - location: {location}\n")
    return [(one.rule, one.severity, one.path) for one in check([folder]).findings]


def test_scripts_are_looked_at_where_they_lie(revision: Path) -> None:
    assert _hook(revision, "scripts/good.sh") == []
    assert _hook(revision, "/scripts/good.sh") == []
    assert _hook(revision, "scripts/none.sh") == [("appspec/script-missing", "warning", "appspec.yml")]
    assert _hook(revision, "../good.sh") == [("appspec/script-outside", "warning", "appspec.yml")]
    assert _hook(revision, "scripts/plain.sh") == [("appspec/script-not-executable", "note", "appspec.yml")]
    assert _hook(revision, "scripts/crlf.sh") == [("appspec/script-crlf", "error", "scripts/crlf.sh")]
    assert _hook(revision, "scripts/bash.sh") == [
        ("appspec/script-without-shebang", "warning", "scripts/bash.sh")
    ]


def test_line_ends_and_names_of_scripts_are_put_right(revision: Path) -> None:
    _hook(revision, "scripts/CRLF.sh")

    fix([revision], check([revision]), Options(), Choice())

    assert "location: scripts/crlf.sh\n" in (revision / "appspec.yml").read_text()
    assert (revision / "scripts/crlf.sh").read_bytes() == b"#!/bin/bash\ntrue\n"


def test_a_source_that_is_not_there_is_a_warning(revision: Path) -> None:
    (revision / "appspec.yml").write_text(
        f"{HEAD}files:\n  - {{source: /scripts, destination: /x}}\n  - {{source: dist, destination: /y}}\n"
    )

    found = check([revision]).findings

    assert [(one.rule, one.line) for one in found] == [("appspec/source-missing", 5)]


def _run(*arguments: str) -> tuple[int, Any]:
    result = CliRunner().invoke(root, ["deploy", "check", *arguments, "--json"], standalone_mode=False)
    return result.return_value, json.loads(result.stdout)


def test_deploy_check_takes_a_file_of_any_name(tmp_path: Path) -> None:
    file = tmp_path / "release.txt"
    file.write_text("version: 0.0\nos: ubuntu\n")

    code, said = _run(str(file))

    assert code == 1
    assert said["summary"]["error"] == 1
    assert said["checked"] == [{"path": said["findings"][0]["path"], "kind": "appspec"}]
    assert said["findings"][0]["message"].endswith(
        "in the os section of the AppSpec file, and then try again."
    )
    assert said["findings"][0]["fix"]["edits"][0]["text"] == "linux"


def test_deploy_check_is_told_the_platform(tmp_path: Path) -> None:
    file = tmp_path / "appspec.yml"
    file.write_text(yaml.safe_load((HERE / "ecs.yaml").read_text())["right"])

    assert _run(str(file))[0] == 0
    assert _run(str(file), "--platform", "server")[0] == 1
    assert _run(str(file), "--platform", "lambda")[0] == 1


def test_deploy_check_finds_the_file_of_a_folder_and_fixes_it(tmp_path: Path) -> None:
    file = tmp_path / "appspec.yaml"
    file.write_text("version: 0.0\nos: Linux\n")

    code, said = _run(str(tmp_path), "--fix")

    assert (code, said["summary"]["error"]) == (0, 0)
    assert file.read_text() == HEAD


def test_deploy_check_says_what_it_did_not_find(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.yml"):
        result = CliRunner().invoke(root, ["deploy", "check", str(path)], standalone_mode=False)

        assert result.exception is not None
        assert "there is no" in str(result.exception)
