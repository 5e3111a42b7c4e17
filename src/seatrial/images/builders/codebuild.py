"""CodeBuild: the context goes to the project's bucket, AWS builds with Docker, and the image comes back the same way.

The project needs privileged mode, and a bucket: that of its artifacts or of its source. Nothing of this machine is
passed: the build runs in another network, with the role of the project.
Source: CodeBuild API reference, StartBuild; CodeBuild user guide, "Docker in custom image sample".
"""

from __future__ import annotations

import os
import secrets
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError, UsageError
from seatrial.images.archives import read_archive
from seatrial.images.builders import progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.images.builders.model import BuilderName, Request

NAME: BuilderName = "codebuild"
_EVERY = 5.0
_SCRIPT = "seatrial-build.sh"
_DOCKERFILE = ".seatrial.Dockerfile"
_TIME = (1980, 1, 1, 0, 0, 0)
_FINAL = ("SUCCEEDED", "FAILED", "FAULT", "TIMED_OUT", "STOPPED")


class Place(msgspec.Struct, frozen=True):
    """Where things of one build lie: `bucket` and the keys of the context and the image."""

    bucket: str
    context: str
    image: str


def problem() -> str:
    """Why this builder cannot be used here; empty when it can. AWS itself is asked when something is built."""
    from importlib.util import find_spec

    return "" if find_spec("boto3") else "boto3 is not installed (pip install 'seatrial[aws]')"


def version() -> str:
    """Which Docker builds is the project's matter."""
    return "CodeBuild"


def capable() -> frozenset[str]:
    """It builds elsewhere, so nothing of this machine can be mounted."""
    return frozenset({"remote", "heredocs"})


def build(request: Request, work: Path, watch: Callable[[str], None]) -> int:
    """Run the build and return 0, or 1 when it did not succeed. Whatever was sent is removed, except the image."""
    from seatrial.cloud import session

    if request.bases:
        raise UsageError(
            "bases of this machine cannot be used with CodeBuild", fix="push them to a registry that the project can pull from"
        )  # fmt: skip
    if request.secrets:
        raise UsageError(
            "secrets are not sent to CodeBuild", fix="let the project read them from Secrets Manager"
        )
    store, runner = session.client("s3", _region()), session.client("codebuild", _region())
    name = _project(request)
    place = _place(runner, name)
    archive = work / "context.zip"
    pack(request, archive)
    with archive.open("rb") as body:
        session.ask(
            store.put_object,
            "s3:PutObject",
            f"s3://{place.bucket}",
            Bucket=place.bucket,
            Key=place.context,
            Body=body,
        )
    (work / "place.json").write_bytes(msgspec.json.encode(place))
    try:
        started = session.ask(runner.start_build, "codebuild:StartBuild", name, **order(request, place))[
            "build"
        ]
        return _follow(runner, started, watch)
    finally:
        with suppress(SeatrialError):
            session.ask(
                store.delete_object, "s3:DeleteObject", place.bucket, Bucket=place.bucket, Key=place.context
            )


def export(work: Path, layout: Path) -> None:
    """Fetch the image, write it as a layout, and remove it from the bucket.

    Raises:
        SeatrialError: the build left no image.
    """
    from isal import igzip

    from seatrial.cloud import session

    place = msgspec.json.decode((work / "place.json").read_bytes(), type=Place)
    store = session.client("s3", _region())
    fetched = work / "image.tar.gz"
    body = session.ask(
        store.get_object,
        "s3:GetObject",
        f"s3://{place.bucket}/{place.image}",
        Bucket=place.bucket,
        Key=place.image,
    )["Body"]
    with fetched.open("wb") as file:
        for chunk in body.iter_chunks(1 << 20):
            file.write(chunk)
    opened: Callable[..., Any] = igzip.open
    with opened(fetched, "rb") as tar:
        read_archive(tar, layout, where=f"s3://{place.bucket}/{place.image}")
    fetched.unlink()
    session.ask(store.delete_object, "s3:DeleteObject", place.bucket, Bucket=place.bucket, Key=place.image)


def lines() -> progress.Reader:
    """A reader of what Docker prints there."""
    return progress.buildkit()


def order(request: Request, place: Place) -> dict[str, Any]:
    """The arguments of StartBuild. Build arguments are variables of the build, never part of a command."""
    variables = {f"SEATRIAL_ARG_{name}": value for name, value in sorted(request.arguments.items())}
    return {
        "projectName": _project(request),
        "sourceTypeOverride": "S3",
        "sourceLocationOverride": f"{place.bucket}/{place.context}",
        "artifactsOverride": {"type": "NO_ARTIFACTS"},
        "privilegedModeOverride": True,
        "buildspecOverride": f"version: 0.2\nphases:\n  build:\n    commands:\n      - sh {_SCRIPT}\n",
        "environmentVariablesOverride": [
            {"name": name, "value": value, "type": "PLAINTEXT"}
            for name, value in {**variables, "SEATRIAL_IMAGE": f"s3://{place.bucket}/{place.image}"}.items()
        ],
    }


def script(request: Request) -> str:
    """What CodeBuild runs in the unpacked context. Its words are quoted; values are in the environment."""
    import shlex

    words = ["docker", "build", "--progress=plain", f"--file={_DOCKERFILE}", "--iidfile=/tmp/image-id"]
    words += [f"--target={request.target}"] if request.target else []
    words += [f"--platform={request.platform}"] if request.platform else []
    words += [f"--network={request.network}"] if request.network else []
    words += ["--no-cache"] if request.fresh else []
    # Names are checked to be names; values stay where the shell reads them and does not look into them again.
    given = "".join(f' --build-arg={name}="$SEATRIAL_ARG_{name}"' for name in sorted(request.arguments))
    return (
        "set -eu\nexport DOCKER_BUILDKIT=1\n"
        f"{' '.join(shlex.quote(word) for word in words)}{given} .\n"
        'docker save "$(cat /tmp/image-id)" | gzip -1 > /tmp/image.tar.gz\n'
        'aws s3 cp --only-show-errors /tmp/image.tar.gz "$SEATRIAL_IMAGE"\n'
    )


def pack(request: Request, archive: Path) -> None:
    """The context as a zip, with the Dockerfile and the script beside it; links and modes are kept.

    What .dockerignore leaves out is sent as well and left out there; git's own data is not sent.
    """
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
        for folder, names, files in os.walk(request.context):
            names[:] = sorted(name for name in names if name != ".git")
            links = [name for name in names if (Path(folder) / name).is_symlink()]
            for name in sorted([*files, *links]):
                path = Path(folder) / name
                _add(target, path, path.relative_to(request.context).as_posix())
        for name, text in ((_DOCKERFILE, request.dockerfile.read_text("utf-8")), (_SCRIPT, script(request))):
            target.writestr(zipfile.ZipInfo(name, _TIME), text)


def _add(target: zipfile.ZipFile, path: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _TIME)
    found = path.lstat()
    entry.external_attr = found.st_mode << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    if path.is_symlink():
        target.writestr(entry, str(path.readlink()))
        return
    with path.open("rb") as source, target.open(entry, "w", force_zip64=found.st_size > 1 << 31) as out:
        while chunk := source.read(1 << 20):
            out.write(chunk)


def _region() -> str:
    """The region of the environment; empty: that of the profile."""
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or ""


def _project(request: Request) -> str:
    """The project's name.

    Raises:
        UsageError: none was given.
    """
    name = request.project or os.environ.get("SEATRIAL_CODEBUILD_PROJECT", "")
    if not name:
        raise UsageError(
            "no CodeBuild project is named",
            fix="give --project NAME, or set SEATRIAL_CODEBUILD_PROJECT; the project needs privileged mode and a bucket",
        )
    return name


def _place(runner: Any, name: str) -> Place:
    """The project's own bucket.

    Raises:
        UsageError: there is no such project, or it has no bucket.
    """
    from seatrial.cloud import session

    found = session.ask(runner.batch_get_projects, "codebuild:BatchGetProjects", name, names=[name]).get(
        "projects", []
    )
    if not found:
        raise UsageError(
            f"there is no CodeBuild project {name!r} in this account and region",
            fix="check the name, AWS_PROFILE and AWS_REGION",
        )
    project = found[0]
    places = [
        part
        for part in (project.get("artifacts") or {}, project.get("source") or {})
        if part.get("type") == "S3"
    ]
    bucket = next(
        (
            part["location"].removeprefix("arn:aws:s3:::").partition("/")[0]
            for part in places
            if part.get("location")
        ),
        "",
    )
    if not bucket:
        raise UsageError(
            f"the CodeBuild project {name!r} has no bucket", why="neither its artifacts nor its source are in S3",
            fix="give it artifacts in S3: the context and the image pass through that bucket",
        )  # fmt: skip
    key = f"seatrial/{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(6)}"
    return Place(bucket, f"{key}/context.zip", f"{key}/image.tar.gz")


def _follow(runner: Any, started: dict[str, Any], watch: Callable[[str], None]) -> int:
    """Hand on the log as it comes until the build has ended. It is stopped when this process stops waiting."""
    from seatrial.cloud import session

    name, token = started["id"], ""
    try:
        while True:
            found = session.ask(runner.batch_get_builds, "codebuild:BatchGetBuilds", name, ids=[name])[
                "builds"
            ][0]
            token = _log(found.get("logs") or {}, token, watch)
            if found.get("buildStatus") in _FINAL:
                break
            time.sleep(_EVERY)
    except BaseException:
        with suppress(SeatrialError):
            session.ask(runner.stop_build, "codebuild:StopBuild", name, id=name)
        raise
    for phase in found.get("phases") or ():
        for one in phase.get("contexts") or ():
            if phase.get("phaseStatus") != "SUCCEEDED" and one.get("message"):
                watch(f"Phase context status code: {one.get('statusCode', '')} Message: {one['message']}")
    return 0 if found["buildStatus"] == "SUCCEEDED" else 1


def _log(where: dict[str, Any], token: str, watch: Callable[[str], None]) -> str:
    """Hand on what is new in the log; the answer says where to go on."""
    from seatrial.cloud import session

    group, stream = where.get("groupName"), where.get("streamName")
    if not group or not stream:
        return token
    client = session.client("logs", _region())
    while True:
        wanted = {"nextToken": token} if token else {}
        try:
            page = session.ask(
                client.get_log_events, "logs:GetLogEvents", f"{group}:{stream}", logGroupName=group,
                logStreamName=stream, startFromHead=True, **wanted,
            )  # fmt: skip
        except session.AwsError as error:
            if error.code == "ResourceNotFoundException":
                return token  # it has not said anything yet
            raise
        for event in page["events"]:
            watch(event["message"].rstrip("\n"))
        if page.get("nextForwardToken") in {token, None}:
            return token
        token = page["nextForwardToken"]
