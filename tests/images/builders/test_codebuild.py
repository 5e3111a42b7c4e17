"""CodeBuild as far as moto goes: it starts builds and keeps objects, and the test plays the machine that builds."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.cloud import session
from seatrial.errors import UsageError
from seatrial.images import layout as oci
from seatrial.images.builders import codebuild
from seatrial.images.builders.model import Request
from seatrial.images.outputs import archive
from seatrial.images.outputs.names import name_of
from support.buckets import s3_server
from support.debian import Item, image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A project with a bucket, and one without."""
    with s3_server():
        client = session.client("codebuild", "us-east-1")
        common: dict[str, Any] = {
            "source": {"type": "GITHUB", "location": "https://github.com/example/app.git"},
            "environment": {"type": "LINUX_CONTAINER", "image": "aws/codebuild/standard:7.0", "computeType": "BUILD_GENERAL1_SMALL"},
            "serviceRole": "arn:aws:iam::123456789012:role/service-role/build-role",
        }  # fmt: skip
        client.create_project(name="with-bucket", artifacts={"type": "S3", "location": "artifacts"}, **common)
        client.create_project(name="without-bucket", artifacts={"type": "NO_ARTIFACTS"}, **common)
        monkeypatch.setenv("SEATRIAL_CODEBUILD_PROJECT", "with-bucket")
        yield session.client("s3", "us-east-1")
        for name in ("with-bucket", "without-bucket"):
            client.delete_project(name=name)


def _request(folder: Path) -> Request:
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY a /\n")
    (folder / "a").write_text("a")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    return Request(
        context=folder, dockerfile=folder / "Dockerfile", arguments={"VERSION": "it's 3"}, target="a b"
    )


def test_the_image_comes_back_through_the_bucket_and_nothing_stays_there(aws: Any, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    assert codebuild.build(_request(tmp_path / "app"), work, lambda _line: None) == 0
    assert aws.list_objects_v2(Bucket="artifacts").get("Contents", []) == []

    built = tmp_path / "built"
    digest = image(built, [[Item("a", "a")]])
    tar = io.BytesIO()
    archive.write(built, tar, [name_of("app:1")])
    key = json.loads((work / "place.json").read_bytes())["image"]
    aws.put_object(Bucket="artifacts", Key=key, Body=gzip.compress(tar.getvalue()))
    codebuild.export(work, tmp_path / "layout")
    assert oci.read_image(tmp_path / "layout").config == oci.read_image(built, digest=digest).config
    assert aws.list_objects_v2(Bucket="artifacts").get("Contents", []) == []


def test_values_are_variables_and_never_words_of_a_command(tmp_path: Path) -> None:
    request = _request(tmp_path / "app")
    script = codebuild.script(request)
    assert "it's 3" not in script
    assert "'--target=a b'" in script
    assert subprocess.run(["sh", "-n"], input=script, text=True, check=False).returncode == 0
    codebuild.pack(request, tmp_path / "context.zip")
    with zipfile.ZipFile(tmp_path / "context.zip") as packed:
        assert packed.read("seatrial-build.sh").decode() == script
        assert packed.read(".seatrial.Dockerfile") == b"FROM scratch\nCOPY a /\n"
        assert packed.getinfo("run.sh").external_attr >> 16 & 0o777 == 0o755


def test_a_project_without_a_bucket_or_none_at_all_is_a_usage_error(
    aws: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert aws
    request = _request(tmp_path / "app")
    for name, said in (("without-bucket", "has no bucket"), ("absent", "there is no CodeBuild project")):
        monkeypatch.setenv("SEATRIAL_CODEBUILD_PROJECT", name)
        with pytest.raises(UsageError, match=said):
            codebuild.build(request, tmp_path, lambda _line: None)
