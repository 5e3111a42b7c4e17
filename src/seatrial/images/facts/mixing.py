"""Packages that are built for one torch or one CUDA: what happens beside another, and what PyTorch's indexes have not."""

from __future__ import annotations

from functools import cache
from typing import Literal

import msgspec

from seatrial.images.facts.load import load_yaml


class Companion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package that is built once for each CUDA. `compares` is what must agree with the CUDA of torch."""

    package: str
    compares: Literal["major", "minor"]
    first: str
    certain: bool
    on_cpu: bool
    how: str
    source: str


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one sees, and where it was seen."""

    how: str
    source: str


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Packages by normalised name."""

    source: str
    packages: frozenset[str]


class Mixing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`mixing.yaml`."""

    companions: tuple[Companion, ...]
    on_cpu: Told
    unserved: Listed
    compiled: Listed


@cache
def mixing() -> Mixing:
    """The table; a mistake in it raises msgspec.ValidationError."""
    return load_yaml("mixing.yaml", Mixing)
