"""What a project is built with, as wheels for the Python that builds: resolved, or built themselves first."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from seatrial.files import write_atomic
from seatrial.images.assemble.store import scratch
from seatrial.images.building.model import BuildError, Source, System, Workshop

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.lock import LockedWheel

_DEEPEST = 8


class Requirements(NamedTuple):
    """Wheels, and where they can be had (see `resolve.Resolution`)."""

    wheels: tuple[LockedWheel, ...] = ()
    urls: dict[str, str] = {}  # noqa: RUF012 - never changed


def resolved(shop: Workshop, requires: Sequence[str], system: System, source: Source) -> Requirements:
    """The wheels that satisfy `requires` for the interpreter of `system`.

    Raises:
        SeatrialError: they contradict each other, cannot be had, or would have to be built by themselves.
    """
    from seatrial.images.resolve import resolve

    if not requires:
        return Requirements()
    if len(shop.parents) >= _DEEPEST:
        chain = " → ".join((*shop.parents, source.label))
        raise BuildError(
            "the build requirements go too deep", why=chain, fix="give wheels of them by `--find-links`"
        )
    with scratch() as folder:
        file = folder / "requires.in"
        write_atomic(file, "".join(f"{one}\n" for one in requires))
        found = resolve([file], system.interpreter.target, refresh=shop.refresh, env=_environment(shop))
    return Requirements(found.lock.wheels, found.urls)


def _environment(shop: Workshop) -> dict[str, str]:
    """The settings of uv, with the image's wheelhouses besides."""
    links = [str((shop.spec.root / name).absolute()) for name in shop.spec.find_links]
    env = dict(shop.env)
    if links:
        env["UV_FIND_LINKS"] = ",".join([*filter(None, [env.get("UV_FIND_LINKS", "")]), *links])
    if shop.spec.offline:
        env["UV_OFFLINE"] = "1"
    return env
