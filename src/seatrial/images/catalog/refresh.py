"""Asks registries which tags they have, compares with what the catalog says, and keeps the answer beside it."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError, UsageError
from seatrial.images.catalog import observed, tables
from seatrial.images.catalog.families import aws, ngc_pytorch, nvidia_cuda
from seatrial.images.catalog.identify import forget, identify
from seatrial.images.catalog.observed import Listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from seatrial.images.registry import Tag

_MOST_GONE = 0.5


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What a registry says of one repository. `gone` are tags that the catalog counts on and the registry has not;

    `new` are tags that the catalog can read but did not know; `unread` says how many others there are.
    """

    repository: str
    registry: str
    listing: Listing
    gone: tuple[str, ...]
    new: tuple[str, ...]
    unread: int


def repositories() -> tuple[str, ...]:
    """The catalog's repositories whose tags are worth asking for."""
    return tuple(tables.load("repositories")["refreshed"])


def place(repository: str, registry: str = "") -> str:
    """Where a repository is: at its own registry, or under the same path at another one (a mirror).

    Raises:
        UsageError: the catalog does not refresh that repository.
    """
    if repository not in repositories():
        raise UsageError(
            f"the catalog has no tags of {repository!r} to refresh",
            fix=f"choose from {', '.join(repositories())}",
        )
    own: str = tables.load("repositories")["refreshed"][repository]
    if not registry:
        return own
    host, _, path = own.partition("/")
    return f"{registry}/{path}" if "." in host else f"{registry}/{own}"


def ask(
    repository: str, date: str, *, registry: str = "", insecure: bool = False, sizes: bool = False
) -> Difference:
    """List a repository's tags; with `sizes` also how large those are that the catalog offers.

    Raises:
        TransportError: the registry cannot be reached or refuses.
        SeatrialError: it has no such repository, or what it lists cannot be that repository.
    """
    from seatrial.images import registry as registries
    from seatrial.images.reference import parse

    reference = place(repository, registry)
    names = registries.tag_names(reference, insecure=insecure)
    known = _known(repository)
    measured: Sequence[Tag] = ()
    if sizes:
        measured = registries.tags(reference, insecure=insecure, only=_offered(repository))
    listing = Listing(
        registry=parse(reference).registry,
        date=date,
        tags=dict.fromkeys(sorted(names)) | {one.tag: one.size for one in measured},
    )
    return compare(repository, listing, known)


def compare(repository: str, listing: Listing, known: Iterable[str]) -> Difference:
    """What a listing changes.

    Raises:
        SeatrialError: it lacks so much of what is known that it is hardly a listing of that repository.
    """
    known = frozenset(known)
    gone = known - listing.tags.keys()
    if not listing.tags or len(gone) > _MOST_GONE * len(known):
        raise SeatrialError(
            f"{listing.registry} lists {len(listing.tags)} tags, without {len(gone)} of the {len(known)} known ones",
            where=repository,
            why="that is hardly this repository: a mirror that holds only a part, or another repository of that name",
            fix="ask the repository's own registry, or one that mirrors all of it",
        )
    readable = [tag for tag in listing.tags if tag not in known and _readable(repository, tag)]
    return Difference(
        repository=repository,
        registry=listing.registry,
        listing=listing,
        gone=tuple(sorted(gone)),
        new=tuple(sorted(readable)),
        unread=len(listing.tags.keys() - known) - len(readable),
    )


def keep(differences: Iterable[Difference]) -> Path:
    """Write the listings where the catalog finds them; it goes by them from then on.

    Raises:
        SeatrialError: the folder cannot be written.
    """
    path = observed.write({one.repository: one.listing for one in differences})
    forget()
    return path


def _known(repository: str) -> frozenset[str]:
    """The tags that the catalog counts on."""
    tags: dict[str, Callable[[], Iterable[str]]] = {
        "nvidia/cuda": lambda: (tag for tag, _ in nvidia_cuda.tags()),
        "nvcr.io/nvidia/pytorch": lambda: (f"{month}-py3" for month in ngc_pytorch.months()),
    }
    if repository.startswith("aws/"):
        rows = aws.rows()[repository.removeprefix("aws/")]
        return frozenset(tag for row in rows for tag in row.tags)
    if repository in tags:
        return frozenset(tags[repository]())
    listing = observed.read().repositories.get(repository)
    return frozenset(listing.tags) if listing else frozenset()


def _offered(repository: str) -> frozenset[str]:
    """The tags that can be recommended: the only ones whose size anyone asks for."""
    named = (reference.rpartition(":") for reference in _recommendable())
    return frozenset(tag for name, _, tag in named if _same(name, repository))


@cache
def _recommendable() -> frozenset[str]:
    from seatrial.images.catalog.offers import offers
    from seatrial.images.catalog.wishes import Wanted
    from seatrial.images.facts import releases

    torches = [None, *(one.version for one in releases("torch"))]
    wishes = [Wanted(torch=torch, needs_nvcc=nvcc) for torch in torches for nvcc in (False, True)]
    wishes += [Wanted(serving=server) for server in ("vllm", "sglang", "triton", "djl")]
    return frozenset(offer.reference for wanted in wishes for offer in offers(wanted))


def _same(name: str, repository: str) -> bool:
    return place(repository) in (name, f"docker.io/{name}", f"docker.io/library/{name}")


def _readable(repository: str, tag: str) -> bool:
    contents = identify(f"{place(repository)}:{tag}")
    return contents is not None and not contents.moving
