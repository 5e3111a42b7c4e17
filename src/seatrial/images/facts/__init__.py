"""Facts about packages and platforms, as data with their sources.

None always means "not known": callers say so, and never guess. What holds for one release says nothing about another,
except where a table gives a range.
"""

from __future__ import annotations

from functools import cache

import msgspec

from seatrial.images.facts import load, published, torch
from seatrial.images.facts.cuda import (
    Architectures,
    Driver,
    Support,
    architectures,
    build_for,
    driver_minimum,
    driver_runs,
    driver_shipped,
    gpu_support,
    newest_cuda_for,
    runs_on,
    version_of,
)
from seatrial.images.facts.flash_attn import (
    FlashWheels,
    flash_attn_source,
    flash_attn_url,
    flash_attn_versions,
    flash_attn_wheels,
)
from seatrial.images.facts.gpus import Gpu, Instance, gpu, gpu_names, instance
from seatrial.images.facts.load import load_yaml
from seatrial.images.facts.pairing import (
    AptKey,
    Built,
    Ended,
    Libraries,
    Pair,
    apt_key,
    built_with,
    clashes,
    ended,
    libraries,
    pairs,
    pairs_of,
    pin_of_torch,
)
from seatrial.images.facts.published import (
    Release,
    Table,
    installs,
    needs,
    newest,
    pythons,
    release,
    releases,
    table,
    tracked,
)
from seatrial.images.facts.torch import (
    COMPANIONS,
    Build,
    builds_complete,
    companions,
    cxx11_abi,
    default_cuda,
    label,
    torch_build,
    torch_builds,
    torch_of,
    torch_of_source,
    torch_releases_with,
)
from seatrial.images.facts.versions import fits, key

__all__ = [
    "COMPANIONS",
    "AptKey",
    "Architectures",
    "Build",
    "Built",
    "Capped",
    "Compiled",
    "Driver",
    "Ended",
    "FlashWheels",
    "Gpu",
    "Instance",
    "Libraries",
    "NumpyAbi",
    "Pair",
    "Release",
    "Support",
    "Table",
    "apt_key",
    "architectures",
    "build_for",
    "builds_complete",
    "built_with",
    "clashes",
    "companions",
    "cxx11_abi",
    "default_cuda",
    "driver_minimum",
    "driver_runs",
    "driver_shipped",
    "ended",
    "fits",
    "flash_attn_source",
    "flash_attn_url",
    "flash_attn_versions",
    "flash_attn_wheels",
    "forget",
    "gpu",
    "gpu_names",
    "gpu_support",
    "installs",
    "instance",
    "key",
    "label",
    "libraries",
    "load_yaml",
    "needs",
    "newest",
    "newest_cuda_for",
    "numpy_abi",
    "pairs",
    "pairs_of",
    "pin_of_torch",
    "pythons",
    "release",
    "releases",
    "runs_on",
    "table",
    "torch_build",
    "torch_builds",
    "torch_of",
    "torch_of_source",
    "torch_releases_with",
    "tracked",
    "version_of",
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


def forget() -> None:
    """Read derived tables anew when they are next asked for: they have changed."""
    for cached in (load.derived, published.table, published.by_key, published.tracked, torch.companions):
        cached.cache_clear()


@cache
def numpy_abi() -> NumpyAbi:
    """Which wheels were compiled against NumPy 1."""
    return load_yaml("numpy_abi.yaml", NumpyAbi)
