"""CUDA versions: the drivers they need, and the GPUs that a build of torch has code for."""

from __future__ import annotations

import re
from functools import cache

import msgspec

from seatrial.images.facts.load import load_yaml
from seatrial.images.facts.torch import label
from seatrial.images.facts.versions import fits, key, minor, parsed


class Driver(msgspec.Struct, frozen=True):
    """The lowest Linux driver that runs a CUDA version, or the one that a toolkit brings."""

    driver: str
    source: str


class Architectures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The compute capabilities that builds of torch hold code for; `ptx` also as PTX, or empty."""

    torch: str
    cuda: tuple[str, ...]
    sm: tuple[str, ...]
    source: str
    ptx: str = ""
    arm: bool = False
    verified: bool = True


class Support(msgspec.Struct, frozen=True):
    """Whether a build of torch runs on a GPU; `runs` is None when that is not known.

    `reason` is a sentence. What is not `verified` must not become an error. `newer`: the GPU is newer than the compiler,
    so that only PTX could run on it, which the driver compiles.
    """

    runs: bool | None
    reason: str
    source: str = ""
    verified: bool = True
    newer: bool = False


class _First(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cuda: str
    source: str


class _Dropped(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cuda: str
    below: str
    source: str


class _Driver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    driver: str
    source: str


class _Cuda(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sources: dict[str, str]
    drivers: dict[str, _Driver]
    shipped: dict[str, str]
    first: dict[str, _First]
    dropped: tuple[_Dropped, ...]
    torch: tuple[Architectures, ...]


@cache
def _table() -> _Cuda:
    return load_yaml("cuda.yaml", _Cuda)


def version_of(cuda: str) -> str:
    """`cu126`, `12.6` and `12.6.3` → `12.6`; a major alone stays as it is."""
    text = cuda.strip().lower()
    if text.startswith("cu"):
        text = text.removeprefix("cuda").removeprefix("cu").lstrip("-_ ")
        text = re.sub(r"^(\d+)(\d)$", r"\1.\2", text)
    return minor(text)


def driver_minimum(cuda: str) -> Driver | None:
    """The lowest Linux driver with which programs built for a CUDA version start. None: not known.

    Within a CUDA major, from 11.1 on, any driver of that major's first release will do (minor version compatibility).
    """
    row = _table().drivers.get(version_of(cuda))
    return None if row is None else Driver(row.driver, _table().sources[row.source])


def driver_shipped(cuda: str) -> Driver | None:
    """The driver that a toolkit release brings (`12.8.1`); for `12.8` that of its first known release. None: not known."""
    shipped = _table().shipped
    fitting = [one for one in shipped if one == cuda or minor(one) == cuda]
    if not fitting:
        return None
    first = min(fitting, key=parsed)
    return Driver(shipped[first], _table().sources["shipped"])


def driver_runs(driver: str, cuda: str) -> bool | None:
    """Whether a driver (`535`, `535.129.03`) runs programs of a CUDA version. None: not known.

    A bare branch such as `525` stands for its newest release.
    """
    needed = driver_minimum(cuda)
    if needed is None:
        return None
    have, want = _numbers(driver), _numbers(needed.driver)
    if not have:
        return None
    return have[0] >= want[0] if len(have) == 1 else have >= want


def newest_cuda_for(driver: str) -> str | None:
    """The newest CUDA version that a driver runs. None: it runs none that is known."""
    for cuda in _table().drivers:
        if driver_runs(driver, cuda):
            return cuda
    return None


def _numbers(driver: str) -> list[int]:
    parts = driver.strip().split(".")
    return [int(one) for one in parts] if all(one.isdecimal() for one in parts) else []


def architectures(torch: str, cuda: str, *, arm: bool = False) -> Architectures | None:
    """What GPUs a build of torch holds code for. None: not known."""
    wanted = version_of(cuda)
    for row in _table().torch:
        if row.arm == arm and wanted in row.cuda and fits(key(torch), row.torch):
            return row
    return None


def runs_on(torch: str, cuda: str, capability: str, *, arm: bool = False) -> bool | None:
    """Whether a build of torch runs on GPUs of a compute capability (`9.0`). None: not known."""
    return gpu_support(torch, cuda, capability, arm=arm).runs


def gpu_support(torch: str, cuda: str, capability: str, *, arm: bool = False) -> Support:
    """Whether a build of torch runs on GPUs of a compute capability, and why.

    First what the CUDA version can do at all, then what that build of torch holds.
    """
    cuda = version_of(cuda)
    impossible = _beyond(cuda, capability)
    if impossible is not None:
        return impossible
    row = architectures(torch, cuda, arm=arm)
    if row is None:
        return Support(None, f"the architectures of torch {torch}+{label(cuda)} are not known")
    have = ", ".join(row.sm)
    if _runs_code(row, capability):
        return Support(True, f"torch {torch}+{label(cuda)} holds code for {have}", row.source, row.verified)
    return Support(
        False,
        f"torch {torch}+{label(cuda)} holds code for {have}, and none that runs on {capability}",
        row.source,
        row.verified,
    )


def _beyond(cuda: str, capability: str) -> Support | None:
    """What no program of a CUDA version can run on: too new for its compiler, or dropped."""
    for one in _table().dropped:
        if parsed(cuda) >= parsed(one.cuda) and parsed(capability) < parsed(one.below):
            reason = f"CUDA {one.cuda} and later make no code for compute capability {capability}"
            return Support(False, reason, one.source)
    major = capability.split(".", maxsplit=1)[0]
    same = [(key, one) for key, one in _table().first.items() if key.split(".", maxsplit=1)[0] == major]
    usable = [one for sm, one in same if parsed(sm) <= parsed(capability)]
    if not usable:
        return None
    earliest = min(usable, key=lambda one: parsed(one.cuda))
    if parsed(cuda) < parsed(earliest.cuda):
        reason = f"CUDA {cuda} makes no code for compute capability {capability}: that needs {earliest.cuda} or later"
        return Support(False, reason, earliest.source, newer=True)
    return None


def _runs_code(row: Architectures, capability: str) -> bool:
    """A GPU X.y runs code for X.z with z ≤ y; PTX is compiled for anything as new or newer."""
    wanted = parsed(capability)
    if row.ptx and parsed(row.ptx) <= wanted:
        return True
    return any(parsed(one).major == wanted.major and parsed(one) <= wanted for one in row.sm)


def build_for(torch: str, capability: str) -> str | None:
    """The lowest CUDA version among the published builds of a torch release that runs on a GPU. None: no known one does."""
    from seatrial.images.facts.torch import torch_builds

    for build in torch_builds(torch) or ():
        if runs_on(torch, build.cuda, capability):
            return build.cuda
    return None
