"""`seatrial image assemble`, `image inspect` and `cache` as a person calls them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support import bases, wheels

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    wheels.wheel(tmp_path / "house", "inner", "1.0")
    folder.mkdir()
    (folder / "requirements.txt").write_text("inner\n")
    (folder / "app.py").write_text("import inner\n")
    bases.base(tmp_path / "base")
    return folder


def seatrial(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    home = project.parent
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("UV_", "SEATRIAL_"))}
    env = {
        **kept, "UV_OFFLINE": "1", "UV_FIND_LINKS": str(home / "house"), "UV_NO_CONFIG": "1",
        "UV_CACHE_DIR": str(home / "uv"), "SEATRIAL_CACHE": str(home / "cache"), "SEATRIAL_HOME": str(home / "state"),
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "seatrial", *arguments], env=env, capture_output=True, text=True, check=False
    )


def test_a_requirements_file_is_enough(project: Path, tmp_path: Path) -> None:
    wanted = ["image", "assemble", str(project), "--base", str(tmp_path / "base"), "--no-bytecode"]
    done = seatrial(project, *wanted, "--oci", str(tmp_path / "out"), "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert {"digest", "size", "layers", "pushed_bytes", "seconds"} <= set(answer)
    assert {"digest", "size", "what", "reused"} == set(answer["layers"][0])
    assert answer["pushed_bytes"] == 0
    text = seatrial(project, *wanted, "--oci", str(tmp_path / "out"), "--explain")
    assert text.stdout == answer["digest"] + "\n"
    assert "reused  inner 1.0" in text.stderr
    assert seatrial(project, *wanted).stdout == answer["digest"] + "\n"
    shown = json.loads(seatrial(project, "image", "inspect", str(tmp_path / "out"), "--json").stdout)
    assert shown["digest"] == answer["digest"]
    assert "inner 1.0" in [layer["what"] for layer in shown["layers"]]
    assert "inner 1.0" in seatrial(project, "image", "inspect", str(tmp_path / "out")).stdout


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--push"], 2, "--tag REGISTRY/REPO:TAG --push"),
        (["--base", "debian bookworm"], 2, ""),
        (["--base", "./nowhere"], 1, "not an OCI image layout"),
        (["--image", "other"], 2, "there is no image 'other'"),
        (["--platform", "windows/amd64", "--base", "debian:bookworm"], 2, "linux/amd64"),
    ],
)
def test_what_cannot_be_is_said(project: Path, arguments: list[str], code: int, says: str) -> None:
    done = seatrial(project, "image", "assemble", str(project), *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_empty_folder_says_what_to_write(project: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = seatrial(project, "image", "assemble", str(tmp_path / "empty"))
    assert done.returncode == 2
    assert "requirements.txt" in done.stderr


def test_the_cache_is_shown_and_pruned(project: Path, tmp_path: Path) -> None:
    seatrial(project, "image", "assemble", str(project), "--base", str(tmp_path / "base"), "--no-bytecode")
    shown = json.loads(seatrial(project, "cache", "show", "--json").stdout)
    assert {"wheels", "layers", "bases", "resolutions"} <= set(shown["kinds"])
    assert "total" in seatrial(project, "cache", "show").stdout
    pruned = json.loads(seatrial(project, "cache", "prune", "--max-size", "0", "--json").stdout)
    assert pruned["removed_bytes"] == shown["bytes"]
    assert pruned["left"] == 0
    assert seatrial(project, "cache", "prune", "--max-size", "many").returncode == 2
