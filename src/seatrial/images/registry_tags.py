"""The tags of a repository, with what each of them names: digest, size, date and platforms."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urljoin

import msgspec

from seatrial.clock import iso
from seatrial.cloud import ecr
from seatrial.errors import MissingToolError, SeatrialError
from seatrial.images import layout as layouts
from seatrial.images import registry_manifests as manifests
from seatrial.images.pushing.semver import sort_key
from seatrial.images.reference import parse
from seatrial.images.registry_session import (
    PULL,
    authenticate,
    call,
    open_session,
    refusal,
)
from seatrial.images.registry_workers import ASKING, each

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seatrial.clock import Clock
    from seatrial.images.reference import Reference
    from seatrial.images.registry_manifests import Fetched
    from seatrial.images.registry_session import Session
    from seatrial.transport import Retry

Sort = Literal["date", "version", "name"]
_OK, _NOT_FOUND = 200, 404
_MOST_LEVELS = 3


class TagPlatform(msgspec.Struct, frozen=True, kw_only=True):
    """One image of an index; `size` is what pulling it transfers in bytes."""

    platform: str
    digest: str
    size: int


class Tag(msgspec.Struct, frozen=True, kw_only=True):
    """A tag; `size` is what a pull for one platform (the first) transfers in bytes, `created` is RFC 3339 or empty.

    `platforms` are those of an index. Only Amazon's registry says when it was `pushed` and what it found by `scan`.
    """

    tag: str
    digest: str
    size: int
    created: str
    platforms: tuple[TagPlatform, ...] = ()
    pushed: str = ""
    scan: str = ""


def tags(
    reference: str,
    *,
    only: frozenset[str] | None = None,
    sort: Sort = "date",
    limit: int | None = None,
    insecure: bool = False,
    clock: Clock | None = None,
    retry: Retry | None = None,
    note: Callable[[str], None] = lambda _: None,
) -> list[Tag]:
    """The tags of a repository, or those in `only`, newest (or highest version) first, at most `limit` of them.

    `note` is told when Amazon's own list could not be had and the tags are read one by one.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: there is no such repository.
    """
    wanted = parse(reference)
    with open_session(wanted, insecure=insecure, clock=clock, retry=retry) as session:
        told = _ask_amazon(wanted, note)
        authenticated = False
        if told is None:
            authenticate(session, PULL)
            authenticated = True
        names = [tag for row in told for tag in row.tags] if told is not None else _list(session)
        names = [name for name in names if only is None or name in only]
        if sort != "date":  # only what is shown is asked for
            names = sorted(names, key=sort_key if sort == "version" else str, reverse=sort == "version")[
                :limit
            ]
        if told is not None:
            found = _from_amazon(session, told, names, authenticated=authenticated)
        else:
            found = _describe_all(session, names)
    if sort == "date":
        found.sort(key=lambda tag: (tag.pushed or tag.created, tag.tag), reverse=True)
    return found[:limit]


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
        return _list(session)


def _ask_amazon(wanted: Reference, note: Callable[[str], None]) -> list[ecr.Row] | None:
    """One question for a thousand images instead of three for each; None where that is not to be had."""
    from seatrial.cloud.session import AwsError

    amazon = ecr.parse_host(wanted.registry)
    if amazon is None or amazon.public:
        return None
    try:
        return ecr.images(amazon, wanted.repository)
    except (AwsError, MissingToolError) as error:
        if isinstance(error, AwsError) and error.code == "RepositoryNotFoundException":
            raise _no_repository(wanted) from error
        note(f"{error.what} ({error.fix}): no dates of pushing and no scans, each tag is read by itself")
        return None


def _from_amazon(
    session: Session, rows: Sequence[ecr.Row], names: Sequence[str], *, authenticated: bool
) -> list[Tag]:
    by_tag = {tag: row for row in rows for tag in row.tags}
    indexes = {
        name: by_tag[name]
        for name in names
        if by_tag[name].media_type in (layouts.INDEX, layouts.DOCKER_INDEX)
    }
    read: dict[str, Tag] = {}
    if indexes:
        if not authenticated:
            authenticate(session, PULL)
        read = {tag.tag: tag for tag in _describe_all(session, list(indexes))}
    return [
        Tag(
            tag=name,
            digest=row.digest,
            size=read[name].size if name in read else row.size,
            created=read[name].created if name in read else "",
            platforms=read[name].platforms if name in read else (),
            pushed=iso(row.pushed) if row.pushed else "",
            scan=row.scan,
        )
        for name in names
        for row in [by_tag[name]]
    ]


def _list(session: Session) -> list[str]:
    url, names = session.url("tags/list?n=1000"), []
    while url:
        answer = call(session, "GET", url, actions=PULL)
        if answer.status_code == _NOT_FOUND:
            raise _no_repository(session.reference)
        if answer.status_code != _OK:
            raise refusal(session, answer, "the registry does not list tags")
        page: dict[str, Any] = answer.json()
        names += [str(name) for name in page.get("tags") or []]
        following = re.search(r'<([^>]+)>\s*;\s*rel="?next', answer.headers.get("Link", ""))
        url = urljoin(url, following[1]) if following else ""
    return names


def _no_repository(wanted: Reference) -> SeatrialError:
    return SeatrialError(
        f"{wanted.registry} has no repository {wanted.repository}",
        where=wanted.name,
        fix="check the spelling; a repository exists once something was pushed to it",
    )


def _describe_all(session: Session, names: Sequence[str]) -> list[Tag]:
    """Every tag that is still there. What several tags name is looked into once."""
    stop = threading.Event()
    tops = each(lambda name: _top(session, name), names, stop, ASKING)
    by_digest = {top.digest: top for top in tops if top is not None}
    described = each(lambda top: _describe(session, top), list(by_digest.values()), stop, ASKING)
    known = dict(zip(by_digest, described, strict=True))
    return [
        msgspec.structs.replace(known[top.digest], tag=name)
        for name, top in zip(names, tops, strict=True)
        if top is not None
    ]


def _top(session: Session, name: str) -> Fetched | None:
    try:
        return manifests.get_manifest(session, name)
    except SeatrialError as error:
        if getattr(error, "status", 0) or "has no tag" not in error.what:
            raise
        return None  # deleted, while others still show it in their lists


def _describe(session: Session, top: Fetched) -> Tag:
    if not top.is_index:
        size, created = _measure(session, top)
        return Tag(tag="", digest=top.digest, size=size, created=created)
    platforms, created = [], ""
    for platform, image in _images(session, top, _MOST_LEVELS):
        size, made = _measure(session, image, with_date=not created)
        created = created or made
        platforms.append(TagPlatform(platform=platform, digest=image.digest, size=size))
    return Tag(
        tag="",
        digest=top.digest,
        size=platforms[0].size if platforms else 0,
        created=created,
        platforms=tuple(platforms),
    )


def _images(session: Session, top: Fetched, levels: int) -> list[tuple[str, Fetched]]:
    found: list[tuple[str, Fetched]] = []
    for entry in manifests.decode(session, top, layouts.Index).manifests:
        if entry.platform is None or entry.platform.os == "unknown":  # what BuildKit attests of an image
            continue
        image = manifests.get_manifest(session, entry.digest)
        if not image.is_index:
            found.append((str(entry.platform), image))
        elif levels > 1:
            found += _images(session, image, levels - 1)
    return found


def _measure(session: Session, image: Fetched, *, with_date: bool = True) -> tuple[int, str]:
    manifest = manifests.decode(session, image, layouts.Manifest)
    size = manifest.config.size + sum(layer.size for layer in manifest.layers)
    if not with_date:
        return size, ""
    answer = call(session, "GET", session.url(f"blobs/{manifest.config.digest}"), actions=PULL)
    if answer.status_code != _OK or manifests.content_digest(answer.content) != manifest.config.digest:
        return size, ""
    config = msgspec.json.decode(answer.content)
    return size, str(config.get("created") or "") if isinstance(config, dict) else ""
