"""Facts about packages and platforms, as data with their sources."""

from __future__ import annotations

from functools import cache

import msgspec

from seatrial.images.facts.load import load_yaml
from seatrial.images.facts.releases import (
    Release,
    installs,
    needs,
    newest,
    pythons,
    release,
    releases,
    tracked,
)
from seatrial.images.facts.torch import (
    COMPANIONS,
    Build,
    companions,
    default_cuda,
    torch_build,
    torch_builds,
    torch_of,
    torch_releases_with,
)

__all__ = [
    "COMPANIONS",
    "Build",
    "Capped",
    "Compiled",
    "NumpyAbi",
    "Release",
    "companions",
    "default_cuda",
    "installs",
    "needs",
    "newest",
    "numpy_abi",
    "pythons",
    "release",
    "releases",
    "torch_build",
    "torch_builds",
    "torch_of",
    "torch_releases_with",
    "tracked",
]


class Compiled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package whose wheels below `below` need NumPy 1 without saying so; `fixed` is the first that works with 2."""

    name: str
    below: str
    fixed: str
    failed: tuple[str, ...]
    worked: tuple[str, ...]
    how: str
    source: str
    same_as: str = ""
    pinned_only: bool = False


class Capped(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"first": "from", "end": "to"}):
    """A package whose metadata says numpy<2 from version `first` until before `end`."""

    name: str
    first: str
    end: str


class NumpyAbi(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`facts/numpy_abi.yaml`."""

    source: str
    numpy_1: str
    numpy_1_python: str
    packages: tuple[Compiled, ...]
    capped: tuple[Capped, ...]
    brings_numpy: frozenset[str]


@cache
def numpy_abi() -> NumpyAbi:
    """Which wheels were compiled against NumPy 1."""
    return load_yaml("numpy_abi.yaml", NumpyAbi)
