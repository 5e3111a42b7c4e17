"""`seatrial image fix` as a person or a script runs it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from support import wheels
from support.commands import seatrial
from support.image_checks import write

if TYPE_CHECKING:
    from pathlib import Path

DOCKERFILE = """\
# syntax=docker/dockerfile:1
FROM python:3.11-slim
RUN pip install torch==2.4.0 \\
    torchvision==0.20.1  # built elsewhere
COPY requirements.txt .
RUN pip install -r requirements.txt
"""
REQUIREMENTS = "onnxruntime==1.17.3\n# numbers\nnumpy==2.0.2  # keep\n"
FILES = {"Dockerfile": DOCKERFILE, "requirements.txt": REQUIREMENTS}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path / "project", FILES)
    return tmp_path / "project"


def fix(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return seatrial(folder, "image", "fix", "--offline", *arguments)


def applied(folder: Path, *arguments: str) -> dict[str, Any]:
    done = fix(folder, "--apply", "--json", *arguments)
    assert done.stderr == ""
    content: dict[str, Any] = json.loads(done.stdout)
    return content


def content(folder: Path) -> dict[str, str]:
    return {path: (folder / path).read_text() for path in FILES}


@pytest.mark.parametrize("arguments", [[], ["--diff"]])
def test_without_apply_it_prints_a_diff_of_everything_and_writes_nothing(
    project: Path, arguments: list[str]
) -> None:
    done = fix(project, *arguments)

    assert done.returncode == 1  # there are errors
    assert content(project) == FILES
    assert "\x1b" not in done.stdout
    changed = [
        line for line in done.stdout.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert changed == [
        "-    torchvision==0.20.1  # built elsewhere",
        "+    torchvision==0.19.0  # built elsewhere",
        "-numpy==2.0.2  # keep",
        "+numpy==1.26.4  # keep",
    ]
    assert "would fix: Pin torchvision to 0.19.0" in done.stderr
    assert "2 files would change; --apply writes" in done.stderr


def test_the_diff_can_be_applied_by_git(project: Path) -> None:
    diff = fix(project, "--diff").stdout
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    subprocess.run(["git", "apply", "-"], cwd=project, input=diff, text=True, check=True)
    by_git = content(project)
    write(project, FILES)
    fix(project, "--apply")

    assert content(project) == by_git


def test_apply_writes_checks_again_and_says_what_it_did(project: Path) -> None:
    done = fix(project, "--apply")

    assert (done.returncode, done.stdout) == (0, "")
    assert content(project) == {
        "Dockerfile": DOCKERFILE.replace("0.20.1", "0.19.0"),
        "requirements.txt": REQUIREMENTS.replace("2.0.2", "1.26.4"),
    }
    assert "fixed: Pin torchvision to 0.19.0\nfixed: Pin numpy to 1.26.4\n" in done.stderr
    assert "2 files checked: nothing found" in done.stderr


def test_applying_twice_changes_nothing(project: Path) -> None:
    first = applied(project)
    once = {path: (project / path).stat() for path in FILES}
    second = applied(project)

    assert first["applied"] == ["Pin torchvision to 0.19.0", "Pin numpy to 1.26.4"]
    assert sorted(first["changed"]) == ["Dockerfile", "requirements.txt"]
    assert first["findings"] == second["findings"] == []
    assert second["applied"] == second["changed"] == []
    assert {path: (project / path).stat().st_mtime_ns for path in FILES} == {
        path: one.st_mtime_ns for path, one in once.items()
    }


def test_json_without_apply_is_what_would_be_done(project: Path) -> None:
    done = fix(project, "--json")
    answer = json.loads(done.stdout)

    assert (done.returncode, done.stderr) == (1, "")
    assert list(answer) == ["would_apply", "diff", "findings"]
    assert answer["would_apply"] == ["Pin torchvision to 0.19.0", "Pin numpy to 1.26.4"]
    assert answer["diff"].startswith("--- a/Dockerfile\n+++ b/Dockerfile\n")
    assert {one["rule"] for one in answer["findings"]} == {"image/torch-pair", "image/numpy-abi"}
    assert content(project) == FILES


def test_only_one_rule(project: Path) -> None:
    answer = applied(project, "--rule", "image/numpy-abi")

    assert answer["applied"] == ["Pin numpy to 1.26.4"]
    assert [one["rule"] for one in answer["findings"]] == ["image/torch-pair"]
    assert content(project)["Dockerfile"] == DOCKERFILE


def test_what_is_kept_is_not_changed(project: Path) -> None:
    answer = applied(project, "--keep", "Torch.Vision", "--keep", "torchvision", "--keep", "NumPy")

    assert answer["applied"][0] == "Pin torch to 2.5.1"
    assert "torch==2.5.1 \\\n    torchvision==0.20.1" in content(project)["Dockerfile"]
    assert "numpy==2.0.2  # keep" in content(project)["requirements.txt"]
    assert answer["findings"] == []


def test_nothing_can_be_done_where_everything_is_kept(project: Path) -> None:
    done = fix(
        project,
        "--apply",
        "--json",
        *(f"--keep={one}" for one in ("torch", "torchvision", "numpy", "onnxruntime")),
    )

    assert done.returncode == 1
    assert json.loads(done.stdout)["applied"] == []
    assert content(project) == FILES


def test_another_alternative(project: Path) -> None:
    answer = applied(project, "--alternative", "2", "--rule", "image/torch-pair")

    assert answer["applied"] == ["Pin torch to 2.5.1"]
    assert "torch==2.5.1" in content(project)["Dockerfile"]


def test_the_last_alternative_where_there_are_fewer(project: Path) -> None:
    answer = applied(project, "--alternative", "99", "--rule", "image/torch-pair")

    assert len(answer["applied"]) == 1
    assert answer["applied"] not in (["Pin torch to 2.5.1"], ["Pin torchvision to 0.19.0"])


def test_safe_takes_only_what_cannot_break_what_works(project: Path) -> None:
    answer = applied(project, "--safe")

    assert answer["applied"] == ["Pin numpy to 1.26.4"]
    assert content(project)["Dockerfile"] == DOCKERFILE


def test_notes_are_left_alone(project: Path) -> None:
    write(
        project,
        {"Dockerfile": "FROM python:3.11-slim\nRUN pip install requests\n", "requirements.txt": "flask\n"},
    )

    assert applied(project)["applied"] == []


def test_a_base_that_is_gone_is_exchanged(project: Path) -> None:
    write(
        project,
        {
            "Dockerfile": "FROM nvidia/cuda:10.2-cudnn7-devel-ubuntu18.04\nRUN nvcc --version\n",
            "requirements.txt": "flask\n",
        },
    )
    answer = applied(project)

    assert answer["applied"]
    assert "image/tag-removed" not in {one["rule"] for one in answer["findings"]}
    assert content(project)["Dockerfile"].startswith("FROM nvidia/cuda:")
    assert content(project)["Dockerfile"].endswith("\nRUN nvcc --version\n")


def test_permissions_and_links_stay(project: Path) -> None:
    (project / "requirements.txt").rename(project / "real.txt")
    (project / "requirements.txt").symlink_to("real.txt")
    (project / "real.txt").chmod(0o640)
    fix(project, "--apply")

    assert (project / "requirements.txt").is_symlink()
    assert "numpy==1.26.4" in (project / "real.txt").read_text()
    assert (project / "real.txt").stat().st_mode & 0o777 == 0o640


def test_a_file_that_cannot_be_written_is_said_and_no_other_is_changed(project: Path) -> None:
    (project / "real").mkdir()
    (project / "requirements.txt").rename(project / "real/requirements.txt")
    (project / "requirements.txt").symlink_to("real/requirements.txt")
    (project / "real").chmod(0o500)
    if os.access(project / "real", os.W_OK):
        pytest.skip("permissions do not bind this user")
    done = fix(project, "--apply", "--rule", "image/numpy-abi")

    assert done.returncode == 1
    assert "cannot write" in done.stderr
    assert content(project) == FILES


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--apply", "--diff"], "one of them"),
        (["--lock", "x.lock"], "--offline forbids"),
        (["--rule", "image/torch-pairs"], "image/torch-pair"),
        (["--alternative", "0"], "--alternative"),
        (["--target", "gpu=h1000"], "gpu=H100"),
        (["none"], "no such file or folder"),
        (["--aply"], "--apply"),
    ],
)
def test_what_was_asked_wrongly_is_exit_code_2(project: Path, arguments: list[str], words: str) -> None:
    done = fix(project, *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert content(project) == FILES


def test_a_folder_without_anything_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = fix(tmp_path / "empty", "--apply")

    assert done.returncode == 2
    assert "looked for a Dockerfile" in done.stderr


class TestLock:
    """With an index: a folder of wheels."""

    @pytest.fixture
    def index(self, tmp_path: Path) -> dict[str, str]:
        house = tmp_path / "wheelhouse"
        wheels.wheel(house, "tool", "3.0", requires=("leaf<2",))
        wheels.wheel(house, "tool", "4.0", requires=("leaf>=2",))
        for version in ("1.0", "2.0"):
            wheels.wheel(house, "leaf", version)
        return {"UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_FIND_LINKS": str(house)}

    @pytest.fixture
    def app(self, tmp_path: Path) -> Path:
        write(tmp_path / "app", {"Dockerfile": "FROM python:3.11-slim\nRUN pip install tool==3.0\n"})
        return tmp_path / "app"

    def test_every_package_is_pinned_with_its_hash(self, app: Path, index: dict[str, str]) -> None:
        done = seatrial(app, "image", "fix", "--lock", "requirements.lock", **index)

        assert (done.returncode, done.stdout) == (0, "")
        assert "requirements.lock: 2 packages pinned\n" in done.stderr
        text = (app / "requirements.lock").read_text()
        assert "\nleaf==1.0 \\\n    --hash=sha256:" in text
        assert "\ntool==3.0 \\\n    --hash=sha256:" in text
        again = seatrial(app, "image", "fix", "--lock", "requirements.lock", "--json", **index)
        assert json.loads(again.stdout) == {
            "findings": [],
            "lock": "requirements.lock",
            "packages": {"leaf": "1.0", "tool": "3.0"},
            "notes": [],
        }
        assert (app / "requirements.lock").read_text() == text

    def test_a_conflict_writes_nothing(self, app: Path, index: dict[str, str]) -> None:
        (app / "Dockerfile").write_text("FROM python:3.11-slim\nRUN pip install tool==3.0 leaf==2.0\n")
        done = seatrial(app.parent, "image", "fix", "app", "--lock", "x.lock", **index)

        assert (done.returncode, done.stdout) == (1, "")
        assert "app/Dockerfile:2:27: tool 3.0 needs leaf<2, but leaf==2.0 is asked for" in done.stderr
        assert not (app.parent / "x.lock").exists()

    def test_fixes_are_applied_before_locking(self, app: Path, index: dict[str, str]) -> None:
        (app / "Dockerfile").write_text("FROM python:3.11-slim\nRUN pip install tool==3.0 leaf==2.0\n")
        done = seatrial(app, "image", "fix", "--apply", "--lock", "pylock.toml", "--json", **index)
        answer = json.loads(done.stdout)

        assert (done.returncode, done.stderr) == (0, "")
        assert answer["applied"] in (["Pin tool to 4.0"], ["Pin leaf to 1.0"])
        assert (answer["changed"], answer["findings"]) == (["Dockerfile"], [])
        assert answer["packages"] in ({"leaf": "2.0", "tool": "4.0"}, {"leaf": "1.0", "tool": "3.0"})
        packages = tomllib.loads((app / "pylock.toml").read_text())["packages"]
        assert {one["name"]: one["version"] for one in packages} == answer["packages"]

    def test_what_was_applied_is_said_also_when_there_can_be_no_lock(
        self, app: Path, index: dict[str, str]
    ) -> None:
        (app / "Dockerfile").write_text("FROM python:3.11-slim\nRUN pip install tool==3.0 leaf==2.0\n")
        done = seatrial(
            app,
            "image",
            "fix",
            "--apply",
            "--keep",
            "tool",
            "--keep",
            "leaf",
            "--lock",
            "x.lock",
            "--json",
            **index,
        )

        assert done.returncode == 1
        assert json.loads(done.stdout)["applied"] == []
        assert "tool 3.0 needs leaf<2" in done.stderr
        assert not (app / "x.lock").exists()

    def test_the_python_has_to_be_known(self, tmp_path: Path, index: dict[str, str]) -> None:
        write(tmp_path / "bare", {"requirements.txt": "tool==3.0\n"})
        without = seatrial(tmp_path / "bare", "image", "fix", "--lock", "x.lock", **index)
        with_it = seatrial(
            tmp_path / "bare", "image", "fix", "--lock", "x.lock", "--target", "python=3.12", **index
        )

        assert without.returncode == 2
        assert "--target python=3.11" in without.stderr
        assert with_it.returncode == 0, with_it.stderr

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--lock", "x.lock", "--diff"], "one of them"),
            (["--lock", "none/x.lock"], "no such folder"),
            (["--lock", "pyproject.toml"], "a file of its own"),
        ],
    )
    def test_what_was_asked_wrongly(
        self, app: Path, index: dict[str, str], arguments: list[str], words: str
    ) -> None:
        done = seatrial(app, "image", "fix", *arguments, **index)

        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
