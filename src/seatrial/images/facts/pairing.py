"""Packages that do not work together, which packages came to an end, and which libraries wheels were built for."""

from __future__ import annotations

from functools import cache
from typing import Literal

import msgspec

from seatrial.images.facts.load import load_yaml
from seatrial.images.facts.published import needs, release
from seatrial.images.facts.torch import torch_build
from seatrial.images.facts.versions import fits, key


class Pair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"other": "with"}):
    """A `package` of a version in `versions` needs the package `other` in a version in `needs`; see `pairs.yaml`.

    A row that is not `verified` is never an error.
    """

    rule: str
    package: str
    versions: str
    other: str
    needs: str
    severity: Literal["error", "warning", "note"]
    how: str
    source: str
    verified: bool = True


class Ended(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Releases of a package that should not be asked for; `instead` names another package, or is empty."""

    package: str
    versions: str
    how: str
    severity: Literal["error", "warning", "note"]
    source: str
    instead: str = ""


class AptKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The change of the key that signs NVIDIA's package repositories; `changed` is a day, `lists` hold the old repositories."""

    changed: str
    old: str
    new: str
    package: str
    repositories: tuple[str, ...]
    lists: tuple[str, ...]
    source: str


class Libraries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The CUDA version and the cuDNN major version that wheels were built for; empty where not known."""

    package: str
    versions: str
    cuda: str
    cudnn: str
    source: str

    @property
    def cuda_major(self) -> str:
        return self.cuda.split(".", maxsplit=1)[0]


class Built(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The torch and the CUDA that a wheel was compiled with."""

    package: str
    version: str
    torch: str
    cuda: str
    source: str = ""


class _Pairs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pairs: tuple[Pair, ...]
    ended: tuple[Ended, ...]
    apt_key: AptKey


class _TorchCudnn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    versions: str
    cudnn: str
    source: str


class _Libraries(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    libraries: tuple[Libraries, ...]
    torch_cudnn: tuple[_TorchCudnn, ...]
    built_source: str
    built: tuple[Built, ...]


@cache
def _pairs() -> _Pairs:
    return load_yaml("pairs.yaml", _Pairs)


@cache
def _libraries() -> _Libraries:
    return load_yaml("libraries.yaml", _Libraries)


def pairs(rule: str = "") -> tuple[Pair, ...]:
    """Every row, or those of one rule."""
    return tuple(one for one in _pairs().pairs if not rule or one.rule == rule)


def pairs_of(package: str, version: str) -> tuple[Pair, ...]:
    """The rows that speak about a release of a package, the worst first."""
    order = ("error", "warning", "note")
    found = [one for one in _pairs().pairs if one.package == package and fits(key(version), one.versions)]
    return tuple(sorted(found, key=lambda one: order.index(one.severity)))


def clashes(package: str, version: str, other: str, other_version: str) -> tuple[Pair, ...]:
    """The rows by which two releases do not work together, the worst first; both orders are looked at."""
    ones = [
        one
        for one in pairs_of(package, version)
        if one.other == other and not fits(key(other_version), one.needs)
    ]
    ones += [
        one
        for one in pairs_of(other, other_version)
        if one.other == package and not fits(key(version), one.needs)
    ]
    return tuple(ones)


def ended(package: str, version: str = "") -> Ended | None:
    """Whether a release (or, without a version, any) of a package is one that should not be asked for."""
    for one in _pairs().ended:
        if one.package == package and (not version or fits(key(version), one.versions)):
            return one
    return None


def apt_key() -> AptKey:
    """The change of the key that signs NVIDIA's package repositories."""
    return _pairs().apt_key


def libraries(package: str, version: str, cuda: str = "") -> Libraries | None:
    """The CUDA and cuDNN that a release was built for; `cuda` chooses the build of torch. None: not known."""
    if package == "torch":
        return _torch_libraries(version, cuda)
    for one in _libraries().libraries:
        if one.package == package and fits(key(version), one.versions):
            return one
    return None


def _torch_libraries(version: str, cuda: str) -> Libraries | None:
    build = torch_build(version, cuda)
    if build is None:
        return None
    cudnn, source = build.cudnn, build.sources[0]
    if not cudnn:
        row = next((one for one in _libraries().torch_cudnn if fits(key(version), one.versions)), None)
        cudnn, source = ("", source) if row is None else (row.cudnn, row.source)
    return Libraries("torch", f"=={version}", build.cuda, cudnn.split(".", maxsplit=1)[0], source)


def built_with(package: str, version: str) -> Built | None:
    """The torch and CUDA that the wheel on the public package index was compiled with. None: not known."""
    table = _libraries()
    for one in table.built:
        if one.package == package and key(one.version) == key(version):
            return msgspec.structs.replace(one, source=table.built_source)
    return None


def pin_of_torch(version: str, name: str) -> str | None:
    """The version of a library (`nvidia-nccl-cu12`, `triton`) that the default build of torch pins. None: it pins none."""
    one = release("torch", version)
    wanted = None if one is None else needs(one, name, python="3.11")
    for clause in wanted or ():
        if clause.operator == "==":
            return clause.version
    return None


def built() -> tuple[Built, ...]:
    """Every wheel of which it is known what it was compiled with."""
    return _libraries().built
