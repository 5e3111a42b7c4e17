"""Artifacts as files, zips and objects: what is in them, how they are called, and that they are whole or absent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.builds import artifacts
from seatrial.builds.artifacts import S3, Folder, Refused, Zip, collect, key, write
from seatrial.builds.view import View
from seatrial.cloud import s3
from seatrial.cloud.session import AwsError
from seatrial.errors import UsageError
from support.buckets import s3_server
from support.buildspecs import artifact, tree
from support.places import TESTS
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def aws() -> Iterator[Any]:
    with s3_server():
        yield s3.client()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    return tree(
        tmp_path / "work",
        "my-build-1/my-file-1.txt",
        "my-build-2/my-file-2.txt",
        "my-build-2/my-subdirectory/my-file-3.txt",
        "node_modules/a/index.js",
        "app.js",
        ".env",
    )


CASES: list[tuple[dict[str, Any], list[str]]] = [
    (
        {"files": ["**/*"]},
        [".env", "app.js", "my-build-1/my-file-1.txt", "my-build-2/my-file-2.txt",
         "my-build-2/my-subdirectory/my-file-3.txt", "node_modules/a/index.js"],
    ),
    ({"files": ["**/*"], "base_directory": "my-build*", "discard_paths": True}, ["my-file-1.txt", "my-file-2.txt", "my-file-3.txt"]),
    ({"files": ["**/*"], "base_directory": "my-build*"}, ["my-file-1.txt", "my-file-2.txt", "my-subdirectory/my-file-3.txt"]),
    ({"files": ["*/my-file-3.txt"], "base_directory": "my-build-2"}, ["my-subdirectory/my-file-3.txt"]),
    ({"files": ["*"], "base_directory": "./my-build-2/"}, ["my-file-2.txt"]),
    ({"files": ["**/*"], "exclude": ("**/node_modules/**/*", "**/.*/**/*", "my-*/**/*")}, ["app.js"]),
    ({"files": ["app.js", "nowhere.zip", "app.js"]}, ["app.js"]),
    ({"files": ["$WHERE/*.txt"]}, ["my-build-1/my-file-1.txt"]),
    ({"files": ["../app.js"], "base_directory": "my-build-1"}, ["app.js"]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "wanted"), CASES)
def test_what_is_taken(work: Path, spec: dict[str, Any], wanted: list[str]) -> None:
    files = spec.pop("files")
    assert list(collect(artifact(*files, **spec), work, {"WHERE": "my-build-1"}).files) == wanted


def test_log_is_codebuilds(work: Path) -> None:
    collected = collect(artifact("app.js", "nowhere.zip"), work, {})
    assert collected.log == (
        "Expanding base directory path: .",
        "Assembling file list",
        "Expanding .",
        "Expanding file paths for base directory .",
        "Assembling file list",
        "Expanding app.js",
        "Expanding nowhere.zip",
        "Skipping invalid file path nowhere.zip",
        "Found 1 file(s)",
    )
    assert collected.skipped == ("nowhere.zip",)


@pytest.mark.parametrize(
    ("spec", "message", "cause"),
    [
        ({"files": ["nowhere.zip"]}, "no matching artifact paths found", "nowhere.zip"),
        ({"files": ["my-build-1"]}, "no matching artifact paths found", "my-build-1/**/*"),
        ({"files": ["app.js"], "exclude": ("*",)}, "no matching artifact paths found", "exclude-paths"),
        (
            {"files": ["*"], "base_directory": "cdk.out"},
            "no matching base directory path found for cdk.out",
            "",
        ),
        ({"files": ["/etc/hostname"]}, "no matching artifact paths found", ""),
        ({"files": ["../../*"]}, "no matching artifact paths found", ""),
    ],
)
def test_refusals_are_codebuilds(work: Path, spec: dict[str, Any], message: str, cause: str) -> None:
    files = spec.pop("files")
    with pytest.raises(Refused) as told:
        collect(artifact(*files, **spec), work, {})
    assert (told.value.code, told.value.message) == ("CLIENT_ERROR", message)
    assert cause in (told.value.why or "")
    assert told.value.where == "buildspec.yml:9:1"


def test_files_of_one_name_are_told_when_paths_are_discarded(work: Path) -> None:
    tree(work, "a/x", "b/x")
    collected = collect(artifact("*/x", discard_paths=True), work, {})
    assert collected.files == ("x",)
    assert collected.replaced == ("x",)
    assert collected.found[0].place.endswith("/b/x")


def test_absolute_paths_reach_where_the_build_reaches(work: Path, tmp_path: Path) -> None:
    tree(tmp_path, "root/tmp/report.log")
    view = View({"/": tmp_path / "root", "/src": work})
    assert collect(artifact("/tmp/report.log"), work, {}, view=view, seen="/src").files == ("tmp/report.log",)


def test_zip_keeps_modes_links_and_names_and_is_the_same_again(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    (work / "app.js").chmod(0o755)
    (work / "link").symlink_to("app.js")
    odd = os.fsdecode(b"caf\xe9\nx")
    (work / odd).write_text("odd")
    spec = artifact("**/*", enable_symlinks=True)
    first = write(collect(spec, work, {}), Zip(tmp_path / "a.zip"))
    for path in work.rglob("*"):
        os.utime(path, (5e8, 5e8), follow_symlinks=False)
    write(collect(spec, work, {}), Zip(tmp_path / "b.zip"))
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    assert first.files == 8
    with zipfile.ZipFile(tmp_path / "a.zip") as opened:
        assert opened.testzip() is None
        modes = {info.filename: info.external_attr >> 16 for info in opened.infolist()}
        assert not any(name.endswith("/") for name in modes)
        assert oct(modes["app.js"]) == "0o100755"
        assert oct(modes["link"]) == "0o120777"
        assert opened.read("link") == b"app.js"
        assert {info.date_time for info in opened.infolist()} == {(2023, 11, 14, 22, 13, 20)}
    assert b"caf\xe9\nx" in (tmp_path / "a.zip").read_bytes()


def test_links_are_files_unless_they_are_asked_for(work: Path, tmp_path: Path) -> None:
    (work / "link").symlink_to("app.js")
    (work / "folder").symlink_to("my-build-1")
    write(collect(artifact("link", "folder/*"), work, {}), Folder(tmp_path / "out"))
    assert (tmp_path / "out/link").read_text() == "app.js"
    assert not (tmp_path / "out/link").is_symlink()
    assert (tmp_path / "out/folder/my-file-1.txt").is_file()


def test_what_is_no_file_and_what_went_away(work: Path, tmp_path: Path) -> None:
    os.mkfifo(work / "pipe")
    collected = collect(artifact("*"), work, {})
    assert "pipe" not in collected.files
    (work / ".env").unlink()
    os.mkfifo(work / ".env")  # a pipe that nobody writes to must not hold us up
    written = write(collected, Zip(tmp_path / "a.zip"))
    assert (written.files, written.gone) == (1, (".env",))


def test_a_folder_swapped_for_a_link_is_not_followed(work: Path, tmp_path: Path) -> None:
    tree(tmp_path / "secret", "my-file-1.txt")
    collected = collect(artifact("my-build-1/*", "app.js"), work, {})
    (work / "my-build-1").rename(work / "aside")
    (work / "my-build-1").symlink_to(tmp_path / "secret")
    written = write(collected, Folder(tmp_path / "out"))
    assert written.gone == ("my-build-1/my-file-1.txt",)
    assert not (tmp_path / "out/my-build-1/my-file-1.txt").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file(work: Path, tmp_path: Path) -> None:
    (work / "app.js").chmod(0)
    with pytest.raises(Refused, match=r"app\.js: permission denied"):
        write(collect(artifact("app.js"), work, {}), Zip(tmp_path / "a.zip"))
    assert not (tmp_path / "a.zip").exists()


def test_a_sparse_file_stays_sparse_in_a_folder(work: Path, tmp_path: Path) -> None:
    with (work / "disk.img").open("wb") as out:
        out.truncate(64 << 20)
    write(collect(artifact("disk.img"), work, {}), Folder(tmp_path / "out"))
    made = (tmp_path / "out/disk.img").stat()
    assert made.st_size == 64 << 20
    assert made.st_blocks * 512 < 1 << 20


def test_a_folder_that_has_something_in_it_is_left_alone(work: Path, tmp_path: Path) -> None:
    tree(tmp_path / "out", "mine")
    with pytest.raises(UsageError):
        write(collect(artifact("app.js"), work, {}), Folder(tmp_path / "out"))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"name": "app", "packaging": "ZIP"}, "app.zip"),
        ({"name": "app.zip", "packaging": "ZIP", "path": "MyArtifacts"}, "MyArtifacts/app.zip"),
        ({"name": "app.zip", "path": "MyArtifacts", "namespace": "BUILD_ID", "build_id": "b-1"}, "MyArtifacts/b-1/app.zip"),
        ({"name": "/", "path": "", "namespace": "BUILD_ID", "build_id": "b-1"}, "b-1"),
        ({"name": "app", "packaging": "ZIP", "path": "p", "s3_prefix": "pre", "build_id": "b-1"}, "pre/b-1/app.zip"),
    ],
)  # fmt: skip
def test_keys(given: dict[str, Any], wanted: str) -> None:
    assert key(**given) == wanted


def test_name_is_put_together_by_a_shell() -> None:
    def shell(text: str) -> str:
        return subprocess.run(
            ["sh", "-c", f'printf %s "{text}"'], capture_output=True, text=True, check=True
        ).stdout

    assert artifacts.name(artifact("x", name="app-$(echo 1)-${NONE:-x}"), shell) == "app-1-x"
    assert artifacts.name(artifact("x"), shell) == ""
    with pytest.raises(Refused, match="invalid artifact name"):
        artifacts.name(artifact("x", name="../$NONE"), shell)


def test_zip_in_s3_in_parts(work: Path, tmp_path: Path, aws: Any) -> None:
    (work / "big").write_bytes(os.urandom((20 << 20) + 3))
    written = write(collect(artifact("**/*"), work, {}), S3(bucket="artifacts", key="b/app.zip", client=aws))
    assert written.place == "s3://artifacts/b/app.zip"
    size = s3.download(aws, s3.parse(written.place), tmp_path / "back.zip")
    assert size > 20 << 20
    with zipfile.ZipFile(tmp_path / "back.zip") as opened:
        assert opened.testzip() is None
        assert opened.read("big") == (work / "big").read_bytes()
    there = aws.head_object(Bucket="artifacts", Key="b/app.zip")
    assert there["ETag"].strip('"').endswith("-3")
    assert there["ContentType"] == "application/zip"


def test_folder_in_s3_with_a_key_of_kms(work: Path, aws: Any) -> None:
    target = S3(
        bucket="artifacts",
        key="files/",
        packaging="NONE",
        kms_key="alias/mine",
        owner_access="FULL",
        client=aws,
    )
    collected = collect(artifact("my-build-2/**/*"), work, {}, packaging="NONE")
    assert write(collected, target).files == 2
    found = [one.key for one in s3.listing(aws, s3.Place("artifacts", "files/"))]
    assert found == ["files/my-build-2/my-file-2.txt", "files/my-build-2/my-subdirectory/my-file-3.txt"]
    there = aws.head_object(Bucket="artifacts", Key=found[0])
    assert (there["ServerSideEncryption"], there["SSEKMSKeyId"]) == ("aws:kms", "alias/mine")


def test_no_such_bucket(work: Path, aws: Any) -> None:
    with pytest.raises(AwsError) as told:
        write(collect(artifact("app.js"), work, {}), S3(bucket="nobodys", key="x.zip", client=aws))
    assert told.value.code == "NoSuchBucket"


def test_a_build_that_fails_while_it_uploads_leaves_nothing(work: Path, aws: Any) -> None:

    def fail() -> None:
        with s3.Upload(aws, s3.Place("artifacts", "half")) as out:
            out.write(os.urandom(9 << 20))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not s3.exists(aws, s3.Place("artifacts", "half"))
    assert "Uploads" not in aws.list_multipart_uploads(Bucket="artifacts")


_WRITER = """
import os, sys
from pathlib import Path
from seatrial.builds.artifacts import Folder, Zip, collect, write
from support.buildspecs import artifact
work, out, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
write(collect(artifact("**/*"), work, {}), Zip(out) if kind == "zip" else Folder(out))
"""


@pytest.mark.parametrize("kind", ["zip", "folder"])
def test_kill_in_the_middle_leaves_no_half_artifact(tmp_path: Path, kind: str) -> None:
    work = tmp_path / "work"
    work.mkdir()
    piece = os.urandom(1 << 20)
    with (work / "big").open("wb") as big:
        for _ in range(200):
            big.write(piece)
    out = tmp_path / "out" / "artifact"
    out.parent.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(work), str(out), kind],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
    )
    try:

        def begun() -> bool:
            return any(path.is_file() and path.stat().st_size > 1 << 20 for path in out.parent.rglob("*"))

        until(begun, "the artifact is being written", seconds=60)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not out.exists()
