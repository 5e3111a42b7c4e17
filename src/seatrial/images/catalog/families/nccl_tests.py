"""public.ecr.aws/hpc-cloud/nccl-tests: `cuda12.8.1-efa1.43.2-ofiv1.16.3-ncclv2.27.7-1-testsv2.16.9`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images.catalog import tables
from seatrial.images.catalog.model import Contents, Moving

if TYPE_CHECKING:
    from seatrial.images.catalog.identify import Image

_TAG = re.compile(
    r"(?:cuda(?P<cuda>\d+(?:\.\d+)+)-)?efa(?P<efa>\d+(?:\.\d+)+)-ofiv(?P<ofi>\d+(?:\.\d+)+)"
    r"(?:-aws)?-ncclv(?P<nccl>\d+(?:\.\d+)+)(?:-\d+)?-testsv(?P<tests>\d+(?:\.\d+)+)"
)


def read(image: Image) -> Contents:
    """The versions that a long tag names, older ones without CUDA's; `latest` moves and names none."""
    match = _TAG.fullmatch(image.tag)
    sources = tuple(tables.load("ngc")["nccl_tests"]["sources"])
    if match is None:
        moving: Moving = "rolling" if image.tag == "latest" else ""
        return Contents(**image.common, accelerator="cuda", moving=moving, sources=sources)
    return Contents(
        **image.common, accelerator="cuda", cuda=match["cuda"], nccl=match["nccl"], sources=sources
    )
