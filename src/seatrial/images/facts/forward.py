"""Where libraries of a newer driver stand in for an older one."""

from __future__ import annotations

from functools import cache

import msgspec

from seatrial.images.facts.load import load_yaml


class Forward(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`forward.yaml`: images that bring the package cuda-compat, and the starts of names of GPUs that cannot use it.

    `prefixes` are starts of names of images that bring it.
    """

    source: str
    images: frozenset[str]
    prefixes: tuple[str, ...]
    images_source: str
    without: tuple[str, ...]

    def inside(self, family: str) -> bool:
        """Whether images of a family of the catalog bring cuda-compat."""
        return family in self.images or family.startswith(self.prefixes)


@cache
def forward() -> Forward:
    """The table; a mistake in it raises msgspec.ValidationError."""
    return load_yaml("forward.yaml", Forward)
