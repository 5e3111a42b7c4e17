"""Where an assembled image goes besides its layout: registries, an archive, an engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError, UsageError
from seatrial.images.outputs import archive, engines
from seatrial.images.outputs.engines import Loaded, Program  # noqa: TC001 - msgspec reads the annotation
from seatrial.images.reference import check_tag, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import IO

    from seatrial.config.model import Push
    from seatrial.images.outputs.names import Name


class Destination(msgspec.Struct, frozen=True, kw_only=True):
    """A repository and the tags that the image gets there; no tag: one made of its digest."""

    repository: str
    tags: tuple[str, ...]
    insecure: bool = False


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """Where an image went: references with digests in registries, the archive's place and bytes, the engine."""

    references: tuple[str, ...] = ()
    pushed_bytes: int = 0
    archive: str | None = None
    archive_bytes: int = 0
    loaded: Loaded | None = None


def destinations(tags: Sequence[str], push: Push, *, insecure: bool) -> tuple[Destination, ...]:
    """The repositories to push to: those that `tags` (REGISTRY/REPO:TAG) name, else those of seatrial.yaml.

    Raises:
        UsageError: a reference is not one, or nothing says where to.
    """
    if tags:
        found: dict[str, list[str]] = {}
        for text in tags:
            parsed = parse(text)
            if parsed.digest:
                raise UsageError(
                    f"{text!r} names a digest", why="the digest of an image follows from its content",
                    fix=f"write {parsed.name}:TAG",
                )  # fmt: skip
            found.setdefault(parsed.name, []).append(parsed.tag or "latest")
        return tuple(
            Destination(repository=name, tags=tuple(dict.fromkeys(names)), insecure=insecure)
            for name, names in found.items()
        )
    if not push.to:
        raise UsageError(
            "nothing says where to push to",
            fix="give --tag REGISTRY/REPO:TAG --push, or write `push: {to: [REGISTRY/REPO]}` for the image in seatrial.yaml",
        )
    for text in push.to:
        parsed = parse(text)
        if parsed.tag or parsed.digest:
            raise UsageError(
                f"push.to names {text!r}, which has a tag or digest", where="seatrial.yaml",
                fix=f"write {parsed.name} there, and the tag under push.tags",
            )  # fmt: skip
    tagged = tuple(check_tag(tag) for tag in push.tags)
    return tuple(
        Destination(repository=name, tags=tagged, insecure=insecure or push.insecure) for name in push.to
    )


def push_to(
    layout: Path,
    digest: str,
    targets: Sequence[Destination],
    *,
    point: Callable[[str], None] = lambda _name: None,
) -> Delivered:
    """Push what `layout` holds, and see that every registry has `digest`.

    Raises:
        TransportError: a registry cannot be reached or refuses.
        SeatrialError: what a registry has is not what was assembled.
    """
    from seatrial.images import registry

    references, sent = [], 0
    for target in targets:
        names = target.tags or (digest.removeprefix("sha256:")[:12],)
        pushed = registry.push(
            layout,
            f"{target.repository}:{names[0]}",
            tags=names[1:],
            insecure=target.insecure,
            point=point,
        )
        if pushed.digest != digest:
            raise SeatrialError(
                f"the registry has {pushed.digest}, not {digest}", where=target.repository, fix="push again"
            )
        references += [f"{target.repository}:{name}@{digest}" for name in pushed.tags]
        sent += pushed.pushed_bytes
    return Delivered(references=tuple(references), pushed_bytes=sent)


def save_to(layout: Path, path: Path | None, stream: IO[bytes], names: Sequence[Name]) -> int:
    """Write the archive to `path`, or to `stream` when there is none; the answer is its size in bytes.

    Raises:
        SeatrialError: it cannot be written, or whoever reads it went away.
    """
    if path is not None:
        return archive.save(layout, path, names)
    try:
        size = archive.write(layout, stream, names)
        stream.flush()
    except BrokenPipeError as error:
        raise SeatrialError(
            "the archive was not read to its end", why="the program behind the pipe ended early"
        ) from error
    return size


def load_into(layout: Path, program: Program, names: Sequence[Name]) -> Loaded:
    """Give the image to an engine on this machine; see `engines.load`."""
    return engines.load(layout, names, program)
