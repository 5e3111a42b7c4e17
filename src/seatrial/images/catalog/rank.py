"""Base images for a project, the best first, each with what speaks for it and against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.images.catalog.identify import identify
from seatrial.images.catalog.offers import offers
from seatrial.images.catalog.remarks import remarks
from seatrial.images.catalog.wishes import refusals

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.images.catalog.model import Contents
    from seatrial.images.catalog.offers import Offer
    from seatrial.images.catalog.wishes import Remark, Wanted

_EACH_FAMILY = 2


class Ranked(msgspec.Struct, frozen=True, kw_only=True):
    """A pinned reference. `behind` says why it is not first, empty for the first.

    `torch` and `cuda` are what would run in it, whether inside already or installed. `size_bytes` is compressed, None
    where it is not known.
    """

    reference: str
    reasons: tuple[str, ...]
    cautions: tuple[str, ...]
    behind: str
    torch: str
    cuda: str
    size_bytes: int | None
    contents: Contents


def candidates(wanted: Wanted, limit: int | None = None) -> tuple[Ranked, ...]:
    """The images that fulfil `wanted`, the best first; at most `limit`.

    Only references that are known to exist and do not move. Of each repository the best few, so that runners-up differ.
    """
    judged: list[tuple[float, int, Offer, Contents, list[Remark]]] = []
    seen = set()
    for position, offer in enumerate(offers(wanted)):
        contents = identify(offer.reference)
        if contents is None or offer.reference in seen:
            continue
        seen.add(offer.reference)
        if any(refusals(contents, wanted, offer.torch, offer.cuda)):
            continue
        found = list(remarks(contents, wanted, offer))
        judged.append((-sum(one.weight for one in found), position, offer, contents, found))
    judged.sort(key=lambda one: one[:2])
    kept = _varied(judged)[:limit]
    return tuple(_ranked(one, kept[0]) for one in kept)


def _varied(
    judged: Iterable[tuple[float, int, Offer, Contents, list[Remark]]],
) -> list[tuple[float, int, Offer, Contents, list[Remark]]]:
    count: dict[str, int] = {}
    kept = []
    for one in judged:
        family = one[3].family
        count[family] = count.get(family, 0) + 1
        if count[family] <= _EACH_FAMILY:
            kept.append(one)
    return kept


def _ranked(
    one: tuple[float, int, Offer, Contents, list[Remark]],
    first: tuple[float, int, Offer, Contents, list[Remark]],
) -> Ranked:
    _, _, offer, contents, found = one
    return Ranked(
        reference=offer.reference,
        reasons=tuple(remark.text for remark in found if remark.weight >= 0),
        cautions=tuple(remark.text for remark in found if remark.weight < 0),
        behind="" if one is first else _behind(found, first[4]),
        torch=offer.torch,
        cuda=offer.cuda,
        size_bytes=contents.size_bytes,
        contents=contents,
    )


def _behind(own: list[Remark], first: list[Remark]) -> str:
    """What weighs most against it, or what the first has that it has not."""
    others = {remark.text for remark in first}
    against = [remark for remark in own if remark.weight < 0 and remark.text not in others]
    if against:
        return min(against, key=lambda remark: remark.weight).text
    texts = {remark.text for remark in own}
    missing = [remark for remark in first if remark.weight > 0 and remark.text not in texts]
    if missing:
        return f"the first: {max(missing, key=lambda remark: remark.weight).text}"
    return "as good as the first; later in the catalog"
