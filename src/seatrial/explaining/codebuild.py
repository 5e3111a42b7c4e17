"""The log of a build on AWS CodeBuild, and what CodeBuild knows of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from seatrial.diagnosis.model import Context
from seatrial.errors import SeatrialError, UsageError
from seatrial.explaining.logs import Log, unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator

_ARN = re.compile(r"arn:[^:]+:codebuild:(?P<region>[^:]+):\d+:build/(?P<id>.+)")
_ID = re.compile(r"[A-Za-z0-9][\w-]*:[\w-]+")
_PAGES = 100_000
_CHUNK = 1 << 18


def of_build(build_id: str, region: str = "") -> Log:
    """The log of a build by its id (`project:uuid`) or ARN, from CloudWatch Logs or S3, whichever has it.

    Needs codebuild:BatchGetBuilds, and logs:GetLogEvents or s3:GetObject.

    Raises:
        UsageError: it is no id of a build.
        MissingToolError: boto3 is not installed.
        SeatrialError: there is no such build, it has no log yet, or AWS refused.
    """
    from seatrial.cloud import s3, session

    arn = _ARN.fullmatch(build_id)
    name = arn["id"] if arn else build_id
    if not _ID.fullmatch(name):
        raise UsageError(f"{build_id!r} is no id of a build", fix="it is PROJECT:UUID, as CodeBuild shows it")
    region = region or (arn["region"] if arn else "") or _region()
    codebuild = session.client("codebuild", region)
    answer = session.ask(codebuild.batch_get_builds, "codebuild:BatchGetBuilds", name, ids=[name])
    if not answer.get("builds"):
        raise SeatrialError(
            f"AWS knows no build {name}",
            where=region,
            fix="check the id, --region, and which account you are in",
        )
    build = answer["builds"][0]
    logs = build.get("logs") or {}
    context = _context(build)
    # A build that names no stream has written to the default one, if it got that far.
    project, _, number = name.partition(":")
    group = logs.get("groupName") or f"/aws/codebuild/{project}"
    stream = logs.get("streamName") or number
    if (logs.get("cloudWatchLogs") or {}).get("status") != "DISABLED":
        chunks = _events(session.client("logs", region), group, stream)
    elif where := (logs.get("s3Logs") or {}).get("location"):
        bucket, _, key = where.rpartition(":")[2].partition("/")
        body = session.ask(s3.client(region).get_object, "s3:GetObject", where, Bucket=bucket, Key=key)[
            "Body"
        ]
        chunks = unpacked(body.iter_chunks(_CHUNK))
    else:
        chunks = iter(())
    return Log(f"build {name}", _with_contexts(chunks, build), context)


def _region() -> str:
    import os

    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"


def _context(build: dict[str, Any]) -> Context:
    failed = [p for p in build.get("phases") or () if p.get("phaseStatus") not in {"SUCCEEDED", None}]
    status = build.get("buildStatus")
    messages = [c.get("message") or "" for p in failed for c in p.get("contexts") or ()]
    return Context(
        exit_code=0 if status == "SUCCEEDED" else None,
        phase=failed[0].get("phaseType", "") if failed else "",
        error=next((message for message in messages if message), ""),
    )


def _events(client: Any, group: str, stream: str) -> Iterator[bytes]:
    """The events of a log stream from its beginning; AWS repeats the token at its end."""
    from seatrial.cloud import session

    token = ""
    for _ in range(_PAGES):
        wanted = {"nextToken": token} if token else {}
        try:
            page = session.ask(
                client.get_log_events, "logs:GetLogEvents", f"{group}:{stream}", logGroupName=group,
                logStreamName=stream, startFromHead=True, **wanted,
            )  # fmt: skip
        except session.AwsError as error:
            if error.code == "ResourceNotFoundException":
                return  # A build that failed before its container started has no log, only what CodeBuild says.
            raise
        yield b"".join(event["message"].rstrip("\n").encode() + b"\n" for event in page["events"])
        if page.get("nextForwardToken") in {token, None}:
            return
        token = page["nextForwardToken"]


def _with_contexts(chunks: Iterator[bytes], build: dict[str, Any]) -> Iterator[bytes]:
    """The log, and then what CodeBuild says of phases; a build that never started has nothing else."""
    yield from chunks
    for phase in build.get("phases") or ():
        if phase.get("phaseStatus") in {"SUCCEEDED", None}:
            continue
        yield f"\nPhase complete: {phase.get('phaseType')} State: {phase['phaseStatus']}\n".encode()
        for one in phase.get("contexts") or ():
            text = (
                f"Phase context status code: {one.get('statusCode', '')} Message: {one.get('message', '')}\n"
            )
            yield text.encode()
