"""A whole push as a person asks for it: where to, under which tags, chosen how. The command line and settings make one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from seatrial.cloud import ecr
from seatrial.errors import UsageError
from seatrial.images.pushing.content import read_content
from seatrial.images.pushing.destination import Settings
from seatrial.images.pushing.tagging import Decision, Strategy, Wish
from seatrial.images.pushing.uploads import Result, push_all
from seatrial.images.reference import Reference, check_tag, parse

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.config.model import Push
    from seatrial.images.pushing.preview import Preview


class Order(NamedTuple):
    """`references` to push to, in their own region and in `regions`; `tags` and those of the `strategies`.

    `replace` lets a version move to this image. `settings` are those of the transfer.
    """

    references: tuple[str, ...]
    regions: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    strategies: tuple[Strategy, ...] = ()
    wish: Wish = Wish()
    replace: bool = False
    settings: Settings = Settings()


class Plan(NamedTuple):
    """What an order comes to for one image. `decision` says why the tags; None when no strategy was asked."""

    references: tuple[str, ...]
    tags: tuple[str, ...]
    decision: Decision | None
    settings: Settings


def from_settings(push: Push) -> Order:
    """The order that `images.NAME.push` describes.

    Raises:
        UsageError: a strategy, reference or tag in it is none.
    """
    strategies = (push.strategy,) if isinstance(push.strategy, str) else push.strategy or ()
    wanted = push.repository
    create = ecr.NewRepository(
        scan_on_push=wanted.scan_on_push,
        immutable=wanted.immutable,
        encryption=wanted.encryption,
        kms_key=wanted.kms_key or "",
        tags=wanted.tags,
    )
    return Order(
        references=push.to,
        regions=push.regions,
        tags=push.tags,
        strategies=strategies,
        wish=Wish(floating=push.floating),
        settings=Settings(insecure=push.insecure, create=create if push.create else None),
    )


def plan(order: Order, folder: Path, digest: str, *, without: Sequence[Path] = ()) -> Plan:
    """Where an image with this digest, made from `folder`, goes and what it is called there.

    Files below `without` do not count as changes of the working tree.

    Raises:
        UsageError: a reference, region or tag is none, or a strategy cannot say a tag here.
        SeatrialError: git cannot read the repository.
    """
    references = expanded(order.references, order.regions)
    given = tuple(check_tag(tag) for tag in order.tags)
    if not order.strategies:
        return Plan(references, given, None, order.settings)
    from seatrial.images.pushing.tags import choose_tags

    decision = choose_tags(order.strategies, folder, digest, order.wish, without=without)
    fixed = frozenset() if order.replace else decision.fixed
    # A version that is refused keeps `latest` from moving: what cannot move goes first.
    chosen = sorted(decision.names, key=lambda tag: tag not in decision.fixed)
    tags = tuple(dict.fromkeys((*chosen, *given)))
    return Plan(references, tags, decision, order.settings._replace(fixed=fixed))


def carry_out(plan: Plan, layout: Path, *, platform: str | None = None) -> list[Result]:
    """Push the image in `layout`; see `uploads.push_all`."""
    return push_all(layout, plan.references, tags=plan.tags, platform=platform, settings=plan.settings)


def look_ahead(plan: Plan, layout: Path, *, platform: str | None = None) -> list[Preview]:
    """What `carry_out` would do; see `preview.preview`."""
    from seatrial.images.pushing.preview import preview

    return preview(layout, plan.references, tags=plan.tags, platform=platform, settings=plan.settings)


def digest_in(layout: Path, platform: str | None = None) -> str:
    """The digest of what of the layout would be pushed.

    Raises:
        SeatrialError: the layout is damaged, or holds several images.
    """
    return read_content(layout, platform).root.digest


def expanded(references: Sequence[str], regions: Sequence[str]) -> tuple[str, ...]:
    """Every reference, and each that is in Amazon's registry once more for every region.

    Raises:
        UsageError: a reference is none, or regions are asked for where there are none.
    """
    parsed = [parse(reference) for reference in references]
    private = [one for one in parsed if (amazon := ecr.parse_host(one.registry)) and not amazon.public]
    if regions and not private:
        raise UsageError(
            "none of the references has regions",
            where=", ".join(references),
            fix="give one such as ACCOUNT.dkr.ecr.REGION.amazonaws.com/NAME, or leave out the regions",
        )
    found: list[str] = []
    for text, one in zip(references, parsed, strict=True):
        found.append(text)
        if one in private:
            found += [
                str(Reference(ecr.in_region(one.registry, region), one.repository, one.tag, one.digest))
                for region in regions
            ]
    return tuple(dict.fromkeys(found))
