"""From `--target` to what an image is meant to run on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.errors import UsageError
from seatrial.images.timeline.model import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from seatrial.images.facts import Gpu

_DRIVER = re.compile(r"\d{3}(?:\.\d+){0,2}")
_CUDA = re.compile(r"(?:cuda|cu)?[-_ ]?(\d{1,2}\.\d)(?:\.\d+)?")
_GLIBC = re.compile(r"2\.\d{1,2}")
_SEPARATOR = re.compile(r"\s*[+/]\s*")


def target(options: Mapping[str, str]) -> Target:
    """What `--target` says, by its keys.

    `python` is `3.11`, `platform` `linux/amd64` or `linux/arm64`, `gpu` one or several names or AWS instance types
    separated by `+` or `/` (`H100`, `rtx5090+L4`, `p5.48xlarge`), `driver` the version of NVIDIA's driver (`535`,
    `535.104.05`) or the CUDA version that it supports (`cuda12.2`), `cuda` that CUDA version by itself, `glibc` `2.31`.

    Raises:
        UsageError: a value is not of that kind; for a GPU with the known name that is nearest to it.
    """
    gpus, arm = _gpus(options.get("gpu", ""))
    driver, cuda = _driver(options.get("driver", ""))
    return Target(
        python=_python(options.get("python", "")),
        driver=driver,
        driver_cuda=_cuda(options.get("cuda", "")) or cuda,
        glibc=_glibc(options.get("glibc", "")),
        gpus=gpus,
        architecture=_architecture(options.get("platform", ""), arm=arm),
    )


def _python(text: str) -> str:
    if not text:
        return ""
    match = re.fullmatch(r"(3\.\d{1,2})(?:\.\d+)?", text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no version of Python", fix="write it as python=3.11")
    return match[1]


def _architecture(platform: str, *, arm: bool) -> str:
    from seatrial.images.target import WHEEL_ARCHITECTURES, parse_platform

    if not platform:
        return "aarch64" if arm else "x86_64"
    return WHEEL_ARCHITECTURES[parse_platform(platform)]


def _driver(text: str) -> tuple[str, str]:
    """The driver's version and the CUDA version that it supports: one of them, as it was written."""
    plain = text.strip().lower()
    if not plain:
        return "", ""
    if _DRIVER.fullmatch(plain):
        return plain, ""
    match = _CUDA.fullmatch(plain)
    if match is not None:
        return "", match[1]
    raise UsageError(
        f"{text!r} is no version of NVIDIA's driver",
        why="a driver has a version such as 535.104.05; nvidia-smi shows it, and beside it the CUDA version it supports",
        fix="write it as driver=535.104.05, or as driver=cuda12.2",
    )


def _cuda(text: str) -> str:
    match = _CUDA.fullmatch(text.strip().lower())
    if text and match is None:
        raise UsageError(f"{text!r} is no version of CUDA", fix="write it as cuda=12.4")
    return match[1] if match else ""


def _glibc(text: str) -> str:
    if text and not _GLIBC.fullmatch(text.strip()):
        raise UsageError(
            f"{text!r} is no version of glibc", fix="write it as glibc=2.31 (`ldd --version` shows it)"
        )
    return text.strip()


def _gpus(text: str) -> tuple[tuple[Gpu, ...], bool]:
    """The GPUs, each once, and whether all of them come with an Arm processor only."""
    found = [_gpu(one) for one in _SEPARATOR.split(text.strip()) if one]
    gpus = tuple(dict.fromkeys(one for one, _ in found))
    return gpus, bool(found) and all(arm for _, arm in found)


def _gpu(text: str) -> tuple[Gpu, bool]:
    from seatrial.images import facts

    one = facts.gpu(text)
    if one is not None:
        return one, one.arm
    instance = facts.instance(text)
    if instance is not None:
        return instance.gpu, instance.arm
    raise _unknown(text)


def _unknown(text: str) -> UsageError:
    from seatrial.config.nearest import nearest
    from seatrial.images import facts

    near = nearest(text.lower(), facts.gpu_names())
    example = near.word.upper() if near else "H100, rtx5090 or p5.48xlarge"
    return UsageError(
        f"{text!r} is no GPU or AWS instance type that is known",
        fix=f"write it as gpu={example}"
        if near
        else f"write a name such as {example}, or a capability such as sm_90",
    )
