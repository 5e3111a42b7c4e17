"""Which Python the tags of the image `python` have that name no minor version."""

from __future__ import annotations

from functools import cache

import msgspec

from seatrial.images.facts.load import load_yaml


class Moving(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`moving_python.yaml`: tags made of `words` alone have had at least that Python since the day `since`."""

    at_least: str
    since: str
    words: frozenset[str]
    source: str

    def lowest(self, tag: str) -> str:
        """The lowest Python that a tag can have; empty where that is not known."""
        return self.at_least if set((tag or "latest").split("-")) <= self.words else ""


@cache
def moving_python() -> Moving:
    """The table; a mistake in it raises msgspec.ValidationError."""
    return load_yaml("moving_python.yaml", Moving)
