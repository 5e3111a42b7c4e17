"""Objects in S3, read and written in one pass, whole or not at all.

An object that is written appears when it is complete; every part carries its SHA-256, which S3 compares before it
accepts the part. Source: S3 user guide, "Uploading and copying objects using multipart upload" and "Checking object
integrity"; a part has 5 MiB or more except the last, and there are 10,000 at most.
"""

from __future__ import annotations

import base64
import hashlib
import importlib
import os
import re
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from seatrial.cloud import session
from seatrial.errors import SeatrialError, UsageError
from seatrial.files import atomic_writer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future, ThreadPoolExecutor
    from pathlib import Path
    from types import TracebackType

PART = 8 << 20
_PARTS_OF_A_SIZE = 1000  # then parts double, so that 10,000 of them hold the largest object there can be
_AT_ONCE = 4
_TRIES = 5
_CHUNK = 1 << 20
_ARN = re.compile(r"arn:aws[a-z-]*:s3:::(.+)")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class Place(msgspec.Struct, frozen=True):
    """An object, or with a key that is empty or ends in `/` everything below it. `version` is an object version."""

    bucket: str
    key: str = ""
    version: str = ""

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}" + (f"?versionId={self.version}" if self.version else "")

    @property
    def arn(self) -> str:
        return f"arn:aws:s3:::{self.bucket}/{self.key}"


class Found(NamedTuple):
    """An object in a listing: bytes, and seconds since the epoch."""

    key: str
    size: int
    modified: float


def is_place(text: str) -> bool:
    """Whether it is written as a place in S3."""
    return text.startswith("s3://") or _ARN.fullmatch(text) is not None


def parse(text: str) -> Place:
    """Read `s3://bucket/key`, `arn:aws:s3:::bucket/key` or `bucket/key`, each with `?versionId=…` when one is meant.

    Raises:
        UsageError: it is none of these.
    """
    found = _ARN.fullmatch(text)
    plain = found[1] if found else text.removeprefix("s3://")
    plain, _, version = plain.partition("?versionId=")
    bucket, _, key = plain.partition("/")
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(
            f"{text!r} is not a place in S3",
            why=f"{bucket!r} is not the name of a bucket",
            fix="write it as s3://bucket/key or bucket/key",
        )
    return Place(bucket, key, version)


def client(region: str = "") -> Any:
    """A client of S3 in the region, else in that of AWS_REGION or AWS_DEFAULT_REGION.

    Raises:
        MissingToolError: boto3 is not installed.
    """
    known = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return session.client("s3", region or known or "us-east-1")


def download(s3: Any, place: Place, into: Path, *, etag: str = "") -> int:
    """Write the object to the file `into` and return its bytes; a connection that breaks is taken up where it broke.

    With an `etag` it is that object and no other one that was put there meanwhile.

    Raises:
        AwsError: there is no such object, or it may not be read.
        SeatrialError: it could not be read to its end, or the file cannot be written.
    """
    with atomic_writer(into, mode=0o600) as out:
        return _receive(s3, place, out, etag)


def _receive(s3: Any, place: Place, out: IO[bytes], etag: str) -> int:
    broken: Any = importlib.import_module("botocore.exceptions")
    wire: Any = importlib.import_module("urllib3.exceptions")
    wanted: dict[str, Any] = {"Bucket": place.bucket, "Key": place.key}
    if place.version:
        wanted["VersionId"] = place.version
    if etag:
        wanted["IfMatch"] = f'"{etag}"'
    size, done = -1, 0
    for _ in range(_TRIES):
        again = {"Range": f"bytes={done}-"} if done else {}
        answer = session.ask(s3.get_object, "s3:GetObject", str(place), **wanted, **again)
        wanted["IfMatch"] = answer["ETag"]
        size = size if done else int(answer["ContentLength"])
        with suppress(
            broken.ReadTimeoutError,
            broken.ResponseStreamingError,
            broken.IncompleteReadError,
            wire.HTTPError,
            ConnectionError,
        ):
            while piece := answer["Body"].read(_CHUNK):
                out.write(piece)
                done += len(piece)
        if done == size:
            return size
    raise SeatrialError(
        "the object could not be read to its end",
        where=str(place),
        why=f"{done} of {size} bytes came in {_TRIES} tries",
        fix="check the network and try again",
    )


def listing(s3: Any, place: Place, *, most: int = 100_000) -> Iterator[Found]:
    """Objects whose keys begin with the place's key, in the order of their keys.

    Raises:
        AwsError: they may not be listed.
        SeatrialError: there are more than `most`.
    """
    wanted: dict[str, Any] = {"Bucket": place.bucket, "Prefix": place.key}
    number = 0
    while True:
        answer = session.ask(s3.list_objects_v2, "s3:ListBucket", str(place), **wanted)
        for one in answer.get("Contents", ()):
            number += 1
            if number > most:
                raise SeatrialError(f"there are more than {most} objects", where=str(place))
            yield Found(one["Key"], int(one["Size"]), one["LastModified"].timestamp())
        if not answer.get("IsTruncated"):
            return
        wanted["ContinuationToken"] = answer["NextContinuationToken"]


def exists(s3: Any, place: Place) -> bool:
    """Whether there is such an object.

    Raises:
        AwsError: that may not be asked.
    """
    try:
        session.ask(s3.head_object, "s3:GetObject", str(place), Bucket=place.bucket, Key=place.key)
    except session.AwsError as error:
        if error.code in ("404", "NoSuchKey", "NotFound"):
            return False
        raise
    return True


class Upload:
    """An object being written: bytes go in by `write`, and it appears when the block ends without an error.

    `options` are those of S3 for the object, such as ServerSideEncryption. Up to five parts are kept in memory.

    Raises:
        AwsError: S3 refuses, which may show at the next write or at the end.
        SeatrialError: S3 says that it holds something else than what was sent.
    """

    def __init__(self, s3: Any, place: Place, options: Mapping[str, str] | None = None) -> None:
        self._s3, self._place = s3, place
        self._options = dict(options or {})
        self._buffer = bytearray()
        self._id = ""
        self._pool: ThreadPoolExecutor | None = None
        self._sent: list[Future[dict[str, Any]]] = []
        self.size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        except BaseException:
            self._abort()
            raise
        else:
            if kind is not None:
                self._abort()
        finally:
            if self._pool is not None:
                self._pool.shutdown(wait=True, cancel_futures=True)

    def write(self, data: bytes | memoryview) -> int:
        self._buffer += data
        count = len(data)
        self.size += count
        while len(self._buffer) >= self._part_size():
            size = self._part_size()
            self._send(bytes(self._buffer[:size]))
            del self._buffer[:size]
        return count

    def flush(self) -> None:
        """Nothing: parts go when they are full."""

    def _part_size(self) -> int:
        return PART << (len(self._sent) // _PARTS_OF_A_SIZE)

    def _send(self, part: bytes) -> None:
        if self._pool is None:
            from concurrent.futures import ThreadPoolExecutor

            self._id = self._ask(
                self._s3.create_multipart_upload, "s3:PutObject", ChecksumAlgorithm="SHA256", **self._options
            )["UploadId"]
            self._pool = ThreadPoolExecutor(_AT_ONCE)
        if len(self._sent) >= _AT_ONCE:
            self._sent[-_AT_ONCE].result()  # so that parts do not pile up, and an error shows early
        self._sent.append(self._pool.submit(self._send_part, len(self._sent) + 1, part))

    def _send_part(self, number: int, part: bytes) -> dict[str, Any]:
        digest = _sha256(part)
        answer = self._ask(
            self._s3.upload_part, "s3:PutObject",
            UploadId=self._id, PartNumber=number, Body=part, ChecksumSHA256=digest,
        )  # fmt: skip
        return {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": digest}

    def _finish(self) -> None:
        if not self._sent:
            body = bytes(self._buffer)
            self._ask(
                self._s3.put_object, "s3:PutObject", Body=body, ChecksumSHA256=_sha256(body), **self._options
            )
        else:
            if self._buffer:
                self._send(bytes(self._buffer))
            parts = [future.result() for future in self._sent]
            self._ask(
                self._s3.complete_multipart_upload, "s3:PutObject",
                UploadId=self._id, MultipartUpload={"Parts": parts},
            )  # fmt: skip
        self._buffer.clear()
        self._compare()

    def _compare(self) -> None:
        """Ask what is there now. Who may write need not be allowed to read; then the parts' checksums must do."""
        try:
            there = self._ask(self._s3.head_object, "s3:GetObject")
        except session.AwsError as error:
            if error.code in ("403", "AccessDenied"):
                return
            raise
        if int(there["ContentLength"]) != self.size:
            raise SeatrialError(
                f"S3 has {there['ContentLength']} bytes where {self.size} were sent",
                where=str(self._place),
                why="somebody else writes to the same key, or the service is at fault",
                fix="give each build a key of its own",
            )

    def _abort(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        if self._id:
            with suppress(SeatrialError):
                self._ask(self._s3.abort_multipart_upload, "s3:AbortMultipartUpload", UploadId=self._id)

    def _ask(self, call: Any, action: str, **wanted: Any) -> dict[str, Any]:
        return session.ask(
            call, action, str(self._place), Bucket=self._place.bucket, Key=self._place.key, **wanted
        )


def _sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()
