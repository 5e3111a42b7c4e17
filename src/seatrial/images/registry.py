"""Images to and from registries. A tag only ever points to an image whose every byte has been verified."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images import layout as layouts
from seatrial.images import registry_manifests as manifests
from seatrial.images.reference import Reference, check_tag, parse
from seatrial.images.registry_pull import pull
from seatrial.images.registry_session import PULL, PUSH, authenticate, call, not_found, open_session, refusal
from seatrial.images.registry_sources import known, remember
from seatrial.images.registry_upload import CHUNK, Outcome, Sending, ensure, present
from seatrial.images.registry_workers import WORKERS, Cancelled, StoppableClock, each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from seatrial.clock import Clock
    from seatrial.images.layout import Descriptor
    from seatrial.images.registry_session import Session
    from seatrial.transport import Retry

__all__ = ["Pushed", "Tag", "delete_manifest", "pull", "push", "resolve", "tag_names", "tags"]

_OK, _NOT_FOUND = 200, 404


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """What a push did. Sizes are in bytes: `pushed_bytes` went over the network, repeated ones included;
    `reused_bytes` were there already or mounted from a neighbour. `tags` now point to `digest`.
    """

    reference: str
    digest: str
    tags: tuple[str, ...]
    pushed_bytes: int
    reused_bytes: int
    blobs: tuple[Outcome, ...]
    seconds: float


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag; `size` is what a pull for one platform transfers in bytes, `created` is RFC 3339 or empty."""

    tag: str
    digest: str
    size: int
    created: str


def push(
    layout: Path,
    reference: str,
    *,
    insecure: bool = False,
    tags: Sequence[str] = (),
    platform: str | None = None,
    mount_from: Sequence[str] = (),
    point: Callable[[str], None] = lambda _: None,
    clock: Clock | None = None,
    retry: Retry | None = None,
    timeout: float = 60.0,
    workers: int = WORKERS,
    chunk: int = CHUNK,
) -> Pushed:
    """Bring the image in `layout` to `reference`, and point its tag and `tags` to it.

    Without any tag or digest the tag is `latest`. `platform` chooses one of several images. `mount_from` are
    repositories of the same registry that may have blobs, besides those known from earlier. `timeout` is
    the longest silence in seconds. `chunk` is the size in bytes above which a blob goes in pieces. Order: credentials, blobs, manifests by digest, verification of
    all of it, tags. Pushing again sends nothing that is there.

    Raises:
        UsageError: the reference or a tag is not one.
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: the layout is damaged, or what arrived is not what was sent.
    """
    target = parse(reference)
    names = _tag_names(target, tags)
    root, below = _collect(layout, platform)
    _check_pinned(target, root)
    with open_session(target, insecure=insecure, clock=clock, retry=retry, timeout=timeout) as session:
        started = session.link.clock.now()
        authenticate(session, PUSH)
        blobs = _blobs(layout, [root, *below])
        stop = threading.Event()
        session.link = session.link._replace(clock=StoppableClock(session.link.clock, stop))
        sending = Sending(session, layout, stop, chunk)
        neighbours = known(target.registry)

        def bring(blob: Descriptor) -> Outcome:
            if stop.is_set():
                raise Cancelled
            extra = [*mount_from, *neighbours.get(blob.digest, ())]
            outcome = ensure(sending, blob, tuple(dict.fromkeys(n for n in extra if n != target.repository)))
            point("registry.push.blob")
            return outcome

        outcomes = each(bring, blobs, stop, workers)
        point("registry.push.blobs")
        _put_and_verify(session, layout, [*below, root], blobs, stop, workers)
        remember(target.registry, target.repository, [blob.digest for blob in blobs])
        point("registry.push.verified")
        for name in names:
            manifests.put_tag(session, name, _content(layout, root), root.media_type)
            point("registry.push.tag")
        ended = session.link.clock.now()
    return Pushed(
        reference=f"{target.name}@{root.digest}",
        digest=root.digest,
        tags=names,
        pushed_bytes=sum(outcome.sent for outcome in outcomes),
        reused_bytes=sum(outcome.size for outcome in outcomes if outcome.how != "sent"),
        blobs=tuple(outcomes),
        seconds=round(ended - started, 3),
    )


def resolve(
    reference: str, *, insecure: bool = False, clock: Clock | None = None, retry: Retry | None = None
) -> str:
    """The digest that a reference points to now, of an index when it is one.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: there is no such image.
    """
    wanted = parse(reference)
    name = wanted.digest or wanted.tag or "latest"
    with open_session(wanted, insecure=insecure, clock=clock, retry=retry) as session:
        authenticate(session, PULL)
        digest = manifests.tag_digest(session, name)
        if digest is None:
            raise not_found(session, f"{'image' if ':' in name else 'tag'} {name}")
        return digest


def tags(
    reference: str,
    *,
    only: frozenset[str] | None = None,
    insecure: bool = False,
    clock: Clock | None = None,
    retry: Retry | None = None,
) -> list[Tag]:
    """All tags of a repository, or those in `only`, newest first.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: there is no such repository.
    """
    wanted = parse(reference)
    with open_session(wanted, insecure=insecure, clock=clock, retry=retry) as session:
        authenticate(session, PULL)
        stop = threading.Event()
        names = [name for name in _list_tags(session) if only is None or name in only]
        found = each(lambda name: _describe(session, name), names, stop)
    return sorted((tag for tag in found if tag), key=lambda tag: (tag.created, tag.tag), reverse=True)


def tag_names(
    reference: str, *, insecure: bool = False, clock: Clock | None = None, retry: Retry | None = None
) -> list[str]:
    """The names of all tags of a repository, as the registry lists them: one request for a thousand.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: there is no such repository.
    """
    wanted = parse(reference)
    with open_session(wanted, insecure=insecure, clock=clock, retry=retry) as session:
        authenticate(session, PULL)
        return _list_tags(session)


def delete_manifest(
    reference: str, *, insecure: bool = False, clock: Clock | None = None, retry: Retry | None = None
) -> bool:
    """Remove the image that a digest names (or a tag points to) with all its tags; False when there was none.

    Raises:
        TransportError: the registry cannot be reached, or does not allow deletion.
    """
    wanted = parse(reference)
    with open_session(wanted, insecure=insecure, clock=clock, retry=retry) as session:
        authenticate(session, PUSH)
        digest = wanted.digest or manifests.tag_digest(session, wanted.tag or "latest")
        return digest is not None and manifests.delete(session, digest)


def _tag_names(target: Reference, extra: Sequence[str]) -> tuple[str, ...]:
    names = [target.tag] if target.tag else []
    names += [check_tag(tag) for tag in extra]
    if not names and not target.digest:
        names = ["latest"]
    return tuple(dict.fromkeys(names))


def _collect(layout: Path, platform: str | None) -> tuple[Descriptor, list[Descriptor]]:
    """What the reference is to name, and the manifests below it that must be stored first."""
    if platform:
        return layouts.read_image(layout, platform=platform).descriptor, []
    top = layouts.read_index(layout).manifests
    if len(top) != 1:
        named = ", ".join(
            f"{entry.platform.os}/{entry.platform.architecture}" for entry in top if entry.platform
        )
        raise SeatrialError(
            f"the layout holds {len(top)} images" if top else "the layout holds no image",
            where=str(layout / "index.json"),
            why=f"platforms: {named}" if named else None,
            fix="choose one with --platform"
            if top
            else "assemble one with `seatrial image assemble --oci FOLDER`",
        )
    return top[0], _below(layout, top[0])


def _below(layout: Path, descriptor: Descriptor) -> list[Descriptor]:
    if descriptor.media_type not in (layouts.INDEX, layouts.DOCKER_INDEX):
        return []
    found: list[Descriptor] = []
    for entry in layouts.read_json(layout, descriptor.digest, layouts.Index).manifests:
        found += [*_below(layout, entry), entry]
    return found


def _check_pinned(target: Reference, root: Descriptor) -> None:
    if target.digest and target.digest != root.digest:
        raise SeatrialError(
            "the image in the layout is not the one that the reference names",
            where=str(target),
            why=f"the layout has {root.digest}",
            fix="leave out the digest, or assemble that image",
        )


def _blobs(layout: Path, images: Sequence[Descriptor]) -> list[Descriptor]:
    """Configs and layers, each once, the largest first so that the last one is not alone at the end."""
    found: dict[str, Descriptor] = {}
    for descriptor in images:
        if descriptor.media_type in (layouts.INDEX, layouts.DOCKER_INDEX):
            continue
        manifest = layouts.read_json(layout, descriptor.digest, layouts.Manifest)
        found |= {blob.digest: blob for blob in (manifest.config, *manifest.layers)}
    return sorted(found.values(), key=lambda blob: (-blob.size, blob.digest))


def _content(layout: Path, descriptor: Descriptor) -> bytes:
    layouts.read_json(layout, descriptor.digest, msgspec.Raw)  # compares the digest
    return layouts.blob_path(layout, descriptor.digest).read_bytes()


def _put_and_verify(
    session: Session,
    layout: Path,
    images: Sequence[Descriptor],
    blobs: Sequence[Descriptor],
    stop: threading.Event,
    workers: int,
) -> None:
    """Store the manifests without a tag, read each back, and ask for every blob once more."""
    for descriptor in images:
        manifests.put_manifest(session, _content(layout, descriptor), descriptor.media_type)

    def verify(blob: Descriptor) -> None:
        if not present(session, blob):
            raise SeatrialError(
                f"blob {blob.digest} is not in the registry although it was pushed",
                where=session.reference.name,
                why="the registry lost it, or is cleaning up at this moment",
                fix="push again; no tag was moved",
            )

    each(verify, blobs, stop, workers)


def _list_tags(session: Session) -> list[str]:
    url, names = session.url("tags/list?n=1000"), []
    while url:
        answer = call(session, "GET", url, actions=PULL)
        if answer.status_code == _NOT_FOUND:
            raise SeatrialError(
                f"{session.reference.registry} has no repository {session.reference.repository}",
                where=session.reference.name,
                fix="check the spelling; a repository exists once something was pushed to it",
            )
        if answer.status_code != _OK:
            raise refusal(session, answer, "the registry does not list tags")
        page: dict[str, Any] = answer.json()
        names += [str(name) for name in page.get("tags") or []]
        following = re.search(r'<([^>]+)>\s*;\s*rel="?next', answer.headers.get("Link", ""))
        url = urljoin(url, following[1]) if following else ""
    return names


def _describe(session: Session, name: str) -> Tag | None:
    try:
        fetched = manifests.get_manifest(session, name)
    except SeatrialError as error:
        if getattr(error, "status", 0) or "has no tag" not in error.what:
            raise
        return None  # deleted, while others still show it in their lists
    digest, top = fetched.digest, fetched
    for _ in range(3):
        if not top.is_index:
            break
        entries = [
            e
            for e in manifests.decode(session, top, layouts.Index).manifests
            if e.platform and e.platform.os != "unknown"
        ]
        if not entries:
            return Tag(tag=name, digest=digest, size=0, created="")
        top = manifests.get_manifest(session, entries[0].digest)
    manifest = manifests.decode(session, top, layouts.Manifest)
    size = manifest.config.size + sum(layer.size for layer in manifest.layers)
    answer = call(session, "GET", session.url(f"blobs/{manifest.config.digest}"), actions=PULL)
    created = ""
    if answer.status_code == _OK and manifests.content_digest(answer.content) == manifest.config.digest:
        config = msgspec.json.decode(answer.content)
        created = str(config.get("created") or "") if isinstance(config, dict) else ""
    return Tag(tag=name, digest=digest, size=size, created=created)
