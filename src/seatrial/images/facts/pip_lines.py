"""What pip and uv make of options that stand behind a requirement, on its line."""

from __future__ import annotations

from functools import cache

import msgspec

from seatrial.images.facts.load import load_yaml


class PipLines(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`pip_lines.yaml`: names of options without dashes; `pip` and `uv` are addresses that say so."""

    pip: str
    uv: str
    obeyed: frozenset[str]
    uv_obeyed: frozenset[str]
    forgotten: frozenset[str]
    refused: frozenset[str]


@cache
def pip_lines() -> PipLines:
    """The table; a mistake in it raises msgspec.ValidationError."""
    return load_yaml("pip_lines.yaml", PipLines)
