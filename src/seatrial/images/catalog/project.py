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
    """The base that the stories need on `target`. `serving` and `multi_node` are what no file says."""
    requests = list(_requests(stories))
    bases = tuple(dict.fromkeys(_bases(stories)))
    python, why_python = _python(stories, target)
    torch, why_torch = _torch(requests, python)
    cuda, why_cuda = _cuda(stories, requests)
    nvcc, why_nvcc = _nvcc(requests)
    serving = serving or next((one for base in bases if (one := _server(base))), "")
    wanted = Wanted(
        torch=torch,
        cuda=cuda,
        python=python,
        needs_nvcc=nvcc,
        capabilities=tuple(dict.fromkeys(one.capability for one in target.gpus)),
        driver=_driver(target),
        serving=serving,
        multi_node=multi_node,
        today=today,
    )
    said = (why_torch, why_python, why_cuda, why_nvcc)
    return Needs(wanted=wanted, because=tuple(one for one in said if one), bases=bases)


def _installs(stories: Iterable[Story]) -> Iterator[Install]:
    from seatrial.images.story.model import Install

    for story in stories:
        for stage in story.stages:
            yield from (step for step in stage.steps if isinstance(step, Install))


def _requests(stories: Iterable[Story]) -> Iterator[Request]:
    for install in _installs(stories):
        yield from install.requests


def _bases(stories: Iterable[Story]) -> Iterator[str]:
    """What the last stages start from, directly or through other stages; empty references are unknown ones."""
    for story in stories:
        for stage in story.leaves:
            base = story.lineage(stage)[0].base
            if base is not None:
                yield base.reference or base.written


def _server(base: str) -> Serving | None:
    contents = identify(base)
    return _SERVERS.get(contents.family) if contents else None


def _python(stories: Iterable[Story], target: Target) -> tuple[str, str]:
    if target.python:
        return target.python, f"Python {target.python}: the target"
    for story in stories:
        match = _MINOR.fullmatch(story.python.strip().removeprefix("==").strip())
        if match is not None:
            return match[1], f"Python {match[1]}: the project's files"
    return "", ""


def _torch(requests: Sequence[Request], python: str) -> tuple[str | None, str]:
    """The newest torch that everything asked for allows; None where nothing needs torch."""
    from seatrial.images.facts import newest, torch_of

    specifiers, sources, wanted = [], [], False
    for one in requests:
        if one.url:
            wanted = wanted or one.name == "torch"
            continue
        if one.name == "torch":
            wanted = True
            specifiers.append(one.specifier)
            sources.append(f"torch{one.specifier}")
            continue
        chosen = newest(one.name, one.specifier, python)
        needed = None if chosen is None else torch_of(one.name, chosen.version) or _required(chosen)
        if needed is not None and chosen is not None:
            wanted = True
            specifiers.append(needed if one.specifier else "")
            sources.append(f"{one.name}{one.specifier}")
    if not wanted:
        return None, ""
    chosen = newest("torch", ",".join(sorted({_public(one) for one in specifiers if one})), python)
    because = ", ".join(dict.fromkeys(sources)) or "a file of it is asked for"
    if chosen is None or not any(specifiers):
        return "", f"torch: {because}"
    return chosen.version, f"torch {chosen.version}: {because}"


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
