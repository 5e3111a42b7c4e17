"""Images to and from registries. A tag only ever points to an image whose every byte has been verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images import registry_manifests as manifests
from seatrial.images.pushing.destination import Pushed, Settings
from seatrial.images.pushing.uploads import push_all
from seatrial.images.reference import parse
from seatrial.images.registry_pull import for_platform, pull
from seatrial.images.registry_session import PULL, PUSH, authenticate, not_found, open_session
from seatrial.images.registry_tags import Tag, tag_names, tags
from seatrial.images.registry_upload import CHUNK
from seatrial.images.registry_workers import WORKERS
from seatrial.images.target import this_platform

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from seatrial.clock import Clock
    from seatrial.transport import Retry

__all__ = ["Pushed", "Tag", "delete_manifest", "named", "pull", "push", "resolve", "tag_names", "tags"]


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

    Without any tag or digest the tag is `latest`. `platform` chooses one of several images. For the rest see
    `pushing.destination.Settings`, and `pushing.uploads` for several references at once. Pushing again sends
    nothing that is there.

    Raises:
        UsageError: the reference or a tag is not one.
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: the layout is damaged, or what arrived is not what was sent.
    """
    settings = Settings(
        insecure=insecure,
        mount_from=tuple(mount_from),
        point=point,
        clock=clock,
        retry=retry,
        timeout=timeout,
        workers=workers,
        chunk=chunk,
    )
    [result] = push_all(layout, [reference], tags=tags, platform=platform, settings=settings)
    if result.error is not None:
        raise result.error
    assert result.pushed is not None  # noqa: S101 - one of the two is there
    return result.pushed


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


def named(reference: str, *, platform: str, insecure: bool = False) -> tuple[str, ...]:
    """The digest that a reference points to; after that of an index also that of its image for `platform`.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: there is no such image or platform.
    """
    wanted = parse(reference)
    with open_session(wanted, insecure=insecure) as session:
        authenticate(session, PULL)
        top = manifests.get_manifest(session, wanted.digest or wanted.tag or "latest")
        image = for_platform(session, top, platform or this_platform())
        return tuple(dict.fromkeys((top.digest, image.digest)))


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
