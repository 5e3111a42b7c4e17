"""What speaks for an image and against it, with weights that only order images which all fulfil the wish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images.catalog import systems, tables
from seatrial.images.catalog.wishes import Remark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.catalog.model import Contents
    from seatrial.images.catalog.offers import Offer
    from seatrial.images.catalog.wishes import Wanted


def remarks(image: Contents, wanted: Wanted, offer: Offer) -> Iterator[Remark]:
    """Everything worth saying about an image that fulfils `wanted`."""
    yield from _about_torch(image, wanted, offer)
    yield from _about_python(image, wanted, offer)
    yield from _about_cuda(image, wanted, offer)
    yield from _about_serving(image, wanted)
    yield from _about_upkeep(image, wanted)
    yield from _about_place(image, wanted)


def _about_torch(image: Contents, wanted: Wanted, offer: Offer) -> Iterator[Remark]:
    from seatrial.images.facts import default_cuda

    if wanted.torch is None and not wanted.serving:
        if "torch" in image.present:
            yield Remark("brings torch, which is not asked for", -3)
        return
    inside = image.packages.get("torch", "")
    if "a0+" in inside:
        yield Remark(
            f"torch {inside} is NVIDIA's own build of a pre-release: pip would replace it for a pin", -2.5
        )
    elif inside:
        newer = int(inside.split(".")[1]) / 10 if not wanted.torch else 0
        yield Remark(f"torch {inside} is inside", 3 + newer)
    elif offer.installed:
        yield Remark(f"torch {offer.torch} for CUDA {offer.cuda} is to be installed", -0.5)
    if inside and offer.cuda and "a0+" not in inside and not wanted.serving:
        if default_cuda(inside) == offer.cuda:
            yield Remark(f"CUDA {offer.cuda} is the build that the package index has too", 1)
        else:
            yield Remark(
                f"installing torch again without an index for CUDA {offer.cuda} would change it", -0.5
            )
    if image.constraint_file and not wanted.serving:
        yield Remark(f"pip obeys {image.constraint_file} in it: pins against it fail", -1.5)


def _about_python(image: Contents, wanted: Wanted, offer: Offer) -> Iterator[Remark]:
    from seatrial.images.facts import pythons

    if image.python and wanted.python:
        yield Remark(f"has Python {wanted.python}", 1.5)
    elif image.python and not wanted.python:
        known = pythons("torch", offer.torch) if offer.torch else None
        middle = known[len(known) // 2] if known else "3.12"
        nearness = 0.5 - 0.3 * abs(_minor(image.python) - _minor(middle))
        yield Remark(f"has Python {image.python}", max(0.0, nearness))
    elif image.python == "":
        yield _python_to_install(image, wanted)
    if "python" in image.unverified:
        yield Remark(
            f"Python {image.python} is from experience: look with `docker run … python --version`", -1
        )
    elif image.python is None and not wanted.serving:
        yield Remark("its Python version is not known", -2)
    if image.externally_managed and image.interpreter in ("", "system"):
        yield Remark(
            "pip refuses to install into its system Python (PEP 668): use a virtual environment", -0.5
        )


def _python_to_install(image: Contents, wanted: Wanted) -> Remark:
    brought = systems.known(image.os or "").python
    if brought and wanted.python in ("", brought):
        return Remark(f"Python {brought} is to be installed from {image.os}", -0.5)
    return Remark(f"Python {wanted.python} is to be installed; {image.os} has {brought or 'none'}", -1.5)


def _about_cuda(image: Contents, wanted: Wanted, offer: Offer) -> Iterator[Remark]:
    if image.cuda_toolkit and wanted.needs_nvcc:
        yield Remark("has nvcc and CUDA's headers", 1)
        if offer.installed:
            yield Remark(f"its nvcc is of the CUDA {offer.cuda} that torch {offer.torch} was built for", 0.5)
    elif image.cuda_toolkit:
        yield Remark("carries CUDA's compiler, gigabytes that are not needed", -1.5)
    if image.cuda and not wanted.wants_gpu and not wanted.serving:
        yield Remark(f"brings CUDA {offer.cuda}, which is not asked for", -2)
    elif offer.cuda:
        # Of two that fit, the newer one; which build torch has by default weighs more.
        yield Remark(f"CUDA {offer.cuda}", float(".".join(offer.cuda.split(".")[:2])) / 200)
    if image.family == "python" and offer.installed:
        yield Remark("small: the wheels of torch bring what they need of CUDA", 1)
    yield from _about_hardware(wanted, offer)


def _about_hardware(wanted: Wanted, offer: Offer) -> Iterator[Remark]:
    from seatrial.images.facts.cuda import driver_runs, gpu_support

    if wanted.driver and offer.cuda:
        text = f"driver {wanted.driver} runs CUDA {offer.cuda}"
        runs = driver_runs(wanted.driver, offer.cuda)
        yield Remark(text, 0.5) if runs else Remark(f"whether {text} is not known", -1)
    elif wanted.driver and wanted.serving:
        yield Remark(f"its CUDA is not known, so neither whether driver {wanted.driver} runs it", -1)
    for one in wanted.capabilities if offer.torch and offer.cuda and "a0+" not in offer.torch else ():
        support = gpu_support(offer.torch, offer.cuda, one)
        if support.runs and support.verified:
            yield Remark(f"has code for compute capability {one}", 0.5)
        else:
            yield Remark(f"whether it has code for compute capability {one} is not certain", -1)


def _about_serving(image: Contents, wanted: Wanted) -> Iterator[Remark]:
    if not wanted.serving:
        return
    for package in ("vllm", "sglang", "tensorrt-llm"):
        if package in image.packages:
            yield Remark(f"{package} {image.packages[package]} is inside", 2)
    if not image.packages:
        yield Remark("the versions inside are not known", -1)


def _about_upkeep(image: Contents, wanted: Wanted) -> Iterator[Remark]:
    if image.end_of_patch:
        yield Remark(f"patched until {image.end_of_patch}", 0.1 if wanted.today else 0)
    if image.os in ("ubuntu18.04", "ubuntu20.04"):
        yield Remark(f"{image.os} is past its standard support", -1)
    if image.unverified - {"python"}:
        yield Remark(f"from experience alone: {', '.join(sorted(image.unverified - {'python'}))}", -0.5)


def _about_place(image: Contents, wanted: Wanted) -> Iterator[Remark]:
    if wanted.multi_node:
        if image.family in tables.load("aws")["multi_node"]:
            yield Remark("AWS builds it for training on several machines, with EFA's network library", 2)
        elif image.family == "nvcr.io/nvidia/pytorch":
            yield Remark(
                "NVIDIA builds it for training on several machines, with libraries for InfiniBand", 1
            )
        else:
            yield Remark(
                "a fast network between machines needs its library (EFA, InfiniBand) installed", -0.5
            )
    if ".dkr.ecr." in image.reference:
        yield Remark("account and region are to be replaced by your region's", -0.5)


def _minor(python: str) -> int:
    return int(python.split(".")[1])
