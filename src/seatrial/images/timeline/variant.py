"""Which build of a package an install brings: for which CUDA, or for none.

With no index given, the default build of the release decides; PyTorch's own indexes hold one build each, and a local
label (`+cu121`) says it outright. Source: https://pytorch.org/get-started/previous-versions/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images import facts
from seatrial.images.timeline.versions import built_for, has_build, listed_build

if TYPE_CHECKING:
    from seatrial.images.story.model import Install, Request

FAMILY = frozenset({"torch", "torchvision", "torchaudio"})
"""The packages that are built once for each CUDA."""

_INDEX = re.compile(
    r"(?:/|^)(?:whl|nightly|test|cuda)/(?:nightly/|test/)?(cu\d+|cpu|rocm[\d.]+|xpu)(?=$|[/_?#.])"
)
_LABEL = re.compile(r"\+(cu\d+|cpu|rocm[\d.]+|xpu)")
DEFAULT_INDEX = re.compile(r"^https?://(?:pypi\.org|pypi\.python\.org|files\.pythonhosted\.org)(?:/|$)")
"""The index that pip and uv ask when none is given."""

_CONDA_CUDA = ("pytorch-cuda", "cudatoolkit", "cuda-version")


def of_index(url: str) -> str:
    """The build that PyTorch's index at `url` holds, empty for any other address."""
    match = _INDEX.search(url)
    return match[1] if match else ""


def index_of(request: Request | None, install: Install) -> str:
    """The index that is asked for a request; one on its own line of a requirement file counts for nobody.

    Source: https://pip.pypa.io/en/stable/reference/requirements-file-format/#per-requirement-options
    """
    if request is not None and request.index and request.style not in ("lines", "locked"):
        return request.index
    return install.index


def variant(
    name: str, version: str, request: Request | None, install: Install, architecture: str = "x86_64"
) -> str:
    """The build of `version` that an install brings, empty where that is not known or there are none."""
    label = _LABEL.search(version) or (_LABEL.search(request.url.replace("%2B", "+")) if request else None)
    if label:
        return label[1]
    if name not in FAMILY:
        return ""
    if request is not None and request.url:
        return of_index(request.url)
    if install.tool == "conda":
        return _conda(install)
    return _of_indexes(name, version, request, install, architecture)


def _of_indexes(name: str, version: str, request: Request | None, install: Install, architecture: str) -> str:
    backends = [one.partition("=")[2] for one in install.flags if one.startswith("torch-backend=")]
    if backends:
        return "" if backends[0] == "auto" else backends[0]
    index = index_of(request, install)
    if of_index(index):
        return of_index(index)
    extra = [of_index(one) for one in install.extra_indexes if of_index(one)]
    if extra:
        return _besides(name, version, extra, install)
    linked = [of_index(one) for one in install.find_links if _has_torch(one)]
    if linked:
        # A page of links adds to what the index has: the highest version of all of them wins, with every installer.
        known = version and all(linked) and len(set(linked)) == 1 and has_build(name, version, linked[0])
        return linked[0] if known else ""
    if (index and not DEFAULT_INDEX.match(index)) or "no-index" in install.flags or not version:
        return ""
    return _default(name, version, architecture)


def _has_torch(link: str) -> bool:
    """Whether a page or folder of wheels may have torch: PyTorch's own, or one whose content is not known."""
    return "pytorch.org" in link or "://" not in link


def _besides(name: str, version: str, extra: list[str], install: Install) -> str:
    """With pip the higher version wins, and `2.1.0+cu121` is higher than `2.1.0`; uv looks into extra indexes first."""
    if len(set(extra)) > 1:
        return ""
    if version and install.tool != "uv" and not listed_build(built_for(name, version), extra[0]):
        return ""
    return extra[0]


def _default(name: str, version: str, architecture: str) -> str:
    torch = built_for(name, version)
    cuda = facts.default_cuda(torch) if torch else None
    if cuda is None or architecture != "x86_64":
        return ""
    return f"cu{cuda.replace('.', '')}"


def _conda(install: Install) -> str:
    for one in install.requests:
        if one.name == "cpuonly":
            return "cpu"
        if one.name in _CONDA_CUDA:
            match = re.search(r"(\d+)\.(\d+)", one.specifier)
            if match:
                return f"cu{match[1]}{match[2]}"
    return ""


def cuda_of(label: str) -> str:
    """`cu121` → `12.1`, `cu1110` is not written; empty for builds without CUDA."""
    match = re.fullmatch(r"cu(\d+)(\d)", label)
    return f"{match[1]}.{match[2]}" if match else ""
