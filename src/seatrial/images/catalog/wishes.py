"""What a project wants of its base image, and whether an image has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.images.facts.versions import minor, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.catalog.model import Contents

Serving = Literal["", "vllm", "sglang", "triton", "djl"]

_PACKAGES = {"vllm": "vllm", "sglang": "sglang"}


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a base; an empty text means: anything.

    `torch` is None where the project uses none, `2.5` for any patch, `2.5.1` for that one. `cuda` and `python` are minor
    versions. `capabilities` are those of the GPUs (`9.0`), `driver` the host's (`535.129.03`). `needs_nvcc`: something is compiled
    for CUDA. `serving` is the server that the image is for, in `server_version` where that matters. `today` (ISO 8601) is what ends of patches compare with.
    """

    torch: str | None = None
    cuda: str = ""
    python: str = ""
    needs_nvcc: bool = False
    capabilities: tuple[str, ...] = ()
    driver: str = ""
    serving: Serving = ""
    server_version: str = ""
    multi_node: bool = False
    today: str = ""

    @property
    def wants_gpu(self) -> bool:
        return bool(
            self.cuda or self.capabilities or self.driver or self.needs_nvcc or self.torch is not None
        )


class Remark(msgspec.Struct, frozen=True):
    """One thing for (`weight` above 0) or against an image."""

    text: str
    weight: float


def refusals(image: Contents, wanted: Wanted, torch: str, cuda: str) -> Iterator[str]:
    """Why an image cannot be recommended; none when it can.

    `torch` and `cuda` are what would run in it: what is inside, or what would be installed.
    """
    if image.moving or image.removed is not None:
        yield "the tag moves or is gone"
    if image.apt_key_stale:
        yield "its apt repository has a key that is no longer valid"
    if image.end_of_patch and wanted.today and image.end_of_patch < wanted.today:
        yield f"not patched since {image.end_of_patch}"
    if image.libc == "musl" or image.accelerator in ("rocm", "neuron"):
        yield "made for another platform"
    yield from _python_refusals(image, wanted, torch)
    yield from _cuda_refusals(image, wanted, torch, cuda)
    yield from _package_refusals(image, wanted)


def _python_refusals(image: Contents, wanted: Wanted, torch: str) -> Iterator[str]:
    from seatrial.images.facts import pythons, release

    if wanted.python and image.python not in ("", wanted.python):
        yield f"has Python {image.python or 'of an unknown version'}, not {wanted.python}"
    known = pythons("torch", torch) if torch and "torch" not in image.present else None
    if known and image.python and image.python not in known:
        yield f"torch {torch} has no wheel for Python {image.python}"
    one = release("torch", torch) if torch else None
    if one is not None and one.glibc and image.glibc and numbers(image.glibc) < numbers(one.glibc):
        yield f"torch {torch} needs glibc {one.glibc}, it has {image.glibc}"


def _cuda_refusals(image: Contents, wanted: Wanted, torch: str, cuda: str) -> Iterator[str]:
    from seatrial.images.facts.cuda import driver_runs, gpu_support

    if wanted.needs_nvcc and not image.cuda_toolkit:
        yield "has no nvcc"
    if wanted.wants_gpu and "torch" in image.present and image.accelerator == "cpu":
        yield "its torch is for processors only"
    if wanted.cuda and minor(cuda) != wanted.cuda:
        yield f"is for CUDA {cuda or 'of an unknown version'}, not {wanted.cuda}"
    if wanted.driver and cuda and driver_runs(wanted.driver, cuda) is False:
        yield f"driver {wanted.driver} does not run CUDA {minor(cuda)}"
    # What NVIDIA builds itself holds other code than the published wheels.
    for one in wanted.capabilities if torch and cuda else ():
        if gpu_support(torch, cuda, one).runs is False:
            yield f"torch {torch} for CUDA {minor(cuda)} has no code for compute capability {one}"


def _package_refusals(image: Contents, wanted: Wanted) -> Iterator[str]:
    inside = image.packages.get("torch", "")
    if wanted.torch and "torch" in image.present and not matches(inside, wanted.torch):
        yield f"has torch {inside or 'of an unknown version'}, not {wanted.torch}"
    package = _PACKAGES.get(wanted.serving)
    if package and package not in image.present:
        yield f"has no {package}"
    version = image.packages.get(package or "", "")
    if package and wanted.server_version and not matches(version, wanted.server_version):
        yield f"has {package} {version or 'of an unknown version'}, not {wanted.server_version}"


def matches(version: str, wanted: str) -> bool:
    """Whether `2.5.1` is `2.5.1` or `2.5`; NVIDIA's pre-releases (`2.8.0a0+…`) count for a minor version alone."""
    if not version:
        return False
    plain = version.partition("+")[0]
    return plain == wanted or (wanted.count(".") == 1 and plain.startswith(f"{wanted}."))
