"""A build that fails is repaired, at most three times, and the user's files stay as they are unless --write is given."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support import dockerfiles

BROKEN = Path(__file__).parent / "broken"
# What changes in projects that need no network; bench/broken_builds.py builds all of them.
REPAIRED = {
    "wrong-case": ("Dockerfile", "+COPY src/main.py ./main.py"),
    "windows-script": ("setup.sh", "+#!/bin/sh"),
    "not-executable": ("scripts/prepare.sh", "new mode 100755"),
}


def _files(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mode)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("name", REPAIRED)
def test_a_broken_project_builds_from_a_patched_copy(name: str, tmp_path: Path) -> None:
    base = dockerfiles.base(tmp_path / "base")
    folder = tmp_path / "work"
    shutil.copytree(BROKEN / name, folder)
    before = _files(folder)
    with dockerfiles.ready("buildah", tmp_path / "engine") as environ:
        answer = dockerfiles.build(folder, base, "--builder=buildah", **environ)
    assert answer["code"] == 0, answer.get("log") or answer["error"]
    assert _files(folder) == before
    (attempt,) = answer["attempts"]
    path, line = REPAIRED[name]
    assert f"diff --git a/{path} b/{path}" in attempt["diff"]
    assert line in attempt["diff"].replace("\r", "")
    assert attempt["evidence"]["text"]
    assert attempt["helped"] is True
    assert answer["diff"] == attempt["diff"]


def test_repairs_are_written_on_request_and_their_diff_is_one_for_git(tmp_path: Path) -> None:
    base = dockerfiles.base(tmp_path / "base")
    folder = tmp_path / "work"
    shutil.copytree(BROKEN / "misspelt-instruction", folder)
    before = _files(folder)
    with dockerfiles.ready("buildah", tmp_path / "engine") as environ:
        answer = dockerfiles.build(
            folder, base, "--builder=buildah", "--write", "--diff=../repairs.diff", **environ
        )
    assert answer["written"] == ["Dockerfile"]
    assert [key for key, value in _files(folder).items() if value != before[key]] == ["Dockerfile"]
    shutil.copytree(BROKEN / "misspelt-instruction", tmp_path / "again")
    subprocess.run(["git", "apply", "../repairs.diff"], cwd=tmp_path / "again", check=True)
    assert _files(tmp_path / "again") == _files(folder)


def test_what_nobody_can_repair_stops_with_its_cause(tmp_path: Path) -> None:
    base = dockerfiles.base(tmp_path / "base")
    folder = tmp_path / "work"
    shutil.copytree(BROKEN / "file-absent", folder)
    with dockerfiles.ready("buildah", tmp_path / "engine") as environ:
        answer = dockerfiles.build(folder, base, "--builder=buildah", **environ)
    assert (answer["code"], answer["digest"], answer["attempts"]) == (1, None, [])
    assert answer["cause"]["id"] == "dockerfile-copy-missing"
    assert "weights.safetensors" in answer["cause"]["evidence"]["text"]


def test_no_fix_is_tried_twice_and_one_that_does_not_help_is_taken_back(tmp_path: Path) -> None:
    """The script is there with Windows line ends, and it fails of the same message without them."""
    base = dockerfiles.base(tmp_path / "base")
    folder = dockerfiles.project(
        tmp_path / "work", "FROM python:3.11-slim\nCOPY run.sh /\nRUN cat /run.sh; echo '/bin/sh^M: bad interpreter: No such file or directory'; false\n",
        run_sh=b"#!/bin/sh\r\n",
    )  # fmt: skip
    with dockerfiles.ready("buildah", tmp_path / "engine") as environ:
        answer = dockerfiles.build(folder, base, "--builder=buildah", **environ)
    assert answer["code"] == 1
    diffs = [one["diff"] for one in answer["attempts"]]
    assert len(diffs) == len(set(diffs)) <= 3
    assert [one["helped"] for one in answer["attempts"]] == [False] * len(diffs)
    assert diffs
    assert answer["diff"] == ""


def test_without_repair_it_fails_at_once(tmp_path: Path) -> None:
    base = dockerfiles.base(tmp_path / "base")
    folder = tmp_path / "work"
    shutil.copytree(BROKEN / "wrong-case", folder)
    with dockerfiles.ready("buildah", tmp_path / "engine") as environ:
        answer = dockerfiles.build(folder, base, "--builder=buildah", "--no-repair", **environ)
    assert (answer["code"], answer["attempts"]) == (1, [])
    assert answer["cause"]["id"] == "dockerfile-copy-missing"
