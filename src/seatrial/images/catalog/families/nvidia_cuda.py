"""nvidia/cuda: `12.4.1-cudnn-devel-ubuntu22.04`."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.catalog import systems, tables
from seatrial.images.catalog.model import Contents, Removed
from seatrial.images.facts.versions import numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.catalog.identify import Image

_TAG = re.compile(
    r"(?P<cuda>\d+\.\d+(?:\.\d+)?)(?:-(?P<cudnn>cudnn\d*))?(?:-(?P<kind>base|runtime|devel))?(?:-(?P<os>[a-z]+[\d.]+))?"
)
_OLD_KEY = ("ubuntu16.04", "ubuntu18.04", "ubuntu20.04")


class Build(msgspec.Struct, frozen=True):
    """One CUDA on one system. `word` is how its tags write cuDNN, empty where there are none with cuDNN."""

    cuda: str
    word: str
    cudnn: str
    nccl: str
    system: str


def read(image: Image) -> Contents | None:
    """What a tag holds; None where it is written in no way that is known."""
    table = tables.load("nvidia_cuda")
    sources = table["sources"]
    if image.tag == "latest":
        return _latest(image, sources["latest"])
    match = _TAG.fullmatch(image.tag)
    if match is None:
        return None
    cuda, word, kind, system = match["cuda"], match["cudnn"] or "", match["kind"] or "devel", match["os"]
    build = _builds().get((cuda, system or ""))
    removed = _removed(cuda, word, kind, system or "")
    nccl = (build.nccl or None) if build else None
    stale = _stale(cuda, system or "", removed)
    return Contents(
        **image.common | {"family": "nvidia/cuda"},
        **systems.facts(system),
        python="" if (system or "").startswith("ubuntu") else None,
        interpreter="" if (system or "").startswith("ubuntu") else None,
        accelerator="cuda",
        cuda=cuda,
        cuda_toolkit=kind == "devel",
        cudnn=_cudnn(word, build),
        nccl="" if kind == "base" else nccl,
        bare=True,
        conda=False,
        constraint_file="",
        env=table["env"],
        removed=removed,
        apt_key_stale=stale,
        # Concluded, not read anywhere: which old images were built again with the new key, and which tags since CUDA 11
        # are gone. What was deleted before is known for one registry, not for the publisher's own.
        unverified=frozenset(
            name
            for name, concluded in (
                ("apt_key_stale", stale),
                (
                    "removed",
                    removed is not None and not (_surely_gone(cuda) and "nvcr.io" not in image.reference),
                ),
            )
            if concluded
        ),
        sources=(sources["contents"], sources["tags"]),
    )


def _latest(image: Image, source: str) -> Contents:
    return Contents(
        **image.common | {"family": "nvidia/cuda"},
        accelerator="cuda",
        moving="rolling",
        removed=Removed("there has been no `latest` since CUDA 11", source, _newest()),
        sources=(source,),
    )


def tags() -> Iterator[tuple[str, Build]]:
    """Every tag that is known to exist, with what it is built of."""
    for build in _builds().values():
        for kind in ("base", "runtime", "devel"):
            yield f"{build.cuda}-{kind}-{build.system}", build
            if build.word and kind != "base":
                yield f"{build.cuda}-{build.word}-{kind}-{build.system}", build


@cache
def _builds() -> dict[tuple[str, str], Build]:
    found = {}
    for cuda, word, cudnn, nccl, names in tables.columns(tables.load("nvidia_cuda")["tags"], 4):
        for system in names.split():
            found[cuda, system] = Build(cuda, word, cudnn, nccl, system)
    return found


def _cudnn(word: str, build: Build | None) -> str | None:
    if not word:
        return ""
    if build is not None and build.cudnn:
        return build.cudnn
    return word.removeprefix("cudnn") or ("9" if word == "cudnn" else None)


@cache
def _removed(cuda: str, word: str, kind: str, system: str) -> Removed | None:
    """Gone is what should be in the list of existing tags and is not."""
    table = tables.load("nvidia_cuda")
    build = _builds().get((cuda, system))
    if build is not None and word in ("", build.word):
        return None
    if numbers(cuda) >= numbers(table["whole_below"]) and cuda.count(".") > 1:
        return None
    instead = tuple(_nearest(cuda, word, kind, system))
    if cuda.count(".") == 1:
        return Removed("tags without a patch version were deleted", table["sources"]["policy"], instead)
    return Removed("it is not among the tags that still exist", table["sources"]["tags"], instead)


def _surely_gone(cuda: str) -> bool:
    """What the publisher said it deleted: everything before CUDA 11, and 11.0 without a patch."""
    return numbers(cuda)[0] < 11 or cuda == "11.0"  # noqa: PLR2004 - the version that the policy began with


def _nearest(cuda: str, word: str, kind: str, system: str) -> list[str]:
    """Up to three tags that exist, nearest first: the same system if one was named, as little newer as possible, the same cuDNN."""
    named, system = bool(system), system or "ubuntu16.04"
    wanted = numbers(cuda)[:2]
    stale = tables.load("nvidia_cuda")["stale_key"]
    ranked = []
    for build in _builds().values():
        order = numbers(build.cuda)
        same_system = build.system == system
        if (
            order[:2] < wanted
            or (word and not build.word)
            or not (same_system or systems.is_later(build.system, system))
        ):
            continue
        step = (order[0] - wanted[0], order[1] - wanted[1] if order[0] == wanted[0] else order[1])
        other_cudnn = bool(word) and _major(build) != word.removeprefix("cudnn")
        patches = tuple(-one for one in order)
        ranked.append(
            (
                f"{build.cuda} {build.system}" in stale,
                named and not same_system,
                step,
                other_cudnn,
                not same_system,
                patches,
                build,
            )
        )
    ranked.sort(key=lambda one: one[:-1])
    return [
        "-".join(part for part in (build.cuda, build.word if word else "", kind, build.system) if part)
        for *_, build in ranked[:3]
    ]


def _major(build: Build) -> str:
    """The major version of its cuDNN; a word without a number came with cuDNN 9."""
    return build.word.removeprefix("cudnn") or "9"


def _newest() -> tuple[str, ...]:
    newest = max(
        (build for build in _builds().values() if build.word), key=lambda one: (numbers(one.cuda), one.system)
    )
    return (f"{newest.cuda}-{newest.word}-devel-{newest.system}",)


def _stale(cuda: str, system: str, removed: Removed | None) -> bool:
    table = tables.load("nvidia_cuda")
    if removed is not None:
        return system in _OLD_KEY and numbers(cuda) < numbers(table["key_changed"])
    return f"{cuda} {system}" in table["stale_key"]
