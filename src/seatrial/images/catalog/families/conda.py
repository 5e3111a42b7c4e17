"""Images with conda and nothing else: continuumio/miniconda3, condaforge/miniforge3, mambaorg/micromamba."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images.catalog import systems, tables
from seatrial.images.catalog.model import Contents

if TYPE_CHECKING:
    from seatrial.images.catalog.identify import Image

_ROLLING = ("latest", "main")
_CUDA = re.compile(r"-cuda(\d+\.\d+(?:\.\d+)?)-")


def read(image: Image) -> Contents:
    """Conda's own Python is whatever was current when the tag was made, so it is not known."""
    cuda = _CUDA.search(image.tag)
    bare = image.name not in tables.load("others")["with_packages"]
    return Contents(
        **image.common,
        **systems.facts(systems.in_tag(image.tag)) | {"externally_managed": False},
        python="" if "micromamba" in image.name else None,
        interpreter="" if "micromamba" in image.name else "conda",
        accelerator="cuda" if cuda else "cpu",
        cuda=cuda[1] if cuda else "",
        cudnn="",
        bare=bare,
        conda=True,
        constraint_file="",
        moving="rolling" if image.tag in _ROLLING or not any(map(str.isdigit, image.tag)) else "",
        sources=(tables.load("others")["sources"]["conda"],),
    )
