"""AWS Deep Learning Containers: `2.6.0-gpu-py312-cu126-ubuntu22.04-ec2` and shorter names of the same images."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.images.catalog import systems, tables
from seatrial.images.catalog.model import Contents

if TYPE_CHECKING:
    from seatrial.images.catalog.identify import Image
    from seatrial.images.catalog.model import Moving

_PYTHON = re.compile(r"\bpy(\d)(\d+)\b")
_CUDA = re.compile(r"\bcu(\d+)(\d)\b")
_VERSION = re.compile(r"(\d+\.\d+(?:\.\d+)*(?:\.post\d+)?)(?=-|$)")
_TRANSFORMERS = re.compile(r"\btransformers(\d+(?:\.\d+)+)")
_KIND = re.compile(r"\b(cpu|gpu|neuronx?)\b")
_FULL = 2  # dots in a version with a patch


class Row(msgspec.Struct, frozen=True):
    """One image with all its names, `tags`, of which the first is the most exact. Empty fields are not known.

    Without tags it is what several images share that had the same name one after the other.
    """

    python: str
    cuda: str
    system: str
    accelerator: str
    released: str
    end_of_patch: str
    package: str
    tags: tuple[str, ...]


def read(image: Image) -> Contents | None:
    """What a tag says, completed from the list of images; None for a repository or tag that is no image of AWS's."""
    repository = image.name.removeprefix("aws/")
    known = repository in tables.load("aws")["images"]
    row = _named(repository).get(image.tag) if known else None
    exact = row.tags[0] if row and row.tags else image.tag
    if row is None and (not known or (_KIND.search(image.tag) is None and _CUDA.search(image.tag) is None)):
        return None
    cuda, accelerator = _cuda(exact, row), _accelerator(exact, row)
    packages = _packages(repository, exact, row)
    return Contents(
        **image.common,
        **systems.facts((row.system if row else "") or systems.in_tag(exact)) | {"externally_managed": None},
        python=(row.python if row else "") or _joined(_PYTHON.search(exact)),
        accelerator=accelerator,
        cuda=cuda,
        cuda_toolkit=_toolkit(repository, exact),
        cudnn="" if accelerator == "cpu" else None,
        packages=packages,
        present=frozenset([*packages, *_framework(repository), *_also([*packages, *_framework(repository)])]),
        torch_cuda=cuda if "torch" in packages else None,
        conda=None,
        moving=_moving(image.tag, row),
        end_of_patch=row.end_of_patch if row else "",
        sources=tuple(tables.load("aws")["sources"].values()),
    )


def rows() -> dict[str, tuple[Row, ...]]:
    """The known images of each repository, as the list has them."""
    return {name: _images(name) for name in tables.load("aws")["images"]}


@cache
def _images(repository: str) -> tuple[Row, ...]:
    found = []
    for *cells, tags in tables.columns(tables.load("aws")["images"][repository], 7):
        python, cuda, system, accelerator, released, end, package = cells
        found.append(Row(python, cuda, system, accelerator, released, end, package, tuple(tags.split())))
    return tuple(found)


@cache
def _named(repository: str) -> dict[str, Row]:
    found: dict[str, list[Row]] = {}
    for row in _images(repository):
        for tag in row.tags:
            found.setdefault(tag, []).append(row)
    return {tag: rows[0] if len(rows) == 1 else _shared(rows) for tag, rows in found.items()}


def _shared(rows: list[Row]) -> Row:
    """A short name goes on from one image to the next: only what all of them have is known about it."""

    def common(values: list[str]) -> str:
        return values[0] if len(set(values)) == 1 else ""

    return Row(
        python=common([row.python for row in rows]),
        cuda=common([row.cuda for row in rows]),
        system=common([row.system for row in rows]),
        accelerator=common([row.accelerator for row in rows]),
        released="",
        end_of_patch="",
        package=common([row.package for row in rows]),
        tags=(),
    )


def _cuda(tag: str, row: Row | None) -> str | None:
    """`cu130` is 13.0; images of a plain CUDA have all of its version in front."""
    short = (row.cuda if row else "") or tag
    match = _CUDA.search(short)
    if match is None:
        return "" if _accelerator(tag, row) in ("cpu", "neuron") else None
    return f"{match[1]}.{match[2]}"


def _accelerator(tag: str, row: Row | None) -> Literal["cpu", "cuda", "neuron"] | None:
    match = _KIND.search(tag)
    word = (row.accelerator if row else "") or (match[1] if match else "gpu" if _CUDA.search(tag) else "")
    kinds: dict[str, Literal["cpu", "cuda", "neuron"]] = {"cpu": "cpu", "gpu": "cuda"}
    return kinds.get(word, "neuron" if word.startswith("neuron") else None)


def _toolkit(repository: str, tag: str) -> bool | None:
    if repository == "base" and tag.startswith(("devel-", "runtime-")):
        return tag.startswith("devel-")
    return False if "-cpu" in tag else None


def _packages(repository: str, tag: str, row: Row | None) -> dict[str, str]:
    found: dict[str, str] = {}
    if row and row.package:
        name, _, version = row.package.partition("==")
        found[name] = version
    version_match = _VERSION.match(tag)
    for name in _framework(repository):
        if version_match is not None and version_match[1].count(".") >= _FULL:
            found.setdefault(name, version_match[1])
    if (match := _TRANSFORMERS.search(tag)) is not None:
        found["transformers"] = match[1]
    return found


def _framework(repository: str) -> tuple[str, ...]:
    """The package that a repository is about."""
    known: dict[str, str] = tables.load("aws")["frameworks"]
    return next(((name,) for beginning, name in known.items() if repository.startswith(beginning)), ())


def _also(packages: list[str]) -> tuple[str, ...]:
    """What these bring along in a version that the tag does not say."""
    return ("torch",) if {"vllm", "sglang", "whisperx"}.intersection(packages) else ()


def _moving(tag: str, row: Row | None) -> Moving:
    """The most exact name of an image, or one with the number of its build, stays; the others go on to its patches."""
    if tag == "latest":
        return "rolling"
    exact = row is None or (bool(row.tags) and row.tags[0] == tag)
    return "" if exact or re.search(r"-v\d+\.\d+", tag) else "patch"


def _joined(match: re.Match[str] | None) -> str | None:
    return f"{match[1]}.{match[2]}" if match else None
