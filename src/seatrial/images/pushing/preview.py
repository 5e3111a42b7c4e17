"""What a push would do, found out by asking alone: nothing is written anywhere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from seatrial.cloud import ecr
from seatrial.errors import SeatrialError
from seatrial.images.pushing.content import Content, read_content
from seatrial.images.pushing.destination import Destination, Settings, ask_tag, connect
from seatrial.images.pushing.uploads import check_pinned, tags_of_each
from seatrial.images.reference import check_tag, parse
from seatrial.images.registry_session import NO_REPOSITORY, PUSH, call, codes, unknown_repository
from seatrial.images.registry_upload import present
from seatrial.images.registry_workers import ASKING, each

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images.layout import Descriptor

_NOT_FOUND = 404


class TagMove(msgspec.Struct, frozen=True, kw_only=True):
    """A tag and the digest that it has now; None when it would be new."""

    tag: str
    now: str | None
    moves: bool


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of one repository. `send` are the digests that it lacks (a neighbour may lend them), in
    bytes `send_bytes`; `repository` says whether it is there, or would be made first. `error` is why it would fail.
    """

    reference: str
    digest: str
    repository: str
    tags: tuple[TagMove, ...] = ()
    send: tuple[str, ...] = ()
    send_bytes: int = 0
    reused_bytes: int = 0
    error: str = ""


def preview(
    layout: Path,
    references: Sequence[str],
    *,
    tags: Sequence[str] = (),
    platform: str | None = None,
    settings: Settings | None = None,
) -> list[Preview]:
    """What pushing the layout's image to every reference would do now.

    Raises:
        UsageError: a reference or tag is not one.
        SeatrialError: the layout is damaged, or is not what a reference with a digest names.
    """
    parsed = [parse(reference) for reference in references]
    content = read_content(layout, platform)
    for reference in parsed:
        check_pinned(reference, content.root)
    names = tags_of_each(parsed, tuple(check_tag(tag) for tag in tags))
    wanted = [Destination(where, own, settings or Settings()) for where, own in names.items()]
    with ThreadPoolExecutor(max(1, len(wanted)), thread_name_prefix="registry-preview") as pool:
        return list(pool.map(lambda destination: _look(destination, content), wanted))


def _look(destination: Destination, content: Content) -> Preview:
    found = Preview(reference=destination.reference.name, digest=content.root.digest, repository="unknown")
    destination.expected = content.root.digest
    try:
        with destination.opened:
            connect(destination)
            return _ask(destination, content, found)
    except SeatrialError as error:
        return msgspec.structs.replace(found, error=str(error))


def _ask(destination: Destination, content: Content, found: Preview) -> Preview:
    session, digest = destination.session, content.root.digest
    answer = call(session, "GET", session.url("tags/list?n=1"), actions=PUSH)
    there = answer.status_code != _NOT_FOUND
    amazon = ecr.parse_host(destination.reference.registry)
    if (
        not there
        and amazon is not None
        and destination.settings.create is None
        and codes(answer) & NO_REPOSITORY
    ):
        error = unknown_repository(session, answer)
        return msgspec.structs.replace(found, repository="absent", error=str(error))

    def lacks(blob: Descriptor) -> Descriptor | None:
        return None if present(session, blob) else blob

    send = [b for b in each(lacks, content.blobs, destination.stop, ASKING) if b] if there else content.blobs
    if there:
        each(lambda tag: ask_tag(destination, tag), destination.tags, destination.stop, ASKING)
    before = destination.before
    return msgspec.structs.replace(
        found,
        repository="there" if there else "would be made",
        tags=tuple(
            TagMove(tag=tag, now=before.get(tag), moves=before.get(tag) != digest) for tag in destination.tags
        ),
        send=tuple(blob.digest for blob in send),
        send_bytes=sum(blob.size for blob in send),
        reused_bytes=sum(blob.size for blob in content.blobs) - sum(blob.size for blob in send),
    )
