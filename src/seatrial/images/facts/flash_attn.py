"""The prebuilt wheels of flash-attn."""

from __future__ import annotations

from functools import cache

import msgspec

from seatrial.images.facts.load import load_yaml
from seatrial.images.facts.versions import key, minor, parsed


class Without(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For these torch minors there is no wheel with that CUDA, or with that Python."""

    torch: tuple[str, ...]
    cuda: str = ""
    python: str = ""


class FlashWheels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The wheels of some flash-attn releases; see `flash_attn.yaml`."""

    versions: tuple[str, ...]
    built_with: tuple[str, ...]
    cuda: tuple[str, ...]
    pythons: tuple[str, ...]
    without: tuple[Without, ...]
    sm: tuple[str, ...]

    @property
    def torch_minors(self) -> tuple[str, ...]:
        """The torch minor versions there are wheels for."""
        return tuple(minor(one) for one in self.built_with)

    def cuda_for(self, torch: str, cuda: str, python: str = "") -> str | None:
        """The CUDA version in the wheel that fits a torch, its CUDA (major) and a Python. None: there is no such wheel."""
        wanted, major = minor(torch), cuda.removeprefix("cu").split(".", maxsplit=1)[0][:2]
        python = minor(python) if python else ""
        if wanted not in self.torch_minors or (python and python not in self.pythons):
            return None
        for one in reversed(self.cuda):
            left_out = any(
                wanted in row.torch
                and (not row.cuda or row.cuda == one)
                and (not row.python or row.python == python)
                for row in self.without
            )
            if one.split(".", maxsplit=1)[0] == major and not left_out:
                return one
        return None


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    download: str
    minor_label_until: str
    major_label_from: str
    releases: tuple[FlashWheels, ...]


@cache
def _table() -> _Table:
    return load_yaml("flash_attn.yaml", _Table)


def flash_attn_source() -> str:
    """Where the wheels are written down."""
    return _table().source


@cache
def _by_version() -> dict[str, FlashWheels]:
    return {key(version): row for row in _table().releases for version in row.versions}


def flash_attn_wheels(version: str) -> FlashWheels | None:
    """The prebuilt wheels of a flash-attn release. None: not known."""
    return _by_version().get(key(version))


def flash_attn_versions(torch: str, cuda: str, python: str = "") -> tuple[str, ...]:
    """The flash-attn releases with a prebuilt wheel for a torch, its CUDA and a Python, newest first."""
    found = [
        version
        for row in _table().releases
        if row.cuda_for(torch, cuda, python) is not None
        for version in row.versions
    ]
    return tuple(sorted(found, key=parsed, reverse=True))


def flash_attn_url(version: str, torch: str, cuda: str, python: str, *, abi: bool) -> str | None:
    """The address of the prebuilt wheel. `abi`: the C++ ABI of that torch (see `cxx11_abi`). None: there is none, or not known."""
    wheels, table = flash_attn_wheels(version), _table()
    built = None if wheels is None else wheels.cuda_for(torch, cuda, python)
    if built is None:
        return None
    if parsed(version) <= parsed(table.minor_label_until):
        label = built.replace(".", "")
    elif parsed(version) >= parsed(table.major_label_from):
        label = built.split(".", maxsplit=1)[0]
    else:
        return None
    tag = "cp" + minor(python).replace(".", "")
    name = f"flash_attn-{version}+cu{label}torch{minor(torch)}cxx11abi{str(abi).upper()}-{tag}-{tag}-linux_x86_64.whl"
    return f"{table.download}/v{version}/{name}"
