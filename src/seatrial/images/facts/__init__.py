"""Facts about packages and platforms, as data with their sources."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TypeVar

import msgspec

T = TypeVar("T")


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
    return _load("numpy_abi.yaml", NumpyAbi)


def _load(name: str, kind: type[T]) -> T:
    from seatrial.sources import yaml

    content = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
    return msgspec.convert(yaml.read_text(name, content).value, kind)
