"""The doctor tries things: what works is ok, what does not says why and how to get it, and nothing stays behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from seatrial.doctor import CHECKS, Check, examine, machine, programs
from seatrial.doctor.result import ok
from seatrial.errors import DONE, MISSING
from support.envoys import need_envoy

GIB = 1 << 30
Usage = namedtuple("Usage", "total used free")  # noqa: PYI024 - what shutil.disk_usage gives


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEATRIAL_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("SEATRIAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def programs_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first folder on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def put(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def doctor(*options: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "seatrial", "doctor", *options],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_exit_code_and_the_data_say_the_same() -> None:
    done = doctor("--json")
    report: dict[str, Any] = json.loads(done.stdout)

    assert done.returncode == (DONE if report["ready"] else MISSING)
    assert [one["id"] for one in report["checks"]] == [one.id for one in CHECKS]
    working = {one["id"] for one in report["checks"] if one["status"] in ("ok", "limited")}
    needed = {one["id"] for one in report["checks"] if one["needed"]}
    assert report["ready"] == (needed <= working)
    assert {"python", "uv"} <= working
    for one in report["checks"]:
        assert one["purpose"]
        assert bool(one["get"]) == (one["status"] != "ok"), one


def test_what_is_missing_is_named_with_the_command_that_brings_it(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    done = doctor(PATH=str(empty))

    assert done.returncode == MISSING
    lines = done.stdout.splitlines()
    assert any(line.split()[:2] == ["missing", "bwrap"] for line in lines)
    advice = lines[lines.index("`seatrial ship` needs:") :]
    assert any(line.split()[0] == "bwrap" and "bubblewrap" in line for line in advice)


def test_no_server_and_no_file_stays_behind(tmp_path: Path) -> None:
    doctor()

    left = [
        line
        for process in Path("/proc").glob("[0-9]*/cmdline")
        if str(tmp_path).encode() in (line := _content(process))
    ]
    assert left == []
    assert list(tmp_path.glob("seatrial-doctor-*")) == []


@pytest.mark.parametrize("name", ["docker-registry", "haproxy", "envoy", "bwrap"])
def test_a_program_that_is_there_and_works_is_ok(name: str) -> None:
    if name == "envoy":
        need_envoy()
    elif shutil.which(name) is None and not Path("/usr/sbin", name).exists():
        pytest.skip(f"{name} is not installed")
    (result,) = examine([one for one in CHECKS if one.id == name]).checks
    if name == "bwrap" and result.status == "broken":
        pytest.skip(f"bwrap may not make namespaces here: {result.detail}")

    assert result.status in ("ok", "limited"), result.detail
    assert result.version[0].isdigit()


@pytest.mark.parametrize(
    ("name", "probe"),
    [
        ("docker-registry", programs.registry),
        ("haproxy", programs.haproxy),
        ("envoy", programs.envoy),
        ("bwrap", programs.bwrap),
    ],
)
def test_a_program_that_is_there_and_does_not_work_is_broken(
    programs_folder: Path, name: str, probe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEATRIAL_ENVOY", str(programs_folder / "envoy"))  # it may also be a Python package
    put(
        programs_folder,
        name,
        'case "$1" in --version|-v) echo "x 9.8.7"; exit 0;; esac; echo no luck >&2; exit 7',
    )
    (result,) = examine([Check(name, "is tried", probe, needed=True, get="replace it")]).checks
    if "user namespace" in result.detail:
        pytest.skip(f"what {name} needs is not here: {result.detail}")

    assert result.status == "broken"
    assert result.version == "9.8.7"
    assert "no luck" in result.detail
    assert result.get


def test_one_failure_does_not_hide_the_others() -> None:
    def fail() -> Any:
        raise PermissionError(13, "Permission denied", "/x")

    report = examine([Check("bad", "fails", fail, needed=True, get="do this"), Check("good", "works", ok)])

    assert [(one.status, one.get) for one in report.checks] == [("broken", "do this"), ("ok", "")]
    assert not report.ready


def test_what_is_only_useful_does_not_stop_anybody() -> None:
    def fail() -> Any:
        raise OSError(2, "No such file or directory", "/x")

    assert examine([Check("extra", "is nice", fail), Check("good", "works", ok, needed=True)]).ready


@pytest.mark.parametrize(("free", "status"), [(100 * GIB, "ok"), (2 * GIB, "limited"), (GIB // 2, "broken")])
def test_room_for_the_cache_is_looked_at(monkeypatch: pytest.MonkeyPatch, free: int, status: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: Usage(200 * GIB, 0, free))
    answer = machine.cache()

    assert answer.status == status
    assert f"{free / GIB:.1f} GiB" in answer.detail


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError:
        return b""
