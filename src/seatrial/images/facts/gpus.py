"""GPUs by name and by instance type."""

from __future__ import annotations

import re
from functools import cache

import msgspec

from seatrial.images.facts.load import load_yaml


class Gpu(msgspec.Struct, frozen=True):
    """A GPU: `name` as NVIDIA writes it (or a series), `capability` as `9.0`. `arm`: it only comes with an Arm processor."""

    name: str
    capability: str
    source: str
    arm: bool = False


class Instance(msgspec.Struct, frozen=True):
    """An AWS instance type with NVIDIA GPUs; `count` is 0 when that size is not known. `memory` is in MiB per GPU."""

    type: str
    gpu: Gpu
    count: int
    memory: int
    arm: bool
    source: str


class _Gpu(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    capability: str
    also: tuple[str, ...] = ()
    legacy: bool = False
    arm: bool = False


class _Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gpu: str
    memory: int
    counts: dict[str, int]
    arm: bool = False


class _Gpus(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    legacy_source: str
    gpus: tuple[_Gpu, ...]
    instance_source: str
    instances: dict[str, _Family]


@cache
def _table() -> _Gpus:
    return load_yaml("gpus.yaml", _Gpus)


@cache
def _by_name() -> dict[str, Gpu]:
    table = _table()
    found = {}
    for row in table.gpus:
        one = Gpu(row.name, row.capability, table.legacy_source if row.legacy else table.source, row.arm)
        for name in map(_plain, (row.name, *row.also)):
            found[name] = one
            bare = _MODEL.fullmatch(name)
            if bare:
                found.setdefault(bare[1], one)
    return found


_MODEL = re.compile(r"[rg]tx ([2-9]0\d0.*|1[06]\d0.*)")
"""Models that are also called by their number alone: 3090, 4070 ti."""


_NOISE = re.compile(
    r"\b(nvidia|geforce|tesla|quadro|gpus?|tensor core|laptop|mobile|pcie|sxm\d?|nvl\d*|hbm\d\w?|hgx|dgx h?|\d+ ?gi?b)\b"
)


def _plain(name: str) -> str:
    text = re.sub(r"[-_/()\s]+", " ", name.lower())
    text = _NOISE.sub(" ", text.replace("dgx spark", "spark"))
    # rtx5090 and rtx 5090, 3090ti and 3090 ti are the same.
    text = re.sub(r"\b(rtx|gtx)(?=\w)", r"\1 ", text)
    text = re.sub(r"(?<=\d)(ti|super)\b", r" \1", text)
    return " ".join(text.split())


def gpu(text: str) -> Gpu | None:
    """A GPU by its name as people write it (`H100`, `NVIDIA A100-SXM4-80GB`, `rtx5090`, `sm_90`). None: not known."""
    found = _by_name().get(_plain(text))
    if found is not None:
        return found
    capability = _capability(text)
    if not capability:
        return None
    return Gpu(f"compute capability {capability}", capability, _table().source)


def _capability(text: str) -> str:
    """`sm_90`, `sm90a`, `compute_120` and `9.0` → `9.0`, `12.0`."""
    bare = re.fullmatch(r"\s*(\d{1,2}\.\d)\s*", text)
    if bare:
        return bare[1]
    named = re.fullmatch(r"\s*(?:sm|compute)[_ -]?(\d{1,2})(\d)[af]?\s*", text.lower())
    return f"{named[1]}.{named[2]}" if named else ""


def instance(text: str) -> Instance | None:
    """An AWS instance type (`g5.2xlarge`, `ml.p4d.24xlarge`, a family alone: `p5`). None: no NVIDIA GPU, or not known."""
    name = text.strip().lower().removeprefix("ml.")
    family, _, size = name.partition(".")
    row = _table().instances.get(family)
    if row is None:
        return None
    one = gpu(row.gpu)
    if one is None:
        return None
    count = row.counts.get(size, 0)
    return Instance(name, one, count, row.memory, row.arm, _table().instance_source)


def gpu_names() -> tuple[str, ...]:
    """Every spelling that is known, for suggestions."""
    return tuple(_by_name())
