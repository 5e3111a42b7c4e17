"""Manifests and tags of one repository: read with their digest verified, written before any tag names them."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.layout import DOCKER_INDEX, DOCKER_MANIFEST, INDEX, MANIFEST, Index, Manifest
from seatrial.images.registry_session import (
    DELETE,
    PULL,
    PUSH,
    Session,
    call,
    codes,
    not_found,
    refusal,
    said,
)
from seatrial.images.registry_workers import eventually
from seatrial.transport import TransportError

if TYPE_CHECKING:
    import httpx

Decoded = TypeVar("Decoded", Manifest, Index)
ACCEPT = f"{MANIFEST}, {INDEX}, {DOCKER_MANIFEST}, {DOCKER_INDEX}"
_LARGEST = 4 << 20  # what registries take, by the specification
_OK, _CREATED, _ACCEPTED, _NOT_FOUND = 200, 201, 202, 404


class Fetched(NamedTuple):
    """A manifest or index as the registry sent it; `digest` was computed from `content`."""

    content: bytes
    media_type: str
    digest: str

    @property
    def is_index(self) -> bool:
        return self.media_type in (INDEX, DOCKER_INDEX)


def content_digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def get_manifest(session: Session, name: str, *, actions: str = PULL) -> Fetched:
    """Read the manifest that a tag or digest names.

    Raises:
        SeatrialError: there is none, it is of another kind, or its content has another digest.
    """
    answer = call(
        session, "GET", session.url(f"manifests/{name}"), actions=actions, headers={"Accept": ACCEPT}
    )
    if answer.status_code == _NOT_FOUND:
        raise not_found(session, f"{'image' if ':' in name else 'tag'} {name}")
    if answer.status_code != _OK:
        raise refusal(session, answer, f"the registry does not give the manifest of {name}")
    content = answer.content
    digest = content_digest(content)
    promised = name if name.startswith("sha256:") else answer.headers.get("Docker-Content-Digest", digest)
    if digest != promised or len(content) > _LARGEST:
        raise refusal(session, answer, f"the manifest of {name} is damaged: it has {digest}, not {promised}")
    media_type = answer.headers.get("Content-Type", "").partition(";")[0].strip()
    return Fetched(content, _kind(session, answer, media_type), digest)


def decode(session: Session, fetched: Fetched, kind: type[Decoded]) -> Decoded:
    """The `Manifest` or `Index` in `fetched`.

    Raises:
        SeatrialError: it is not one.
    """
    try:
        return msgspec.json.decode(fetched.content, type=kind)
    except msgspec.MsgspecError as error:
        raise _damaged(session, fetched, error) from error


def tag_digest(session: Session, name: str, *, actions: str = PULL) -> str | None:
    """The digest that a tag points to, or None when there is no such tag.

    Raises:
        TransportError: the registry cannot be asked.
    """
    answer = call(
        session, "HEAD", session.url(f"manifests/{name}"), actions=actions, headers={"Accept": ACCEPT}
    )
    if answer.status_code == _NOT_FOUND:
        return None
    if answer.status_code != _OK:
        raise refusal(session, answer, f"the registry does not say what {name} is")
    digest: str = answer.headers.get("Docker-Content-Digest", "")
    return digest or get_manifest(session, name, actions=actions).digest


def put_manifest(session: Session, content: bytes, media_type: str) -> str:
    """Store a manifest under its digest, without a tag, and read it back.

    Raises:
        TransportError: the registry refuses it.
        SeatrialError: what it stored is not what was sent.
    """
    digest = content_digest(content)
    _put(session, digest, content, media_type, f"the manifest {digest}")
    try:
        get_manifest(session, digest, actions=PUSH)
    except TransportError:
        raise
    except SeatrialError:  # not there, or not yet
        eventually(session.link, lambda: tag_digest(session, digest, actions=PUSH) is not None)
        get_manifest(session, digest, actions=PUSH)
    return digest


def put_tag(
    session: Session, tag: str, content: bytes, media_type: str, *, before: str | None = None
) -> None:
    """Point `tag` to a manifest that is already stored; `before` is where it pointed. See `check_tag` for afterwards.

    Raises:
        TransportError: the registry refuses, for example because its tags cannot be moved.
    """
    answer = _try_put(session, tag, content, media_type)
    if answer.status_code in (_CREATED, _OK, _ACCEPTED):
        return
    digest = content_digest(content)
    now = tag_digest(session, tag, actions=PUSH)
    if now != digest:
        raise _immutable(session, answer, tag, now or before, digest) or refusal(
            session, answer, f"the registry does not take the tag {tag}"
        )


def check_tag(session: Session, tag: str, digest: str) -> None:
    """Ask where `tag` points now.

    Raises:
        SeatrialError: it points elsewhere.
    """
    after = None

    def arrived() -> bool:
        nonlocal after
        after = tag_digest(session, tag, actions=PUSH)
        return after == digest

    if not eventually(session.link, arrived):
        raise SeatrialError(
            f"the tag {tag} points to {after or 'nothing'} after it was set to {digest}",
            where=session.reference.name,
            why="somebody else has moved it at the same moment, or the registry is damaged",
            fix="push again",
        )


def delete(session: Session, digest: str) -> bool:
    """Remove a manifest with every tag that points to it; returns False when there was none.

    Raises:
        TransportError: the registry does not allow it.
    """
    answer = call(session, "DELETE", session.url(f"manifests/{digest}"), actions=DELETE)
    if answer.status_code == _NOT_FOUND:
        return False
    if answer.status_code == 405 or "UNSUPPORTED" in codes(answer):  # noqa: PLR2004
        raise refusal(
            session,
            answer,
            "the registry does not allow deleting images",
            fix="switch deletion on in its settings (docker-registry: storage.delete.enabled)",
        )
    if answer.status_code not in (_OK, _ACCEPTED, 204):
        raise refusal(session, answer, f"the registry does not delete {digest}")
    return True


def _put(session: Session, name: str, content: bytes, media_type: str, what: str) -> None:
    answer = _try_put(session, name, content, media_type)
    if answer.status_code not in (_CREATED, _OK, _ACCEPTED):
        raise refusal(session, answer, f"the registry does not take {what}")


def _try_put(session: Session, name: str, content: bytes, media_type: str) -> httpx.Response:
    return call(
        session,
        "PUT",
        session.url(f"manifests/{name}"),
        actions=PUSH,
        headers={"Content-Type": media_type},
        content=content,
    )


def _immutable(
    session: Session, answer: httpx.Response, tag: str, before: str | None, digest: str
) -> SeatrialError | None:
    """Registries say it in different ways: ECR 400 TAG_INVALID or ImageTagAlreadyExistsException, Harbor 412, others
    403, 409 or 405.
    """
    told = re.search(
        r"immutab|cannot be overwritten|already ?exists|TAG_INVALID", said(answer), re.IGNORECASE
    )
    if not told and not (before and answer.status_code in (409, 412)):
        return None
    return refusal(
        session,
        answer,
        f"the tag {tag} exists and this registry does not let tags move",
        fix=f"push under another tag, or allow this one to move in the registry's settings; the image itself is "
        f"there as {session.reference.name}@{digest}, {tag} stays at {before or 'what it was'}",
    )


def _kind(session: Session, answer: httpx.Response, media_type: str) -> str:
    if media_type in (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX):
        return media_type
    # Some registries answer application/json; the content itself says what it is.
    try:
        inner = msgspec.json.decode(answer.content)
        if isinstance(inner, dict) and inner.get("schemaVersion") == 2:  # noqa: PLR2004
            guess = INDEX if "manifests" in inner else MANIFEST
            named = inner.get("mediaType", guess)
            if named in (MANIFEST, INDEX, DOCKER_MANIFEST, DOCKER_INDEX):
                return str(named)
    except msgspec.MsgspecError:
        pass
    raise refusal(
        session,
        answer,
        f"this is no image manifest but {media_type or 'something else'}",
        fix="images in Docker's schema 1 must be pushed again by a current tool",
    )


def _damaged(session: Session, fetched: Fetched, error: Exception) -> SeatrialError:
    return SeatrialError(
        f"the manifest {fetched.digest} is not what it should be: {error}", where=session.reference.name
    )
