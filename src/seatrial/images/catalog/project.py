"""What a project's files say about the base image it needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.catalog import tables
from seatrial.images.catalog.identify import identify
from seatrial.images.catalog.wishes import Wanted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from seatrial.images.catalog.model import Contents
    from seatrial.images.catalog.wishes import Serving
    from seatrial.images.story.model import Install, Request, Story
    from seatrial.images.timeline.model import Target

_LABEL = re.compile(r"(?:\+|/whl/|torch-backend=)cu(\d+)(\d)\b")
_MINOR = re.compile(r"(3\.\d+)(?:\.\d+|\.\*)?")
_SERVERS: dict[str, Serving] = {
    "vllm/vllm-openai": "vllm",
    "aws/vllm": "vllm",
    "lmsysorg/sglang": "sglang",
    "aws/sglang": "sglang",
    "nvcr.io/nvidia/tritonserver": "triton",
    "deepjavalibrary/djl-serving": "djl",
    "aws/djl-inference": "djl",
}


class Needs(msgspec.Struct, frozen=True, kw_only=True):
    """What was read: the wish, where each part of it comes from, and the bases that the project has now."""

    wanted: Wanted
    because: tuple[str, ...]
    bases: tuple[str, ...]


def needs(
    stories: Sequence[Story],
    target: Target,
    *,
    today: str = "",
    serving: Serving = "",
    multi_node: bool = False,
) -> Needs:
    """The base that the stories need on `target`. `serving` and `multi_node` are what no file says.

    What the dependency files leave open is taken from the base that the project has now.
    """
    from seatrial.images.facts import torch_build

    requests = list(_requests(stories))
    bases = tuple(dict.fromkeys(_bases(stories)))
    now = [contents for base in bases if (contents := identify(base)) is not None]
    python, why_python = _python(stories, target)
    cuda, why_cuda = _cuda(stories, requests)
    torch, why_torch = _torch(requests, python, cuda)
    if torch is None:
        torch, why_torch = _torch_now(now)
    if cuda and torch and torch_build(torch, cuda) is None:
        cuda, why_cuda = (
            "",
            f"any CUDA: no torch {torch} is known for {cuda}, which {why_cuda.partition(': ')[2]} says",
        )
    if not cuda and torch is None:
        cuda, why_cuda = _cuda_now(now)
    nvcc, why_nvcc = _nvcc(requests)
    if not nvcc and any(one.cuda_toolkit for one in now):
        nvcc, why_nvcc = True, "nvcc: the base has it now"
    wanted = Wanted(
        torch=torch,
        cuda=cuda,
        python=python,
        needs_nvcc=nvcc,
        capabilities=tuple(dict.fromkeys(one.capability for one in target.gpus)),
        driver=_driver(target),
        serving=serving or next((_SERVERS[one.family] for one in now if one.family in _SERVERS), ""),
        multi_node=multi_node,
        today=today,
    )
    said = (why_torch, why_python, why_cuda, why_nvcc)
    return Needs(wanted=wanted, because=tuple(one for one in said if one), bases=bases)


def _torch_now(now: Iterable[Contents]) -> tuple[str | None, str]:
    for one in now:
        if "torch" in one.present and one.accelerator != "rocm":
            version = one.packages.get("torch", "")
            # NVIDIA's pre-releases are of no use elsewhere: the release of that minor version is what comes nearest.
            torch = ".".join(version.split(".")[:2]) if "a0" in version else version
            return torch, f"torch {torch or 'of any version'}: the base has it now"
    return None, ""


def _cuda_now(now: Iterable[Contents]) -> tuple[str, str]:
    for one in now:
        if one.cuda and not one.present:
            cuda = ".".join(one.cuda.split(".")[:2])
            return cuda, f"CUDA {cuda}: the base has it now"
    return "", ""


def _installs(stories: Iterable[Story]) -> Iterator[Install]:
    from seatrial.images.story.model import Install

    for story in stories:
        for stage in story.stages:
            yield from (step for step in stage.steps if isinstance(step, Install))


def _requests(stories: Iterable[Story]) -> Iterator[Request]:
    for install in _installs(stories):
        yield from install.requests


def _bases(stories: Iterable[Story]) -> Iterator[str]:
    """What the images are built on in the end; not stages that others only copy files from."""
    from seatrial.images.story.model import Copy

    for story in stories:
        copied = {step.origin for stage in story.stages for step in stage.steps if isinstance(step, Copy)}
        for stage in story.leaves:
            base = story.lineage(stage)[0].base
            only_copied = stage.index != len(story.stages) - 1 and {stage.name, str(stage.index)} & copied
            if base is not None and not only_copied and base.reference != "scratch":
                yield base.reference or base.written


def _python(stories: Iterable[Story], target: Target) -> tuple[str, str]:
    if target.python:
        return target.python, f"Python {target.python}: the target"
    for story in stories:
        match = _MINOR.fullmatch(story.python.strip().removeprefix("==").strip())
        if match is not None:
            return match[1], f"Python {match[1]}: the project's files"
    return "", ""


def _torch(requests: Sequence[Request], python: str, cuda: str) -> tuple[str | None, str]:
    """The newest torch that everything asked for allows, for `cuda` where that is said; None where nothing needs torch."""
    asked = list(_asked(requests, python))
    if not asked:
        return None, ""
    specifier = ",".join(sorted({_public(one) for one, _ in asked if one}))
    because = ", ".join(dict.fromkeys(source for _, source in asked))
    chosen = _newest_torch(specifier, python, cuda) if specifier or cuda else ""
    return chosen, f"torch {chosen or 'of any version'}: {because}"


def _asked(requests: Sequence[Request], python: str) -> Iterator[tuple[str, str]]:
    """What is said about torch, and which request says it; an empty specifier needs torch of any version."""
    from seatrial.images.facts import newest, torch_of

    for one in requests:
        if one.name == "torch":
            yield ("" if one.url else one.specifier), f"torch{one.specifier}"
        elif not one.url:
            chosen = newest(one.name, one.specifier, python)
            needed = None if chosen is None else torch_of(one.name, chosen.version) or _required(chosen)
            if needed is not None:
                # Without a version of its own it goes with any torch: an installer takes an older release.
                yield (needed if one.specifier else ""), f"{one.name}{one.specifier}"


def _newest_torch(specifier: str, python: str, cuda: str) -> str:
    from seatrial.images.facts import newest, torch_releases_with
    from seatrial.images.facts.versions import fits

    if cuda:
        for version in torch_releases_with(cuda):
            if fits(version, specifier):
                return version
    chosen = newest("torch", specifier, python)
    return chosen.version if chosen else ""


def _required(release: object) -> str | None:
    from seatrial.images.facts import Release, needs

    found = needs(release, "torch") if isinstance(release, Release) else None
    return None if found is None else str(found)


def _public(specifier: str) -> str:
    return re.sub(r"\+[a-z0-9.]+", "", specifier)


def _cuda(stories: Iterable[Story], requests: Sequence[Request]) -> tuple[str, str]:
    """The CUDA of the indexes and labels asked for, where they name just one."""
    texts = [f"{one.specifier} {one.url} {one.index}" for one in requests]
    for install in _installs(stories):
        texts += [install.index, *install.extra_indexes, *install.find_links, *sorted(install.flags)]
    found = {f"{match[1]}.{match[2]}": match[0] for text in texts for match in _LABEL.finditer(text)}
    if len(found) != 1:
        return "", ""
    ((cuda, label),) = found.items()
    return cuda, f"CUDA {cuda}: {label.strip('+/')}"


def _nvcc(requests: Sequence[Request]) -> tuple[bool, str]:
    """Whether something is compiled for CUDA while installing: sources of packages that have CUDA code."""
    compiled = set(tables.load("others")["compiled"])
    for one in requests:
        if one.name in compiled and not one.url.partition("#")[0].endswith(".whl"):
            return True, f"nvcc: {one.name} is compiled when it is installed"
    return False, ""


def _driver(target: Target) -> str:
    from seatrial.images.facts.cuda import driver_shipped

    if target.driver or not target.driver_cuda:
        return target.driver
    shipped = driver_shipped(target.driver_cuda)
    return shipped.driver if shipped else ""
