"""One image, its old base and its new one, read as far as the checks need it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from seatrial.images import layout as oci
    from seatrial.images.bases import Base
    from seatrial.images.probe import Probed
    from seatrial.images.rebase.base import OldBase
    from seatrial.images.rebase.linking import Stack
    from seatrial.images.rebase.own import Ground, Own
    from seatrial.images.rebase.scan import Layer
    from seatrial.images.rebase.tree import Tree


class Assembly(NamedTuple):
    """What only an image of Seatrial's own has: the interpreters of both bases, and the first own layer anew."""

    own: Own
    old: Probed
    new: Probed
    ground: Ground


class Case(NamedTuple):
    """`layers` are the own layers that go onto the new base unchanged, with their numbers in the image.

    `old_base` and `new_base` are the trees of the bases alone, `old` and `new` the whole stacks, `dropped` the
    numbers of layers that are left out. `assembly` is None for images built elsewhere; `config` is the result's.
    """

    image: oci.Image
    base: OldBase
    target: oci.Image
    target_base: Base
    layers: tuple[tuple[int, Layer], ...]
    old_base: Tree
    new_base: Tree
    old: Stack
    new: Stack
    assembly: Assembly | None
    dropped: frozenset[int]
    config: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """How a container of the former image starts."""
        return self.image.config.get("config") or {}

    @property
    def new_settings(self) -> dict[str, Any]:
        """How a container of the rebased image starts."""
        return self.config.get("config") or {}
