"""Where an assembled image goes besides its layout: registries, an archive, an engine."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError, UsageError
from seatrial.images.outputs import archive, engines
from seatrial.images.outputs.engines import Loaded, Program  # noqa: TC001 - msgspec reads the annotation
from seatrial.images.reference import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from seatrial.config.model import Push
    from seatrial.images.outputs.names import Name
    from seatrial.images.pushing.order import Order
    from seatrial.images.pushing.uploads import Result, Uploads


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """Where an image went: references by digest and with their tags, bytes sent, the archive's place and size,
    the engine. `notes` say why it has its tags.
    """

    references: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    pushed_bytes: int = 0
    archive: str | None = None
    archive_bytes: int = 0
    loaded: Loaded | None = None
    notes: tuple[str, ...] = ()


def order_of(tags: Sequence[str], push: Push, *, insecure: bool) -> Order:
    """What to push where: to what `tags` (REGISTRY/REPO:TAG) name, else as seatrial.yaml says.

    Raises:
        UsageError: a reference is not one, or nothing says where to.
    """
    from seatrial.images.pushing import order as orders

    order = orders.from_settings(push)
    if tags:
        parsed = [parse(tag) for tag in tags]
        references = tuple(dict.fromkeys(f"{one.name}:{one.tag or 'latest'}" for one in parsed))
        order = order._replace(references=references, regions=(), tags=(), strategies=())
    elif not push.to:
        raise UsageError(
            "nothing says where to push to",
            fix="give --tag REGISTRY/REPO:TAG --push, or write `push: {to: [REGISTRY/REPO]}` for the image in seatrial.yaml",
        )
    orders.expanded(order.references, order.regions)  # all of them are references
    return order._replace(settings=order.settings._replace(insecure=insecure or order.settings.insecure))


def uploads_of(order: Order, *, point: Callable[[str], None] = lambda _name: None) -> Uploads | None:
    """Uploads that may begin before the image is whole; None when its tags follow from what it is."""
    from seatrial.images.pushing import order as orders
    from seatrial.images.pushing.uploads import Uploads

    if order.strategies:
        return None
    references = orders.expanded(order.references, order.regions)
    return Uploads(references, tags=order.tags, settings=order.settings._replace(point=point))


def push(order: Order, uploads: Uploads | None, layout: Path, digest: str, folder: Path) -> Delivered:
    """Bring what `layout` holds to every registry, and see that each has `digest`.

    `folder` is the project, for tags made from its git repository.

    Raises:
        SeatrialError: a registry cannot be reached, refuses, or has something else; the image is elsewhere then.
    """
    from seatrial.images.pushing import order as orders

    plan = orders.plan(order, folder, digest, without=[layout])
    notes = [f"tag {one.tag}: {one.why}" for one in plan.decision.tags] if plan.decision else []
    notes += plan.decision.notes if plan.decision else ()
    named = plan.tags or all(":" in reference.rpartition("/")[2] for reference in plan.references)
    extra = () if named else (digest.removeprefix("sha256:")[:12],)
    if uploads is not None:
        results = uploads.finish(layout, tags=extra)
    else:
        results = orders.carry_out(plan._replace(tags=(*plan.tags, *extra)), layout)
    return msgspec.structs.replace(_gathered(results, digest), notes=tuple(notes))


def save(layout: Path, path: Path | None, stream: IO[bytes], names: Sequence[Name]) -> int:
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


def load(layout: Path, program: Program, names: Sequence[Name]) -> Loaded:
    """Give the image to an engine on this machine; see `engines.load`."""
    return engines.load(layout, names, program)


def _gathered(results: Sequence[Result], digest: str) -> Delivered:
    """One account of all registries. The first failure is raised, and says what became of the others."""
    done = [result.pushed for result in results if result.pushed]
    failed = [result for result in results if result.error]
    for result in failed:
        assert result.error is not None  # noqa: S101 - only failures are looked at
        others = [f"{one.reference} has it" for one in done]
        others += [f"{one.reference}: {one.error.what}" for one in failed if one.error and one is not result]
        if others:
            result.error.why = "; ".join(filter(None, (result.error.why, *others)))
        raise result.error
    for one in done:
        if one.digest != digest:
            raise SeatrialError(
                f"the registry has {one.digest}, not {digest}", where=one.reference, fix="push again"
            )
    return Delivered(
        references=tuple(one.reference for one in done),
        tags=tuple(f"{one.reference.partition('@')[0]}:{tag}" for one in done for tag in one.tags),
        pushed_bytes=sum(one.pushed_bytes for one in done),
    )
