"""Versions of a service: copies that are known by their content and kept as long as they are needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from seatrial.config import Service
from seatrial.errors import SeatrialError, UsageError
from seatrial.services import revisions

if TYPE_CHECKING:
    from pathlib import Path


def _service(**values: Any) -> Service:
    return msgspec.convert({"command": ["python", "app.py"], **values}, Service)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    (folder / "app.py").write_text("print('hello')")
    (folder / "data" / "model.bin").write_bytes(b"weights")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / "latest").symlink_to("data/model.bin")
    return folder


def test_a_copy_is_known_by_what_is_in_it_and_how_it_is_started(tmp_path: Path, project: Path) -> None:
    one = revisions.from_command(tmp_path, "svc", project, _service())
    before = os.umask(0o077)
    try:
        (project / "app.py").touch()
        assert revisions.from_command(tmp_path, "svc", project, _service()) == one
        other_place = revisions.from_command(tmp_path, "other", project, _service())
    finally:
        os.umask(before)
    assert other_place.digest == one.digest
    copy = tmp_path / "services" / "svc" / "revisions" / one.id
    assert one.cwd == str(copy)
    assert (copy / "latest").read_bytes() == b"weights"
    assert [oct((copy / name).stat().st_mode & 0o777) for name in ("app.py", "run.sh", "data")] == [
        "0o444",
        "0o555",
        "0o755",
    ]
    ids = {one.id}
    for service in (_service(command=["python", "other.py"]), _service(env={"LEVEL": "1"})):
        ids.add(revisions.from_command(tmp_path, "svc", project, service).id)
    (project / "app.py").write_text("print('bye')")
    ids.add(revisions.from_command(tmp_path, "svc", project, _service()).id)
    assert len(ids) == 4
    assert (copy / "app.py").read_text() == "print('hello')"
    assert revisions.load(tmp_path, "svc", one.id[:9]).id == one.id


def test_what_is_no_part_of_a_project_stays_out_and_its_program_is_found(
    tmp_path: Path, project: Path
) -> None:
    for name in (".git/HEAD", ".venv/bin/python", "__pycache__/app.pyc", "notes/secret.txt"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(name)
    (project / ".dockerignore").write_text("notes\n")
    one = revisions.from_command(tmp_path, "svc", project, _service(command=[".venv/bin/python", "app.py"]))
    copy = tmp_path / "services" / "svc" / "revisions" / one.id
    assert sorted(path.name for path in copy.iterdir()) == ["app.py", "data", "latest", "run.sh"]
    assert one.argv == (str(project / ".venv/bin/python"), "app.py")
    assert revisions.from_command(tmp_path, "svc", project, _service(command=["./run.sh"])).argv == (
        "./run.sh",
    )


@pytest.mark.parametrize(
    ("service", "said"), [({"command": []}, "names no program"), ({"command": ["bin/gone"]}, "there is no program 'bin/gone'")]
)  # fmt: skip
def test_a_service_without_a_program_is_refused(
    tmp_path: Path, project: Path, service: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        revisions.from_command(tmp_path, "svc", project, _service(**service))
    assert revisions.every(tmp_path, "svc") == []
    assert not list((tmp_path / "services" / "svc" / "revisions").glob(".new-*"))


def test_pipes_are_refused(tmp_path: Path, project: Path) -> None:
    os.mkfifo(project / "pipe")
    with pytest.raises(SeatrialError, match="neither file, folder nor link"):
        revisions.from_command(tmp_path, "svc", project, _service())


def test_the_latest_and_those_that_are_used_are_kept(tmp_path: Path, project: Path) -> None:
    made = []
    for number in range(revisions.KEPT + 3):
        (project / "app.py").write_text(str(number))
        made.append(revisions.from_command(tmp_path, "svc", project, _service()).id)
    removed = revisions.prune(tmp_path, "svc", {made[0]})
    assert removed == made[2:0:-1]
    assert {one.id for one in revisions.every(tmp_path, "svc")} == {made[0], *made[3:]}
    store = tmp_path / "services" / "svc" / "revisions"
    assert {path.name for path in store.iterdir() if path.is_dir()} == {made[0], *made[3:]}
    with pytest.raises(UsageError, match="there is no revision"):
        revisions.load(tmp_path, "svc", made[1])
    with pytest.raises(UsageError, match="several revisions fit"):
        revisions.load(tmp_path, "svc", "r-")
