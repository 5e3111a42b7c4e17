"""The log of a build on CodeBuild, as moto has it."""

from __future__ import annotations

import importlib
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from support.buckets import s3_server
from support.commands import seatrial

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OWN = """\
- id: tank-empty
  service: system
  title: The tank is empty
  patterns: ['tank (?P<name>\\w+) ran dry']
  cause: 'Tank {name} is empty.'
  fix: {text: 'Fill {name}.'}
"""
NOW = int(time.time() * 1000) - 100_000
"""Milliseconds; events of long ago are refused."""
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "eu-west-1"}


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    with s3_server() as url:
        yield f"http://{url}"


def _client(aws: str, service: str) -> Any:
    boto3: Any = importlib.import_module("boto3")
    return boto3.client(
        service,
        region_name="eu-west-1",
        endpoint_url=aws,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )


def _started(aws: str) -> str:
    codebuild = _client(aws, "codebuild")
    codebuild.create_project(
        name="app",
        source={"type": "S3", "location": "bucket/key"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole="arn:aws:iam::123456789012:role/service-role/build-role",
    )
    name: str = codebuild.start_build(projectName="app")["build"]["id"]
    return name


def test_the_log_of_a_build_is_read_page_by_page(aws: str, tmp_path: Path) -> None:
    build = _started(aws)
    logs, stream = _client(aws, "logs"), build.partition(":")[2]
    logs.create_log_group(logGroupName="/aws/codebuild/app")
    logs.create_log_stream(logGroupName="/aws/codebuild/app", logStreamName=stream)
    for start in (0, 8000):
        events = [{"timestamp": NOW + i, "message": f"line {i}\n"} for i in range(start, start + 8000)]
        logs.put_log_events(logGroupName="/aws/codebuild/app", logStreamName=stream, logEvents=events)
    last = [{"timestamp": NOW + 50_000, "message": "[Container] 2024/05/05 10:00:00.1 tank a ran dry\n"}]
    logs.put_log_events(logGroupName="/aws/codebuild/app", logStreamName=stream, logEvents=last)
    (tmp_path / "own.yaml").write_text(OWN)

    asked = ("explain", "--build-id", build, "--signatures", "own.yaml", "--json")
    done = seatrial(tmp_path, *asked, AWS_ENDPOINT_URL=aws, **KEYS)

    # moto says of every build that it has succeeded, so nothing is a cause; that all was read shows in the count.
    assert done.returncode == 1, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["total"], answer["outcome"], answer["causes"]) == (16_001, "succeeded", [])


def test_a_build_that_is_not_there_is_said(aws: str, tmp_path: Path) -> None:
    done = seatrial(tmp_path, "explain", "--build-id", "app:0-0", AWS_ENDPOINT_URL=aws, **KEYS)
    wrong = seatrial(tmp_path, "explain", "--build-id", "nonsense", AWS_ENDPOINT_URL=aws, **KEYS)

    assert (done.returncode, wrong.returncode) == (1, 2)
    assert "AWS knows no build app:0-0" in done.stderr
