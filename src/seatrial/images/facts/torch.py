"""torch: its CUDA builds, what belongs to it, and what it was built with."""

from __future__ import annotations

from functools import cache, lru_cache

import msgspec

from seatrial.images.facts.load import load_yaml
from seatrial.images.facts.published import needs, release, releases
from seatrial.images.facts.versions import fits, key, parsed

COMPANIONS = ("torchvision", "torchaudio", "torchtext", "torchcodec")
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
    complete: bool = True


class _Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    package: str
    versions: str
    torch: str
    source: str


class _Abi(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    torch: str
    abi: bool
    source: str
    cuda: str = ""


class _Torch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    index: str
    sources: dict[str, str]
    releases: tuple[_Row, ...]
    cxx11_abi: tuple[_Abi, ...]
    unsaid: tuple[_Pair, ...]


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


def builds_complete(version: str) -> bool:
    """Whether `torch_builds` has every build: only then does a missing one mean that it was not published."""
    row = _rows().get(key(version))
    return row is not None and row.complete


def cxx11_abi(version: str, cuda: str = "") -> bool | None:
    """Whether the official Linux build of a torch release uses the new C++ ABI (`cxx11abiTRUE`). None: not known.

    Without `cuda` the build on the public package index.
    """
    if key(version) not in _rows():
        return None
    build = torch_build(version, cuda)
    found = None
    for one in _table().cxx11_abi:
        if fits(version, one.torch) and (not one.cuda or (build is not None and build.cuda == one.cuda)):
            found = one.abi
    return found


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
    """The torch that a release of torchvision, torchaudio, torchtext or torchcodec was made for, as a specifier.

    From its metadata (`==2.7.1`); where that names no torch, or any, from the hand-kept pairs. None: not known.
    """
    known = _unsaid(package, version)
    if known is not None:
        return known.torch
    one = release(package, version)
    said = None if one is None else needs(one, "torch")
    return str(said) if said else None


def torch_of_source(package: str, version: str) -> str:
    """Where `torch_of` has its answer from."""
    known = _unsaid(package, version)
    return (
        known.source
        if known is not None
        else f"https://pypi.org/project/{package}/{version.partition('+')[0]}/"
    )


@lru_cache(1024)
def _unsaid(package: str, version: str) -> _Pair | None:
    for one in _table().unsaid:
        if one.package == package and fits(key(version), one.versions):
            return one
    return None


@cache
def companions(torch: str) -> dict[str, tuple[str, ...]]:
    """The releases of the companions that go with a torch release, newest first."""
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
