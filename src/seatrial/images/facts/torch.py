"""torch: its CUDA builds, what belongs to it, and what it was built with."""

from __future__ import annotations

from functools import cache

import msgspec

from seatrial.images.facts.load import load_yaml
from seatrial.images.facts.releases import needs, release, releases
from seatrial.images.facts.versions import fits, key, parsed

COMPANIONS = ("torchvision", "torchaudio", "torchtext")
"""Packages whose compiled parts work with the torch that they were built for and no other."""


class Build(msgspec.Struct, frozen=True):
    """One published build of a torch release: `cuda` `12.6` has the label `tag` `cu126` and is at `index`.

    `default` is the build that the public package index has. `cudnn` and `nccl` are empty where no source says them.
    """

    cuda: str
    tag: str
    index: str
    default: bool
    cudnn: str
    nccl: str
    sources: tuple[str, ...]


class _Parts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cudnn: str = ""
    nccl: str = ""


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    torch: str
    default: str
    sources: tuple[str, ...]
    builds: dict[str, _Parts]


class _Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    package: str
    version: str
    torch: str
    source: str


class _Torch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    index: str
    sources: dict[str, str]
    releases: tuple[_Row, ...]
    unsaid: tuple[_Pair, ...] = ()


@cache
def _table() -> _Torch:
    return load_yaml("torch.yaml", _Torch)


@cache
def _rows() -> dict[str, _Row]:
    return {key(one.torch): one for one in _table().releases}


def torch_builds(version: str) -> tuple[Build, ...] | None:
    """The CUDA builds of a torch release, lowest CUDA first. None: that release is not in the table."""
    row = _rows().get(key(version))
    if row is None:
        return None
    table = _table()
    return tuple(
        Build(
            cuda=cuda,
            tag=label(cuda),
            index=f"{table.index}/{label(cuda)}",
            default=cuda == row.default,
            cudnn=parts.cudnn,
            nccl=parts.nccl,
            sources=tuple(table.sources[one] for one in row.sources),
        )
        for cuda, parts in sorted(row.builds.items(), key=lambda item: parsed(item[0]))
    )


def torch_build(version: str, cuda: str = "") -> Build | None:
    """One build of a torch release, `cuda` as `12.6` or `cu126`; without it the default one. None: not known."""
    for one in torch_builds(version) or ():
        if one.default if not cuda else label(cuda) == one.tag:
            return one
    return None


def label(cuda: str) -> str:
    """`12.6` and `12.6.3` → `cu126`; a label stays as it is."""
    return cuda if cuda.startswith("cu") else "cu" + "".join(cuda.split(".")[:2])


def default_cuda(version: str) -> str | None:
    """The CUDA version of the torch that comes from the public package index. None: not known."""
    row = _rows().get(key(version))
    return None if row is None else row.default


def torch_releases_with(cuda: str) -> tuple[str, ...]:
    """The torch releases that were published for a CUDA version, newest first."""
    return tuple(one.torch for one in _table().releases if label(cuda) in map(label, one.builds))


def torch_of(package: str, version: str) -> str | None:
    """The torch that a release of torchvision, torchaudio, torchtext … was made for, as a specifier: `==2.7.1`.

    From its metadata; where that names no torch, or any, from the hand-kept pairs. None: not known.
    """
    known = _unsaid().get((package, key(version)))
    if known is not None:
        return known.torch
    one = release(package, version)
    said = None if one is None else needs(one, "torch")
    return str(said) if said else None


@cache
def _unsaid() -> dict[tuple[str, str], _Pair]:
    return {(one.package, key(one.version)): one for one in _table().unsaid}


def unsaid_source(package: str, version: str) -> str:
    """Where the torch of a companion is written when its metadata does not say it; empty when metadata does."""
    known = _unsaid().get((package, key(version)))
    return "" if known is None else known.source


@cache
def companions(torch: str) -> dict[str, tuple[str, ...]]:
    """The releases of torchvision, torchaudio and torchtext that go with a torch release, newest first."""
    version = key(torch)
    found = {}
    for package in COMPANIONS:
        fitting = []
        for one in releases(package):
            wanted = torch_of(package, one.version)
            if one.yanked is None and wanted and fits(version, wanted):
                fitting.append(one.version)
        found[package] = tuple(fitting)
    return found
