"""`seatrial image check` as a person or a script runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from support import wheels
from support.commands import seatrial
from support.image_checks import write

if TYPE_CHECKING:
    from pathlib import Path

PAIR = "RUN pip install torch==2.4.0 torchvision==0.20.1\n"
DOCKERFILE = "FROM python:3.11-slim\n" + PAIR


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write(tmp_path / "project", {"Dockerfile": DOCKERFILE})
    return tmp_path / "project"


def check(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    done = seatrial(folder, "image", "check", *arguments, "--offline", "--json")
    return done.returncode, json.loads(done.stdout)


def test_text_says_what_where_why_and_what_to_change(project: Path) -> None:
    done = seatrial(project, "image", "check", "--offline")

    assert done.returncode == 1
    assert done.stdout.startswith("Dockerfile:2:30: error[image/torch-pair] torchvision 0.20.1")
    assert "+RUN pip install torch==2.4.0 torchvision==0.19.0" in done.stdout
    assert "\x1b" not in done.stdout
    assert "--fix" not in done.stdout  # that is the option of another command
    assert done.stderr.splitlines() == [
        "1 file checked: 1 error",
        "1 finding can be fixed with `seatrial image fix`",
    ]


def test_json_has_the_shape_that_others_rely_on(project: Path) -> None:
    code, content = check(project)
    (finding,) = content["findings"]

    assert code == 1
    assert list(content) == ["findings", "checked", "summary"]
    assert content["checked"] == [{"path": "Dockerfile", "kind": "dockerfile"}]
    assert content["summary"] == {"error": 1, "warning": 0, "note": 0}
    assert {
        "rule",
        "severity",
        "path",
        "line",
        "column",
        "message",
        "cause",
        "source",
        "fix",
        "alternatives",
    } == set(finding)
    assert (finding["path"], finding["line"], finding["column"]) == ("Dockerfile", 2, 30)
    assert finding["source"].startswith("https://")
    assert set(finding["fix"]) == {"title", "safe", "edits"}
    assert set(finding["fix"]["edits"][0]) == {"path", "start", "end", "text"}
    assert len(finding["alternatives"]) >= 1


@pytest.mark.parametrize(
    ("files", "rule", "path"),
    [
        ({"Dockerfile": "FROM nvidia/cuda:10.2-cudnn7-devel-ubuntu18.04\nRUN true\n"}, "image/tag-removed", "Dockerfile"),
        ({"requirements.txt": "onnxruntime==1.17.3\nnumpy==2.0.2\n"}, "image/numpy-abi", "requirements.txt"),
        ({"pyproject.toml": '[project]\nname = "x"\nversion = "1"\ndependencies = ["torch==2.4.0", "torchvision==0.20.1"]\n'}, "image/torch-pair", "pyproject.toml"),
        ({"environment.yml": "dependencies:\n- python=3.11\n- pip:\n  - torch==2.4.0\n  - torchvision==0.20.1\n"}, "image/torch-pair", "environment.yml"),
        ({"docker/gpu/Dockerfile": DOCKERFILE}, "image/torch-pair", "docker/gpu/Dockerfile"),
        ({"app/Dockerfile": "FROM python:3.11\nCOPY req requirements.txt /\nRUN pip install -r requirements.txt\n", "app/requirements.txt": "torch==2.4.0\ntorchvision==0.20.1\n"}, "image/torch-pair", "app/requirements.txt"),
    ],
    ids=["tag", "requirements", "pyproject", "conda", "subfolder", "copied"],
)  # fmt: skip
def test_every_kind_of_file_is_looked_at(tmp_path: Path, files: dict[str, str], rule: str, path: str) -> None:
    write(tmp_path / "project", files)
    code, content = check(tmp_path / "project")

    assert code == 1
    assert (rule, path, "error") in {
        (one["rule"], one["path"], one["severity"]) for one in content["findings"]
    }


def test_several_dockerfiles_are_each_judged_with_what_they_install(tmp_path: Path) -> None:
    files = {
        "Dockerfile": DOCKERFILE,
        "Dockerfile.good": DOCKERFILE.replace("0.20.1", "0.19.0"),
        "other/Dockerfile": DOCKERFILE.replace("2.4.0", "2.3.1"),
        "requirements-dev.txt": "onnxruntime==1.17.3\nnumpy==2.0.2\n",
    }
    write(tmp_path / "project", files)
    code, content = check(tmp_path / "project")

    assert code == 1
    assert len(content["checked"]) == 4
    errors = {one["path"] for one in content["findings"] if one["severity"] == "error"}
    assert errors == {"Dockerfile", "other/Dockerfile", "requirements-dev.txt"}


def test_the_same_file_in_two_images_is_said_once(tmp_path: Path) -> None:
    dockerfile = "FROM python:3.1{}-slim\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n"
    files = {"a.Dockerfile": dockerfile.format(0), "b.Dockerfile": dockerfile.format(1)}
    write(tmp_path / "project", {**files, "requirements.txt": "torch==2.4.0\ntorchvision==0.20.1\n"})

    assert check(tmp_path / "project")[1]["summary"]["error"] == 1


def test_warnings_and_notes_alone_are_exit_code_0(project: Path) -> None:
    (project / "Dockerfile").write_text("FROM python:3.11-slim\nRUN pip install onnxruntime==1.17.3\n")
    code, content = check(project)

    assert (code, content["summary"]["error"]) == (0, 0)


def test_nothing_found_prints_nothing(project: Path) -> None:
    (project / "Dockerfile").write_text(
        "FROM python:3.11.9-slim-bookworm\nRUN pip install requests==2.32.3\n"
    )
    done = seatrial(project, "image", "check", "--offline")

    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "1 file checked: nothing found\n"


def test_a_target_decides_what_runs_there(project: Path) -> None:
    (project / "Dockerfile").write_text("FROM python:3.11-slim\nRUN pip install torch==2.6.0\n")

    assert check(project)[0] == 0
    code, content = check(project, "--target", "gpu=rtx5090")
    assert (code, content["findings"][0]["rule"]) == (1, "image/gpu-arch")
    code, content = check(project, "--target", "driver=470.57.02")
    assert (code, content["findings"][0]["rule"]) == (1, "image/driver")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["none"], "none: there is no such file or folder"),
        (["--target", "colour=red"], "not KEY=VALUE"),
        (["--target", "gpu=h1000"], "gpu=H100"),
        (["--target", "gpu=p55.48xlarge"], "p5.48xlarge"),
        (["--target", "driver=new"], "driver=535.104.05"),
        (["--target", "python=three"], "not a version"),
        (["--target", "platform=windows/amd64"], "linux/amd64"),
        (["--target", "glibc=old"], "glibc=2.31"),
        (["--offline", "--refresh"], "--refresh"),
        (["--json", "--format", "sarif"], "exclude each other"),
        (["--ofline"], "--offline"),
        (["Dockerfile"], "Dockerfile"),
    ],
)
def test_what_was_asked_wrongly_is_exit_code_2(project: Path, arguments: list[str], words: str) -> None:
    done = seatrial(project, "image", "check", *arguments)

    assert (done.returncode, done.stdout) == (2, "")
    assert words.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr


def test_a_folder_without_anything_says_what_was_looked_for(tmp_path: Path) -> None:
    write(tmp_path / "empty", {"notes.md": "hello\n"})
    done = seatrial(tmp_path / "empty", "image", "check", "--json")

    assert (done.returncode, done.stdout) == (2, "")
    for name in ("Dockerfile", "requirement", "pyproject.toml", "environment.yml"):
        assert name in done.stderr


def test_a_file_that_cannot_be_read_is_a_finding_and_the_rest_is_judged(project: Path) -> None:
    (project / "requirements.txt").write_bytes(b"torch==2.4.0\n\xff\xfe\n")
    code, content = check(project)

    assert code == 1
    assert {one["rule"] for one in content["findings"]} == {"source/not-utf8", "image/torch-pair"}


@pytest.mark.parametrize(
    "text", ["FROM\n", "FROM python:3.11\nRUN pip install torch==\n", 'FROM a\nRUN ["pip"\n']
)
def test_a_broken_dockerfile_is_no_fault_of_ours(project: Path, text: str) -> None:
    (project / "Dockerfile").write_text(text)
    done = seatrial(project, "image", "check", "--offline")

    assert done.returncode in (0, 1, 2)
    assert "fault in Seatrial" not in done.stderr


def test_findings_can_be_hidden_where_they_are(project: Path) -> None:
    (project / "Dockerfile").write_text(
        f"FROM python:3.11-slim\n# seatrial: disable=image/torch-pair\n{PAIR}"
    )

    assert check(project)[0] == 0


def test_paths_are_seen_from_where_the_command_runs(project: Path) -> None:
    done = seatrial(project.parent, "image", "check", "project", "--offline")
    inside = seatrial(project.parent, "image", "check", "-C", "project", "--offline")

    assert done.stdout.startswith("project/Dockerfile:2:30:")
    assert inside.stdout.startswith("Dockerfile:2:30:")


@pytest.mark.parametrize("form", ["sarif", "junit"])
def test_other_forms_are_whole_documents(project: Path, form: str) -> None:
    done = seatrial(project, "image", "check", "--offline", "--format", form)

    assert done.returncode == 1
    assert "image/torch-pair" in done.stdout
    assert done.stdout.startswith("<?xml" if form == "junit" else "{")


class TestResolving:
    """With an index: a folder of wheels."""

    @pytest.fixture
    def index(self, tmp_path: Path) -> dict[str, str]:
        house = tmp_path / "wheelhouse"
        wheels.wheel(house, "tool", "3.0", requires=("leaf<2",))
        wheels.wheel(house, "tool", "4.0", requires=("leaf>=2",))
        for version in ("1.0", "2.0"):
            wheels.wheel(house, "leaf", version)
        return {"UV_NO_INDEX": "1", "UV_OFFLINE": "1", "UV_FIND_LINKS": str(house)}

    def test_a_conflict_is_found_with_the_nearest_change(self, project: Path, index: dict[str, str]) -> None:
        (project / "Dockerfile").write_text("FROM python:3.11-slim\nRUN pip install tool==3.0 leaf==2.0\n")
        done = seatrial(project, "image", "check", "--json", **index)
        (finding,) = [one for one in json.loads(done.stdout)["findings"] if one["severity"] == "error"]

        assert done.returncode == 1
        assert finding["rule"] == "image/unsatisfiable"
        assert finding["message"] == "tool 3.0 needs leaf<2, but leaf==2.0 is asked for"
        titles = [one["title"] for one in (finding["fix"], *finding["alternatives"])]
        assert set(titles[:2]) == {"Pin leaf to 1.0", "Pin tool to 4.0"}
        assert check(project)[0] == 0  # --offline asks nobody

    def test_a_version_that_is_not_there_is_an_error(self, project: Path, index: dict[str, str]) -> None:
        (project / "Dockerfile").write_text("FROM python:3.11-slim\nRUN pip install leaf==1.5\n")
        done = seatrial(project, "image", "check", "--json", **index)

        assert json.loads(done.stdout)["findings"][0]["rule"] == "image/no-such-version"

    def test_no_code_of_the_project_is_run(self, project: Path, index: dict[str, str]) -> None:
        write(
            project,
            {
                "Dockerfile": "FROM python:3.11-slim\nCOPY . .\nRUN pip install . leaf==2.0\n",
                "setup.py": "import pathlib; pathlib.Path('ran').touch()\nfrom setuptools import setup\nsetup(name='evil', install_requires=['tool'])\n",
                "pyproject.toml": '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "evil"\nbackend-path = ["."]\n[project]\nname = "evil"\ndynamic = ["version", "dependencies"]\n',
                "evil.py": "import pathlib; pathlib.Path('ran').touch()\n",
                "uv.toml": "this is not TOML",
            },
        )  # fmt: skip
        done = seatrial(project, "image", "check", "--json", **index)

        assert done.returncode in (0, 1)
        assert not list(project.rglob("ran"))
