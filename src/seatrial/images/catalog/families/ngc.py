"""Other images of nvcr.io/nvidia: tritonserver, tensorflow, cuda-dl-base by month; and those of which little is known."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.catalog import systems, tables
from seatrial.images.catalog.families.ngc_pytorch import constraint, managed, months
from seatrial.images.catalog.model import Contents

if TYPE_CHECKING:
    from seatrial.images.catalog.identify import Image

_MONTH = re.compile(r"(?P<month>\d\d\.\d\d)(?P<rest>-[a-z0-9.-]+)?")
_DL_BASE = re.compile(r"\d\d\.\d\d-cuda(?P<cuda>\d+\.\d+)-(?P<kind>devel|runtime)-(?P<os>[a-z]+[\d.]+)")
_TF = re.compile(r"-tf(\d)-py3")


class TrtLlm(msgspec.Struct, frozen=True):
    """What `tritonserver:{month}-trtllm-python-py3` holds."""

    month: str
    torch: str
    tensorrt: str
    trtllm: str
    cuda: str
    python: str


def read(image: Image) -> Contents | None:
    """What a tag holds; of a repository that has no rules of its own, only that it is one of NVIDIA's for CUDA."""
    readers = {"tritonserver": _tritonserver, "cuda-dl-base": _dl_base, "tensorflow": _tensorflow}
    reader = readers.get(image.name.removeprefix("nvcr.io/nvidia/"))
    return reader(image) if reader else _unknown(image)


def _tritonserver(image: Image) -> Contents:
    match = _MONTH.fullmatch(image.tag)
    month = months().get(match["month"]) if match else None
    if match is None or month is None:
        return _unknown(image)
    rest = (match["rest"] or "").strip("-")
    row = _trtllm().get(month.name) if rest == "trtllm-python-py3" else None
    if row is not None:
        return msgspec.structs.replace(
            _unknown(image),
            **managed(month),
            python=row.python,
            cuda=row.cuda,
            packages={"torch": row.torch, "tensorrt": row.tensorrt, "tensorrt-llm": row.trtllm},
            present=frozenset({"torch", "tensorrt", "tensorrt-llm"}),
            torch_cuda=".".join(row.cuda.split(".")[:2]),
        )
    vllm = _vllm().get(month.name, "") if rest == "vllm-python-py3" else ""
    return msgspec.structs.replace(
        _unknown(image),
        **managed(month),
        python=month.python if rest in ("py3", "vllm-python-py3", "py3-sdk") else None,
        cuda=month.cuda or None,
        packages={"vllm": vllm} if vllm else {},
        present=frozenset({"vllm", "torch"} if rest == "vllm-python-py3" else ()),
        constraint_file=constraint(month.name) if rest == "vllm-python-py3" else None,
        unverified=month.unverified - {"torch", "torch_cuda"},
    )


def _dl_base(image: Image) -> Contents:
    match = _DL_BASE.fullmatch(image.tag)
    if match is None:
        return _unknown(image)
    return msgspec.structs.replace(
        _unknown(image),
        **systems.facts(match["os"]),
        cuda=match["cuda"],
        cuda_toolkit=match["kind"] == "devel",
        bare=True,
    )


def _tensorflow(image: Image) -> Contents:
    match = _MONTH.fullmatch(image.tag)
    month = months().get(match["month"]) if match else None
    major = _TF.search(image.tag)
    if match is None or month is None or major is None:
        return _unknown(image)
    return msgspec.structs.replace(
        _unknown(image),
        **managed(month),
        python=month.python,
        interpreter="system",
        cuda=month.cuda or None,
        present=frozenset({"tensorflow"}),
        unverified=month.unverified - {"torch", "torch_cuda"},
    )


def _unknown(image: Image) -> Contents:
    source = tables.load("ngc")["sources"]["catalog"]
    moving = "rolling" if image.tag in ("latest", "nightly") else ""
    return Contents(**image.common, accelerator="cuda", moving=moving, sources=(source,))  # type: ignore[arg-type]


@cache
def _trtllm() -> dict[str, TrtLlm]:
    found = (TrtLlm(*cells[:6]) for cells in tables.columns(tables.load("ngc")["tritonserver_trtllm"], 6))
    return {one.month: one for one in found}


@cache
def _vllm() -> dict[str, str]:
    return {cells[0]: cells[1] for cells in tables.columns(tables.load("ngc")["tritonserver_vllm"], 2)}
