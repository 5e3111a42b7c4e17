"""What is known about the inside of a base image."""

from __future__ import annotations

from typing import Literal

import msgspec

Moving = Literal["", "patch", "rolling"]
"""How a tag moves: not at all; to newer patches of the same minor version; or to anything (`latest`, `3`, `nightly`)."""


class Removed(msgspec.Struct, frozen=True):
    """A tag that its registry does not have any more. `instead` are tags of the same repository that fit best."""

    reason: str
    source: str
    instead: tuple[str, ...] = ()


class Contents(msgspec.Struct, frozen=True, kw_only=True):
    """A base image. Where a field is None, it is not known; an empty text or False says that it is known to be absent.

    `reference` is the name as registries spell it (`docker.io/library/python:3.11-slim`), without a digest; `digest` is
    the one that was asked for. `family` is the catalog's name for images of this kind.

    Versions are as exact as is known: `python` is `3.11`; `cuda` is `12.4` or `12.4.1`; `cudnn` is `9` or `9.1.0.70`.
    `interpreter` is where `python` comes from: `system` (the distribution's), `conda`, `image` (built into it), or empty
    where there is none. `os` is `ubuntu22.04`, `debian12`, `alpine3.20`, …; `libc` tells glibc from musl.
    `cuda_toolkit` says whether nvcc and the headers are there. `accelerator` is what it is built for.

    `packages` are Python packages with the versions that are inside; `present` are packages inside whose version is not
    known. `bare` says that there are no machine-learning packages besides these.
    `torch_cuda` is the CUDA that its torch was built for.
    `externally_managed` says whether pip refuses to install into the system's Python (PEP 668).
    `constraint_file` is the file that pip is made to obey there (PIP_CONSTRAINT), with pins of what must not be replaced.
    `env` are variables that it sets and that matter to installing or loading.
    `apt_key_stale`: apt-get update fails on NVIDIA's repository until the signing key of April 2022 is there.
    `end_of_patch` is the day (ISO 8601) from which its publisher patches it no more. `size_bytes` is the compressed size.
    `sources` are addresses that say so; `unverified` names fields that rest on nothing but experience.
    """

    reference: str
    family: str
    tag: str
    digest: str = ""
    python: str | None = None
    interpreter: Literal["", "system", "conda", "image"] | None = None
    os: str | None = None
    libc: Literal["glibc", "musl"] | None = None
    glibc: str | None = None
    accelerator: Literal["cpu", "cuda", "rocm", "neuron"] | None = None
    cuda: str | None = None
    cuda_toolkit: bool | None = None
    cudnn: str | None = None
    nccl: str | None = None
    packages: dict[str, str] = {}
    present: frozenset[str] = frozenset()
    bare: bool = False
    torch_cuda: str | None = None
    conda: bool | None = None
    externally_managed: bool | None = None
    constraint_file: str | None = None
    env: dict[str, str] = {}
    moving: Moving = ""
    removed: Removed | None = None
    apt_key_stale: bool = False
    end_of_patch: str = ""
    size_bytes: int | None = None
    sources: tuple[str, ...] = ()
    unverified: frozenset[str] = frozenset()
