"""Packages that are compiled against torch with the CUDA toolkit of the image."""

from __future__ import annotations

from functools import cache
from typing import Literal

import msgspec

from seatrial.images.facts.load import load_yaml


class Compiled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A package with CUDA code; see `compiling.yaml`."""

    name: str
    when: Literal["index", "source", "use"]
    source: str
    switch: str = ""
    skip: str = ""


class _Compiling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    check: str
    packages: tuple[Compiled, ...]
    toolkits: dict[str, str]


@cache
def _table() -> _Compiling:
    return load_yaml("compiling.yaml", _Compiling)


@cache
def _by_name() -> dict[str, Compiled]:
    return {one.name: one for one in _table().packages}


def compiled(name: str) -> Compiled | None:
    """A package, or a repository, by its normalised name; None for those without CUDA code of their own."""
    return _by_name().get(name)


def distribution_toolkit(system: str) -> str:
    """The CUDA version of the package nvidia-cuda-toolkit of `ubuntu22.04`; empty when not known."""
    return _table().toolkits.get(system, "")


def check_source() -> str:
    """Where torch compares the toolkit with itself."""
    return _table().check
