"""CodeBuild's numbers as data: compute types with prices and quotas, limits, images. Each table says since when and from where."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Literal, TypeVar

import msgspec

from seatrial.errors import UsageError

T = TypeVar("T")


class Compute(msgspec.Struct, frozen=True, kw_only=True):
    """One environment: `memory` in GiB, `disk` in GB, `price` in dollars for a minute (a second on Lambda)."""

    environment: str
    compute: str
    name: str
    vcpus: int
    memory: int
    disk: int
    price: str = ""
    evidence: Literal["", "published", "approximate"] = ""
    quota: str = ""

    @property
    def unit(self) -> Literal["minute", "second"]:
        """What is billed."""
        return "second" if self.compute.startswith("BUILD_LAMBDA_") else "minute"


class Free(msgspec.Struct, frozen=True, kw_only=True):
    """What costs nothing each month."""

    environment: str
    compute: str
    amount: int
    unit: Literal["minute", "second"]


class Computes(msgspec.Struct, frozen=True, kw_only=True):
    """The table of environments; prices are those of `region`."""

    as_of: str
    currency: str
    region: str
    source: str
    hardware_source: str
    quota_source: str
    quota_default: int
    free: tuple[Free, ...]
    free_source: str
    types: tuple[Compute, ...]


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """One number; `quota` is its code where Service Quotas has it."""

    name: str
    value: int
    adjustable: bool = False
    quota: str = ""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    as_of: str
    source: str
    limits: tuple[Limit, ...]


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """One of CodeBuild's images; without `runtimes` they are not known here."""

    name: str
    environment: str
    also: tuple[str, ...] = ()
    as_of: str = ""
    runtimes: dict[str, tuple[str, ...]] = {}


class Images(msgspec.Struct, frozen=True, kw_only=True):
    source: str
    list_source: str
    images: tuple[Image, ...]


@cache
def computes() -> Computes:
    """Environments with their hardware, prices and quotas."""
    return _load("compute.yaml", Computes)


@cache
def limits() -> Limits:
    """Numbers that do not depend on the compute type."""
    return _load("limits.yaml", Limits)


@cache
def images() -> Images:
    """CodeBuild's own images."""
    return _load("images.yaml", Images)


def image(name: str) -> Image | None:
    """The image of that name, with or without a date behind it (`standard:7.0-24.10.29`); None when there is none."""
    for one in images().images:
        for known in (one.name, *one.also):
            if name == known or name.startswith(f"{known}-"):
                return one
    return None


_ENVIRONMENTS = {"linux": "LINUX_CONTAINER", "gpu": "LINUX_GPU_CONTAINER", "arm": "ARM_CONTAINER", "windows": "WINDOWS_CONTAINER"}  # fmt: skip


def compute(compute_type: str, environment_type: str) -> Compute:
    """The row of an environment. `medium`, `lambda_1gb`, `linux`, `gpu`, `arm` and `windows` are understood as well.

    Raises:
        UsageError: there is no such compute type, or it does not exist for that environment.
    """
    kind = compute_type.strip().upper()
    environment = _ENVIRONMENTS.get(environment_type.strip().lower(), environment_type.strip().upper())
    if not kind.startswith("BUILD_"):
        kind = f"BUILD_{kind}" if kind.startswith("LAMBDA_") else f"BUILD_GENERAL1_{kind}"
    types = computes().types
    for one in types:
        if (one.compute, one.environment) == (kind, environment):
            return one
    of_environment = [one.compute for one in types if one.environment == environment]
    if not of_environment:
        known = ", ".join(dict.fromkeys(one.environment for one in types))
        raise UsageError(
            f"there is no price for the environment type {environment}", fix=f"use one of {known}"
        )
    raise UsageError(
        f"{environment} has no compute type {kind}", fix=f"use one of {', '.join(of_environment)}"
    )


def _load(name: str, kind: type[T]) -> T:
    from seatrial.sources import yaml

    content = resources.files(__name__).joinpath(name).read_text(encoding="utf-8")
    return msgspec.convert(yaml.read_text(name, content).value, kind)
