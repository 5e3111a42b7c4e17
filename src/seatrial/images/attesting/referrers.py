"""What refers to an image in a registry: by the referrers API, else by the tag that stands for it.

A registry without the API lists nothing by itself. Then an index under the tag `sha256-HEX` does, which every client
changes by reading and writing it as a whole, and no registry compares before it replaces. So nobody who writes here
drops what it has seen, and looks again for a while whether its own entries have stayed; on one machine a lock lets
one write after the other. Source: OCI distribution-spec v1.1, "Listing Referrers" and "Referrers Tag Schema".
"""

from __future__ import annotations

import hashlib
import secrets
import threading
from typing import TYPE_CHECKING

import msgspec

from seatrial import paths
from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.attesting import artifacts
from seatrial.images.attesting.artifacts import ArtifactManifest, Attached
from seatrial.images.registry_manifests import get_manifest, put_tag, tag_digest
from seatrial.images.registry_pull import fetch_blob
from seatrial.images.registry_session import PULL, PUSH, Session, call, refusal
from seatrial.images.registry_upload import Sending, mount_or_send, present
from seatrial.locks import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from seatrial.images.attesting.artifacts import Artifact, Written
    from seatrial.images.layout import Descriptor

_MOST_PAGES = 100
_LARGEST = 256 << 20
_LOOKS = 2
_PAUSE = 0.2
"""Seconds between two looks at a tag that was just written: many times what a registry needs for one request."""
_TRIES = 30
_OK, _CREATED, _ACCEPTED = 200, 201, 202
_NO_API = (400, 404, 405, 501)


def tag_of(digest: str, suffix: str = "") -> str:
    """The tag that stands for what refers to `digest`: `sha256-HEX`."""
    return digest.replace(":", "-") + suffix


def attach(session: Session, scratch: Path, subject: Descriptor, found: Iterable[Artifact]) -> list[Attached]:
    """Send artifacts that refer to `subject`, and make sure that they are listed. What is there is not sent again.

    `scratch` is an empty folder for their blobs.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: what arrived is not what was sent, or the list is changed by others all the time.
    """
    written = [artifacts.write(scratch, subject, one) for one in found]
    return attach_written(session, scratch, subject.digest, written)


def attach_written(session: Session, layout: Path, digest: str, written: Sequence[Written]) -> list[Attached]:
    """As `attach`, of artifacts that refer to `digest` and whose blobs are in `layout`.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: what arrived is not what was sent, or the list is changed by others all the time.
    """
    unlisted = [one.descriptor for one in written if not _send(session, layout, one)]
    if unlisted:
        merge_tag(session, tag_of(digest), lambda before: _listed_with(before, unlisted), oci.INDEX)
    return artifacts.attached([one.descriptor for one in written])


def listed(session: Session, digest: str) -> list[Attached]:
    """What refers to the image with that digest, in the order of the registry.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: its answer is no list.
    """
    found = _by_api(session, digest)
    if found is None:
        content = _read_tag(session, tag_of(digest))
        found = () if content is None else _index(content, session.reference.name).manifests
    return artifacts.attached(found)


def documents(
    session: Session, scratch: Path, digest: str
) -> tuple[ArtifactManifest, list[tuple[Descriptor, bytes]]]:
    """An artifact's manifest and documents, each compared with its digest.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: a document is damaged, or the manifest is none.
    """
    fetched = get_manifest(session, digest)
    try:
        manifest = msgspec.json.decode(fetched.content, type=ArtifactManifest)
    except msgspec.MsgspecError as error:
        raise SeatrialError(
            f"the artifact {digest} is damaged: {error}", where=session.reference.name
        ) from error
    (scratch / "blobs" / "sha256").mkdir(parents=True, exist_ok=True)
    found = []
    for layer in manifest.layers:
        if layer.size > _LARGEST:
            raise SeatrialError(
                f"a document of {digest} has {layer.size} bytes", where=session.reference.name,
                why=f"no attestation has more than {_LARGEST}",
            )  # fmt: skip
        fetch_blob(session, scratch, layer)
        found.append((layer, oci.blob_path(scratch, layer.digest).read_bytes()))
    return manifest, found


def send_blobs(session: Session, layout: Path, blobs: Sequence[Descriptor]) -> None:
    """Send the blobs that the repository does not have.

    Raises:
        TransportError: the registry cannot be reached or refuses.
    """
    sending = Sending(session, threading.Event())
    for blob in blobs:
        if not present(session, blob):
            mount_or_send(sending, blob, oci.blob_path(layout, blob.digest))


def merge_tag(session: Session, tag: str, merge: Callable[[bytes | None], bytes], media_type: str) -> None:
    """Point `tag` to `merge` of what it points to, again and again until it stays so.

    `merge` returns what it is given when nothing is missing in it.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: others change the tag all the time.
    """
    name = hashlib.sha256(f"{session.reference.name} {tag}".encode()).hexdigest()[:32]
    folder = paths.home() / "attesting"
    folder.mkdir(mode=0o700, exist_ok=True)
    stayed = 0
    for attempt in range(_TRIES):
        with locked(folder / f"{name}.lock"):
            before = _read_tag(session, tag)
            after = merge(before)
            if after != before:
                put_tag(session, tag, after, media_type)
        stayed = stayed + 1 if after == before else 0
        if stayed == _LOOKS or (stayed and not attempt):
            return
        # Not all at the same moment, or two clients would overwrite each other for ever.
        session.link.clock.sleep(_PAUSE * (0.5 + secrets.randbelow(1000) / 1000))
    raise SeatrialError(
        f"the tag {tag} did not keep what was written", where=session.reference.name,
        why="others change it all the time, or the registry lets no tag move", fix="try again later",
    )  # fmt: skip


def _send(session: Session, layout: Path, one: Written) -> bool:
    """Bring an artifact into the repository; whether the registry itself lists it for its subject."""
    digest = one.descriptor.digest
    if tag_digest(session, digest, actions=PUSH) is None:
        send_blobs(session, layout, one.blobs)
        answer = call(
            session, "PUT", session.url(f"manifests/{digest}"), actions=PUSH,
            headers={"Content-Type": oci.MANIFEST}, content=one.content,
        )  # fmt: skip
        if answer.status_code not in (_CREATED, _OK, _ACCEPTED):
            raise refusal(session, answer, f"the registry does not take the attestation {digest}")
        if answer.headers.get("OCI-Subject"):
            return True
    subject = msgspec.json.decode(one.content, type=ArtifactManifest).subject
    assert subject is not None  # noqa: S101 - it was written with one
    known = _by_api(session, subject.digest, actions=PUSH)
    return known is not None and any(entry.digest == digest for entry in known)


def _by_api(session: Session, digest: str, *, actions: str = PULL) -> tuple[Descriptor, ...] | None:
    """What the referrers API lists; None when the registry has no such API."""
    url = session.url(f"referrers/{digest}")
    found: list[Descriptor] = []
    for _ in range(_MOST_PAGES):
        answer = call(session, "GET", url, actions=actions, headers={"Accept": oci.INDEX})
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if answer.status_code in _NO_API or (answer.status_code == _OK and kind != oci.INDEX):
            return (
                None  # the specification says 404; older registries, and what stands before them, say others
            )
        if answer.status_code != _OK:
            raise refusal(session, answer, f"the registry does not list what refers to {digest}")
        found += _index(answer.content, session.reference.name).manifests
        following = answer.links.get("next", {}).get("url")
        if not following:
            break
        url = str(answer.url.join(following))
    return tuple(found)


def _read_tag(session: Session, tag: str) -> bytes | None:
    if tag_digest(session, tag) is None:
        return None
    return get_manifest(session, tag).content


def _listed_with(before: bytes | None, new: Sequence[Descriptor]) -> bytes:
    """The list with more entries; what others wrote stays word for word."""
    if before is None:
        return oci.encode(oci.Index(manifests=tuple(new)))
    there = {one.digest for one in _index(before, "the list of referrers").manifests}
    missing = [one for one in new if one.digest not in there]
    if not missing:
        return before
    found = msgspec.json.decode(before)
    return oci.encode({**found, "manifests": [*found["manifests"], *missing]})


def _index(content: bytes, where: str) -> oci.Index:
    try:
        told = msgspec.json.decode(content)
        # A manifest under the tag would otherwise be read as a list of nothing, and be replaced.
        if not isinstance(told, dict) or "manifests" not in told or "layers" in told:
            raise msgspec.ValidationError("it is no index")
        return msgspec.json.decode(content, type=oci.Index)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise SeatrialError(f"the list of referrers is damaged: {error}", where=where) from error
