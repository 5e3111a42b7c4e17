"""`seatrial image bases` as a person and a script use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.images import registry
from support.layouts import image
from support.registries import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("registry")
    with running(folder / "data") as host, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEATRIAL_CACHE", str(folder / "cache"))
        image(folder / "image", seed=1)
        registry.push(
            folder / "image",
            f"{host}/library/python:3.12-slim",
            tags=["3.12.13-slim-trixie", "3.10.20-slim-trixie"],
        )
        yield host


def _seatrial(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    places = {name: str(tmp_path / name) for name in ("HOME", "SEATRIAL_HOME", "SEATRIAL_CACHE")}
    return subprocess.run(
        [sys.executable, "-m", "seatrial", "image", "bases", *arguments],
        env={**os.environ, **places},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _project(folder: Path, requirements: str, dockerfile: str = "") -> Path:
    folder.mkdir()
    (folder / "requirements.txt").write_text(requirements)
    if dockerfile:
        (folder / "Dockerfile").write_text(dockerfile)
    return folder


def _data(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_person_sees_the_best_base_first_and_why(tmp_path: Path) -> None:
    project = _project(
        tmp_path / "app",
        "torch==2.5.1\nflash-attn==2.7.0.post2\n",
        "FROM nvidia/cuda:12.1-devel-ubuntu20.04\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\n",
    )
    done = _seatrial(tmp_path, str(project), "--target", "gpu=H100,driver=535", "--limit", "2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "1. pytorch/pytorch:2.5.1-cuda12.4-cudnn9-devel  size not known"
    assert "     + torch 2.5.1 is inside" in lines
    assert sum(line[0].isdigit() for line in lines) == 2
    assert "\x1b" not in done.stdout
    assert "now         nvidia/cuda:12.1-devel-ubuntu20.04: removed" in done.stderr
    assert "flash-attn is compiled" in done.stderr


def test_a_script_gets_data_and_nothing_else(tmp_path: Path) -> None:
    project = _project(tmp_path / "app", "torch==2.7.1\n", "FROM acme/base:1\nRUN pip install torch==2.7.1\n")
    done = _seatrial(tmp_path, str(project), "--json")
    answer = _data(done)
    assert done.stderr == ""
    assert answer["wanted"]["torch"] == "2.7.1"
    assert answer["bases"] == [{"reference": "acme/base:1", "contents": None}]
    first = answer["candidates"][0]
    assert first["contents"]["packages"]["torch"] == "2.7.1"
    assert first["behind"] == ""
    assert first["contents"]["sources"]


def test_no_base_fits(tmp_path: Path) -> None:
    project = _project(tmp_path / "app", "torch==2.14.1\n")
    done = _seatrial(tmp_path, str(project), "--target", "driver=450.80.02")
    assert done.returncode == 1
    assert done.stdout == ""
    assert "no base in the catalog fits" in done.stderr


def test_a_server(tmp_path: Path) -> None:
    project = _project(tmp_path / "app", "boto3\n")
    answer = _data(_seatrial(tmp_path, str(project), "--for", "vllm", "--json"))
    assert all("vllm" in one["contents"]["packages"] for one in answer["candidates"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--target", "colour=red"], "colour=red"),
        (["--target", "gpu=hopper9000"], "hopper9000"),
        (["--target", "python=snake"], "snake"),
        (["no-such-folder"], "no-such-folder"),
        (["--write"], "--refresh"),
        (["--refresh", "--repository", "acme/app"], "acme/app"),
    ],
)
def test_what_is_wrong_with_the_command_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    done = _seatrial(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_catalog_is_listed(tmp_path: Path) -> None:
    done = _seatrial(tmp_path, "--list")
    assert done.returncode == 0
    assert "pytorch/pytorch" in done.stdout.splitlines()
    assert "nvcr.io/nvidia/pytorch" in _data(_seatrial(tmp_path, "--list", "--json"))["repositories"]


def test_a_refresh_shows_and_then_keeps_what_a_registry_has(mirror: str, tmp_path: Path) -> None:
    shown = _seatrial(tmp_path, "--refresh", "--repository", "python", "--registry", mirror)
    assert shown.returncode == 0, shown.stderr
    assert "3 tags" in shown.stdout
    assert "nothing was written" in shown.stderr
    assert not (tmp_path / "SEATRIAL_HOME" / "facts").exists()

    kept = _seatrial(
        tmp_path, "--refresh", "--repository", "python", "--registry", mirror, "--sizes", "--write", "--json"
    )
    answer = _data(kept)
    assert answer["written"].endswith("facts/catalog/tags.json")

    project = _project(tmp_path / "app", "pandas\n")
    ranked = _seatrial(tmp_path, str(project), "--target", "python=3.12")
    assert ranked.stdout.splitlines()[0] == "1. python:3.12.13-slim-trixie  ≈0.4 MB compressed"
    assert "bookworm" not in ranked.stdout, "the registry listed none"


def test_a_registry_that_lacks_one_repository_is_told_apart(mirror: str, tmp_path: Path) -> None:
    done = _seatrial(
        tmp_path,
        "--refresh",
        "--repository",
        "python",
        "--repository",
        "pytorch/pytorch",
        "--registry",
        mirror,
        "--json",
    )
    assert done.returncode == 1
    answer = _data(done)
    assert [one["repository"] for one in answer["differences"]] == ["python"]
    assert [one["repository"] for one in answer["failed"]] == ["pytorch/pytorch"]


def test_help_has_an_example_and_the_exit_codes(tmp_path: Path) -> None:
    done = _seatrial(tmp_path, "--help")
    assert "Example: seatrial image bases" in done.stdout
    assert "Exit codes" in done.stdout
