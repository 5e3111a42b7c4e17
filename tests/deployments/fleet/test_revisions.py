"""Revisions: the same content is the same revision, and stays as it was."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from seatrial.deployments import bundles, revisions
from seatrial.errors import SeatrialError, UsageError
from support.buckets import s3_server

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.deployments.revisions import Revision


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "empty").mkdir(parents=True)
    (folder / "appspec.yml").write_text("version: 0.0\nos: linux\n")
    (folder / "link").symlink_to("appspec.yml")
    return folder


def register(home: Path, location: object, kind: str = "directory", version: str = "") -> Revision:
    return revisions.register(home, "web", str(location), kind, version=version, now=1.0)


def test_a_revision_stays_as_it_was_when_its_folder_changes(tmp_path: Path, source: Path) -> None:
    first = register(tmp_path, source)
    again = register(tmp_path, source)
    (source / "appspec.yml").write_text("changed")
    changed = register(tmp_path, source)

    assert first == again
    assert changed.id != first.id
    kept = tmp_path / "deployments/bundles" / first.digest / "bundle"
    assert first.kept == str(kept)
    assert (kept / "appspec.yml").read_text() == "version: 0.0\nos: linux\n"
    assert (kept / "link").readlink().name == "appspec.yml"
    assert (kept / "empty").is_dir()
    assert revisions.load(tmp_path, "web", first.id[:6]).id == first.id


@pytest.mark.parametrize("change", ["mode", "name", "link", "folder"])
def test_the_digest_tells_everything_apart_that_is_deployed(source: Path, change: str) -> None:
    before = bundles.digest_of(source)
    if change == "mode":
        (source / "appspec.yml").chmod(0o755)
    elif change == "name":
        (source / "appspec.yml").rename(source / "appspec.yaml")
    elif change == "link":
        (source / "link").unlink()
        (source / "link").symlink_to("elsewhere")
    else:
        (source / "empty").rmdir()

    assert bundles.digest_of(source) != before


def test_the_digest_of_a_folder_does_not_depend_on_times(source: Path) -> None:
    before = bundles.digest_of(source)
    os.utime(source / "appspec.yml", (1, 1))

    assert bundles.digest_of(source) == before


def test_a_commit_of_a_repository_is_kept_as_a_folder(tmp_path: Path, source: Path) -> None:
    git = ["git", "-C", str(source), "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "one"], ["tag", "v1"]):
        subprocess.run([*git, *arguments], check=True)
    (source / "appspec.yml").write_text("later")
    subprocess.run([*git, "commit", "-qam", "two"], check=True)

    found = register(tmp_path, source, "git", "v1")

    kept = tmp_path / "deployments/bundles" / found.digest / "bundle"
    assert (found.type, len(found.version)) == ("directory", 40)
    assert (kept / "appspec.yml").read_text() == "version: 0.0\nos: linux\n"
    assert not (kept / ".git").exists()


def test_an_object_of_s3_is_kept_though_it_changes_there(tmp_path: Path) -> None:
    with s3_server():
        from seatrial.cloud import s3

        etag = s3.client().put_object(Bucket="sources", Key="app.zip", Body=b"one")["ETag"].strip('"')
        found = register(tmp_path, "s3://sources/app.zip", "zip")
        s3.client().put_object(Bucket="sources", Key="app.zip", Body=b"two")
        later = register(tmp_path, "s3://sources/app.zip", "zip")
        with pytest.raises(SeatrialError, match="Expected deployment artifact bundle etag"):
            register(tmp_path, f"s3://sources/app.zip?etag={etag}", "zip")
        with pytest.raises(SeatrialError, match="no object in it"):
            register(tmp_path, "s3://sources", "zip")

    assert found.id != later.id
    assert (tmp_path / "deployments/bundles" / found.digest / "bundle").read_bytes() == b"one"


def test_what_cannot_be_a_bundle_is_refused_and_leaves_nothing(tmp_path: Path, source: Path) -> None:
    os.mkfifo(source / "pipe")

    with pytest.raises(UsageError, match="neither file, folder nor link"):
        register(tmp_path, source)
    with pytest.raises(UsageError, match="there is no such bundle"):
        register(tmp_path, tmp_path / "nothing")
    with pytest.raises(UsageError, match="the bundle is no zip"):
        register(tmp_path, source, "zip")
    with pytest.raises(UsageError, match="has no versions"):
        register(tmp_path, source, version="v1")
    with pytest.raises(SeatrialError):
        register(tmp_path, tmp_path / "nothing", "git")
    assert list((tmp_path / "deployments/bundles").iterdir()) == []
    with pytest.raises(UsageError, match="no revision 'r-1'"):
        revisions.load(tmp_path, "web", "r-1")
