"""How the libraries of CUDA wheels find each other."""

from __future__ import annotations

from functools import cache

import msgspec

from seatrial.images.facts.load import load_yaml


class Loading(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`loading.yaml`: wheels from CUDA `first_cuda` on need their own libnvJitLink; torch from `preloads` on sees to it."""

    first_cuda: str
    preloads: str
    source: str
    conda: frozenset[str]


@cache
def loading() -> Loading:
    """The table; a mistake in it raises msgspec.ValidationError."""
    return load_yaml("loading.yaml", Loading)
