"""`seatrial check` and `seatrial rules` as a person or a script runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PINS = "flask\nonnxruntime==1.17.3\nnumpy==2.0.2  # keep\n"


def seatrial(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "SEATRIAL_HOME": str(folder.parent / "home"),
        "SEATRIAL_CACHE": str(folder.parent / "cache"),
        **environ,
    }
    command = [sys.executable, "-m", "seatrial", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "requirements.txt").write_text(PINS)
    (folder / "buildspec.yml").write_text("version: 0.2\nphases:\n  build:\n    commands: [make]\n")
    return folder


def test_text_says_it_all_and_exits_with_1(project: Path) -> None:
    done = seatrial(project, "check")

    assert done.returncode == 1
    assert done.stdout.startswith(
        "requirements.txt:2:1: error[image/numpy-abi] onnxruntime 1.17.3 was compiled"
    )
    assert "+numpy==1.26.4  # keep" in done.stdout
    assert "\x1b" not in done.stdout
    assert done.stderr.splitlines() == ["2 files checked: 1 error", "1 finding can be fixed with --fix"]


@pytest.mark.parametrize("arguments", [["--json"], ["--format", "json"], ["--json", "--format", "json"]])
def test_json_is_all_there_is_on_stdout(project: Path, arguments: list[str]) -> None:
    done = seatrial(project, "check", ".", *arguments)
    content = json.loads(done.stdout)

    assert done.returncode == 1
    assert list(content) == ["findings", "checked", "summary"]
    assert content["summary"] == {"error": 1, "warning": 0, "note": 0}
    assert {"path": "buildspec.yml", "kind": "buildspec"} in content["checked"]


def test_nothing_wrong_is_exit_code_0_and_nothing_on_stdout(project: Path) -> None:
    (project / "requirements.txt").write_text("flask\n")

    done = seatrial(project, "check")

    assert (done.returncode, done.stdout) == (0, "")
    assert "2 files checked: nothing found" in done.stderr


def test_warnings_alone_are_exit_code_0(project: Path) -> None:
    (project / "requirements.txt").write_text("onnxruntime==1.17.3\n")

    done = seatrial(project, "check")

    assert done.returncode == 0
    assert "warning[image/numpy-abi]" in done.stdout


def test_fix_changes_the_file_and_says_so(project: Path) -> None:
    done = seatrial(project, "check", "--fix")

    assert (done.returncode, done.stdout) == (0, "")
    assert (project / "requirements.txt").read_text() == PINS.replace("2.0.2", "1.26.4")
    assert "fixed: Pin numpy to 1.26.4" in done.stderr
    assert "changed: requirements.txt" in done.stderr


def test_the_diff_can_be_applied(project: Path) -> None:
    done = seatrial(project, "check", "--diff")

    assert (project / "requirements.txt").read_text() == PINS
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    subprocess.run(["git", "apply", "-"], cwd=project, input=done.stdout, text=True, check=True)
    assert seatrial(project, "check").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none"], "no such file or folder"),
        (["--unsafe"], "needs --fix or --diff"),
        (["--fix", "--diff"], "one of them"),
        (["--diff", "--format", "sarif"], "prints a diff"),
        (["--json", "--format", "junit"], "exclude each other"),
        (["--fix", "--write-baseline"], "cannot be given together"),
        (["--target", "colour=red"], "not KEY=VALUE"),
        (["--target", "python=three"], "not a version"),
        (["--baseline", "none.json"], "cannot be read"),
        (["--write-baseline", "--baseline", "none/x.json"], "no such folder"),
        (["--fromat", "json"], "--format"),
    ],
)
def test_what_was_asked_wrongly_is_exit_code_2(project: Path, arguments: list[str], words: str) -> None:
    done = seatrial(project, "check", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_target_changes_the_answer(project: Path) -> None:
    (project / "requirements.txt").write_text("onnxruntime==1.17.3\n")

    assert "nothing found" in seatrial(project, "check", "--target", "python=3.8,gpu=h100").stderr


def test_a_baseline_hides_what_was_there(project: Path) -> None:
    assert seatrial(project, "check", "--baseline", "known.json", "--write-baseline").returncode == 0

    again = seatrial(project, "check", "--baseline", "known.json")
    assert (again.returncode, again.stdout) == (0, "")
    assert "1 known from the baseline hidden" in again.stderr

    (project / "seatrial.yaml").write_text("check: {baseline: known.json}\n")
    (project / "buildspec.yml").write_text("version: 0.2\nphases: a: b\n")
    third = seatrial(project, "check", "--json")
    assert third.returncode == 1
    assert [one["path"] for one in json.loads(third.stdout)["findings"]] == ["buildspec.yml"]


def test_ignored_files_are_looked_at_when_asked(project: Path) -> None:
    (project / ".git").mkdir()
    (project / ".gitignore").write_text("requirements.txt\n")

    assert seatrial(project, "check").returncode == 0
    assert seatrial(project, "check", "--no-ignore").returncode == 1
    assert seatrial(project, "check", "requirements.txt").returncode == 1


@pytest.mark.parametrize("form", ["sarif", "junit"])
def test_other_forms_are_whole_documents(project: Path, form: str) -> None:
    done = seatrial(project, "check", "--format", form)

    assert done.returncode == 1
    assert "image/numpy-abi" in done.stdout
    assert done.stdout.startswith("<?xml" if form == "junit" else "{")


def test_paths_can_be_followed_from_where_the_command_ran(project: Path) -> None:
    done = seatrial(project.parent, "check", "project")

    assert done.stdout.startswith("project/requirements.txt:2:1:")
    assert seatrial(project.parent, "check", "-C", "project").stdout.startswith("requirements.txt:2:1:")


def test_no_file_at_all_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert seatrial(tmp_path / "empty", "check").stderr == "0 files checked: nothing found\n"


class TestRules:
    def test_the_list_names_every_rule(self, tmp_path: Path) -> None:
        listed = seatrial(tmp_path, "rules").stdout.splitlines()
        known: list[dict[str, Any]] = json.loads(seatrial(tmp_path, "rules", "--json").stdout)

        assert [line.split()[0] for line in listed] == [one["id"] for one in known]
        assert "image/numpy-abi" in {one["id"] for one in known}

    def test_one_is_explained(self, tmp_path: Path) -> None:
        done = seatrial(tmp_path, "rules", "image/numpy-abi")

        assert "onnxruntime==1.17.3" in done.stdout
        assert "seatrial: disable=image/numpy-abi" in done.stdout
        assert (
            json.loads(seatrial(tmp_path, "rules", "image/numpy-abi", "--json").stdout)["severity"] == "error"
        )

    def test_an_unknown_one_names_the_nearest(self, tmp_path: Path) -> None:
        done = seatrial(tmp_path, "rules", "image/numpyabi")

        assert done.returncode == 2
        assert "image/numpy-abi" in done.stderr


def test_the_pre_commit_hooks_run_commands_that_exist(project: Path) -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())

    assert [one["id"] for one in hooks] == ["seatrial-check", "seatrial-fix"]
    for hook in hooks:
        assert {"name", "entry", "language", "types", "require_serial"} <= set(hook)
        program, *arguments = hook["entry"].split()
        assert program == "seatrial"
        done = seatrial(project, *arguments, "requirements.txt", "buildspec.yml")
        assert done.returncode == (0 if "--fix" in arguments else 1)
