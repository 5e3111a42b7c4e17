"""Bringing one blob into a repository: not at all when it is there, mounted when a neighbour has it, else sent.

A large blob goes in chunks. After a break, also one that ended this process, the registry is asked how much it
has acknowledged, and only the rest is sent; a registry that forgot the session (docker-registry 2.8 drops it when a
PATCH is cut) gets that one blob from its start. Source: OCI distribution-spec v1.1, "Pushing blobs".
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.pushing.unfinished import Claim, Unfinished, claim
from seatrial.images.registry_session import (
    NO_REPOSITORY,
    PUSH,
    Session,
    call,
    codes,
    location,
    refusal,
    unknown_repository,
)
from seatrial.images.registry_workers import Cancelled
from seatrial.transport import TransportError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from seatrial.images.layout import Descriptor

CHUNK = 64 << 20
_PIECE = 1 << 18
_FIRST_ERROR, _FIRST_SERVER_ERROR, _NO_SPACE = 400, 500, 507
_OK, _CREATED, _ACCEPTED, _NO_CONTENT, _NOT_FOUND = 200, 201, 202, 204, 404


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a blob. `sent` counts bytes handed to the network, repeated ones included."""

    digest: str
    size: int
    how: Literal["present", "mounted", "sent"]
    sent: int


class Sending(NamedTuple):
    """What the uploads to one repository share. `stop` ends them all; `point` is told of each acknowledged chunk."""

    session: Session
    stop: threading.Event
    chunk: int = CHUNK
    point: Callable[[str], None] = lambda _: None


def mount_or_send(
    sending: Sending, blob: Descriptor, path: Path, neighbours: tuple[str, ...] = ()
) -> Outcome:
    """Make the repository have `blob`, which it has not; `neighbours` of the same registry may have it. `path` is its file.

    Raises:
        TransportError: the registry refuses it or cannot be reached, also after repeating.
        SeatrialError: the file is missing or damaged.
        Cancelled: `stop` was set.
    """
    opened = ""
    for name in neighbours:
        mounted, opened = _mount(sending.session, blob, name, opened)
        if mounted:
            return Outcome(digest=blob.digest, size=blob.size, how="mounted", sent=0)
    reference = sending.session.reference
    with claim(
        reference.registry, reference.repository, blob.digest, sending.session.link.clock.now()
    ) as claimed:
        upload = _Upload(sending, blob, path, claimed if blob.size > sending.chunk else None, opened)
        return Outcome(digest=blob.digest, size=blob.size, how="sent", sent=upload.run())


def present(session: Session, blob: Descriptor) -> bool:
    """Whether the repository has the blob, in its full size.

    Raises:
        TransportError: the registry cannot be reached, or has something else under this digest.
    """
    answer = call(session, "HEAD", session.url(f"blobs/{blob.digest}"), actions=PUSH)
    if answer.status_code == _NOT_FOUND:
        return False
    if answer.status_code != _OK:
        raise refusal(session, answer, f"the registry does not say whether it has {blob.digest}")
    length = answer.headers.get("Content-Length")
    if length is not None and int(length) != blob.size:
        raise refusal(
            session, answer, f"the registry has {length} bytes for {blob.digest}, which has {blob.size}"
        )
    return True


def _mount(session: Session, blob: Descriptor, neighbour: str, opened: str) -> tuple[bool, str]:
    """Whether it was mounted; a registry that opened an upload instead says where, and that one is used."""
    url = f"{session.url('blobs/uploads/')}?mount={blob.digest}&from={neighbour}"
    try:
        answer = call(session, "POST", url, actions=PUSH, also=(neighbour,), repeatable=True)
    except TransportError as error:
        if error.status in (401, 403):  # no right to read the neighbour
            return False, opened
        raise
    if answer.status_code == _ACCEPTED:
        if opened:  # one is enough; the other expires, but tidy is better
            call(session, "DELETE", opened, actions=PUSH)
        return False, location(session, answer, url)
    if answer.status_code == _CREATED:
        if opened:
            call(session, "DELETE", opened, actions=PUSH)
        return True, ""
    return False, opened


class _Upload:
    """One blob on its way. Every break leads to `run` deciding anew from what the registry says it has."""

    def __init__(
        self, sending: Sending, blob: Descriptor, path: Path, claimed: Claim | None, opened: str = ""
    ) -> None:
        self.sending = sending
        self.session = sending.session
        self.blob = blob
        self.path = path
        self.claimed = claimed
        self.sent = 0
        self.target = opened  # where the open upload goes on; empty when there is none
        self.offset = 0  # what the registry has acknowledged
        self.chunk = sending.chunk
        self.whole = blob.size <= sending.chunk  # sent in one piece
        self.inherited = False  # begun by a process before this one

    def run(self) -> int:
        """Send until the registry has it, and return the bytes sent."""
        self._check_size()
        self._inherit()
        attempt, retry = 0, self.session.link.retry
        while True:
            if self.sending.stop.is_set():
                raise Cancelled
            before = self.offset
            try:
                sent = self._send()
            except TransportError as error:
                attempt = 1 if self.offset > before else attempt + 1
                if not _worth_repeating(error) or attempt >= retry.attempts:
                    raise
                self.session.link.clock.sleep(retry.pause(attempt))
                self._find_offset()
            else:
                if self.claimed:
                    self.claimed.forget()
                return sent

    def _inherit(self) -> None:
        """Go on with what an earlier process began, when the registry still has it."""
        before = self.claimed.read(self.session.link.clock.now()) if self.claimed else None
        if before is None or before.digest != self.blob.digest or before.size != self.blob.size:
            return
        fresh, self.target, self.chunk = self.target, before.location, max(self.chunk, before.chunk)
        self._find_offset()
        self.inherited = bool(self.target)
        if self.inherited and fresh:
            call(self.session, "DELETE", fresh, actions=PUSH)
        elif not self.inherited:
            self.target = fresh

    def _remember(self) -> None:
        if self.claimed is None or self.whole:
            return
        self.claimed.write(
            Unfinished(
                digest=self.blob.digest,
                size=self.blob.size,
                location=self.target,
                offset=self.offset,
                chunk=self.chunk,
                at=self.session.link.clock.now(),
            )
        )

    def _send(self) -> int:
        if not self.target:
            if self.sent and present(self.session, self.blob):  # only the answer was lost
                return self.sent
            self._open()
        while not self.whole and self.offset < self.blob.size:
            self._send_chunk()
            self._remember()
            self.sending.point("registry.push.chunk")
        self._close()
        return self.sent

    def _open(self) -> None:
        url = self.session.url("blobs/uploads/")
        answer = self._begin(url)
        if self.session.make_repository is not None and codes(answer) & NO_REPOSITORY:
            self.session.make_repository(self.session)
            answer = self._begin(url)
        if answer.status_code != _ACCEPTED:
            raise unknown_repository(self.session, answer) or refusal(
                self.session, answer, "the registry does not take an upload"
            )
        self.target, self.offset, self.inherited = location(self.session, answer, url), 0, False
        shortest = answer.headers.get("OCI-Chunk-Min-Length", "")
        self.chunk = max(self.sending.chunk, int(shortest) if shortest.isdigit() else 0)

    def _begin(self, url: str) -> httpx.Response:
        try:
            return call(self.session, "POST", url, actions=PUSH, content=b"", repeatable=True)
        except TransportError as error:
            if _is_full(error.status, error.why or ""):
                raise self._full(error) from error
            raise

    def _full(self, error: SeatrialError) -> SeatrialError:
        """Not a TransportError: sending again does not help."""
        return SeatrialError(
            f"{self.session.reference.registry} has no space left for blob {self.blob.digest}",
            where=error.where,
            why=error.why,
            fix="free space there or raise its quota, then push again: complete blobs are not sent again",
        )

    def _send_chunk(self) -> None:
        end = min(self.blob.size, self.offset + self.chunk)
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(end - self.offset),
            "Content-Range": f"{self.offset}-{end - 1}",
        }
        answer = self._call("PATCH", self.target, headers, self.offset, end)
        if answer.status_code != _ACCEPTED:
            self._lost(answer)
        self.target = location(self.session, answer, self.target)
        acknowledged = _acknowledged(answer)
        if acknowledged is not None and acknowledged <= self.offset:
            error = refusal(
                self.session, answer, f"the registry took none of a chunk of blob {self.blob.digest}"
            )
            error.transient = True
            raise error
        self.offset = end if acknowledged is None else min(acknowledged, end)

    def _close(self) -> None:
        """The last request names the digest; a small blob goes with it."""
        start = self.offset if self.whole else self.blob.size
        url = self.target + ("&" if "?" in self.target else "?") + f"digest={self.blob.digest}"
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(self.blob.size - start)}
        answer = self._call("PUT", url, headers, start, self.blob.size)
        if answer.status_code not in (_CREATED, _NO_CONTENT):
            self._lost(answer)
        named = answer.headers.get("Docker-Content-Digest", self.blob.digest)
        if named != self.blob.digest:
            raise refusal(self.session, answer, f"the registry stored {self.blob.digest} as {named}")

    def _call(
        self, method: Literal["PATCH", "PUT"], url: str, headers: dict[str, str], start: int, end: int
    ) -> httpx.Response:
        content: bytes | Callable[[], Iterator[bytes]] = (
            b"" if start == end else lambda: self._pieces(start, end)
        )
        return call(
            self.session, method, url, actions=PUSH, headers=headers, content=content, repeatable=False
        )

    def _pieces(self, start: int, end: int) -> Iterator[bytes]:
        with self.path.open("rb") as stream:
            stream.seek(start)
            left = end - start
            while left:
                piece = stream.read(min(_PIECE, left))
                if not piece:
                    raise SeatrialError(
                        f"blob {self.blob.digest} became shorter while it was sent", where=str(self.path)
                    )
                if self.sending.stop.is_set():
                    raise Cancelled
                yield piece
                left -= len(piece)
                self.sent += len(piece)

    def _lost(self, answer: httpx.Response) -> None:
        """Raise what an unexpected answer means: a repeatable error, or the registry's refusal for good."""
        known = codes(answer)
        if "DIGEST_INVALID" in known:
            self._check_content()
        error = refusal(self.session, answer, f"the registry does not take blob {self.blob.digest}")
        if _is_full(answer.status_code, answer.text):
            raise self._full(error)
        repeatable = {"DIGEST_INVALID", "BLOB_UPLOAD_UNKNOWN", "BLOB_UPLOAD_INVALID", "SIZE_INVALID"}
        error.transient = (
            bool(known & repeatable)
            or answer.status_code in (404, 408, 416)
            or answer.status_code >= _FIRST_SERVER_ERROR
        )
        if not self.whole and self.offset and answer.status_code < _FIRST_SERVER_ERROR:
            # A registry that does not do chunks gets it in one piece; an upload of old is only begun anew.
            self.whole = not self.inherited
            error.transient = error.transient or self.inherited
            self.target = ""
        raise error

    def _find_offset(self) -> None:
        """Ask the registry how far it got; start anew when it does not know."""
        known, self.target = ("" if self.whole else self.target), ""
        if not known:
            return
        try:
            answer = call(self.session, "GET", known, actions=PUSH)
        except TransportError as error:
            if error.kind == "status":
                return
            raise
        acknowledged = _acknowledged(answer) if answer.status_code == _NO_CONTENT else None
        if acknowledged is None or acknowledged > self.blob.size:
            return
        self.target = known
        self.offset = acknowledged
        if answer.headers.get("Location"):
            self.target = location(self.session, answer, self.target)

    def _check_size(self) -> None:
        try:
            size = self.path.stat().st_size
        except OSError as error:
            raise SeatrialError(f"blob {self.blob.digest} is missing", where=str(self.path)) from error
        if size != self.blob.size:
            raise SeatrialError(
                f"blob {self.blob.digest} is damaged",
                where=str(self.path),
                why=f"it has {size} bytes, its manifest says {self.blob.size}",
                fix="assemble the image again",
            )

    def _check_content(self) -> None:
        with self.path.open("rb") as stream:
            found = hashlib.file_digest(stream, "sha256").hexdigest()
        if f"sha256:{found}" != self.blob.digest:
            raise SeatrialError(
                f"blob {self.blob.digest} is damaged",
                where=str(self.path),
                why=f"its content has sha256 {found}",
                fix="remove the file and assemble the image again",
            )


def _is_full(status: int, text: str) -> bool:
    """docker-registry answers 500 with the number of the operating system's error (28 ENOSPC, 122 EDQUOT)."""
    told = r'no space left on device|disk quota exceeded|"Err":\s*(28|122)\b|will exceed the configured upper limit'
    return status == _NO_SPACE or (
        status >= _FIRST_ERROR and re.search(told, text, re.IGNORECASE) is not None
    )


def _worth_repeating(error: TransportError) -> bool:
    return error.transient or error.status >= _FIRST_SERVER_ERROR


def _acknowledged(answer: httpx.Response) -> int | None:
    """Bytes that the registry has, from `Range: 0-N`. `0-0` is what registries say for nothing as well as for one."""
    match = re.fullmatch(r"(?:bytes=)?0-(\d+)", answer.headers.get("Range", "").strip())
    if match is None:
        return None
    last = int(match[1])
    return last + 1 if last > 0 else 0
