"""tensorflow/tensorflow: `2.15.0-gpu`, `2.15.0`, `1.14.0-gpu-py3`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images.catalog import tables
from seatrial.images.catalog.model import Contents

if TYPE_CHECKING:
    from seatrial.images.catalog.identify import Image

_TAG = re.compile(
    r"(?P<version>\d+\.\d+\.\d+(?:rc\d+)?)(?P<devel>-devel)?(?P<gpu>-gpu)?(?P<python>-py\d)?(?:-jupyter)?"
)


def read(image: Image) -> Contents:
    """The version that a tag names. Which CUDA it has follows from TensorFlow's version, not from the tag."""
    source = (tables.load("others")["sources"]["tensorflow"],)
    match = _TAG.fullmatch(image.tag)
    if match is None:
        return Contents(
            **image.common,
            accelerator="cuda" if "gpu" in image.tag else None,
            present=frozenset({"tensorflow"}),
            moving="rolling",
            sources=source,
        )
    gpu = bool(match["gpu"])
    return Contents(
        **image.common,
        interpreter="system",
        accelerator="cuda" if gpu else "cpu",
        cuda=None if gpu else "",
        cudnn=None if gpu else "",
        cuda_toolkit=None if gpu else False,
        packages={} if match["devel"] else {"tensorflow": match["version"]},
        present=frozenset() if match["devel"] else frozenset({"tensorflow"}),
        conda=False,
        sources=source,
    )
