"""nvcr.io/nvidia/pytorch: `25.06-py3`, one month of NVIDIA's own build of PyTorch."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.images.catalog import systems, tables
from seatrial.images.catalog.model import Contents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.catalog.identify import Image

_TAG = re.compile(r"(?P<month>\d\d\.\d\d)-py3(?P<rest>-[a-z-]+)?")


class Month(msgspec.Struct, frozen=True):
    """What NVIDIA put into its frameworks' images of a month. Fields are empty where they are not known.

    `cuda` and `driver` hold for every image of the month, `torch` for the one of PyTorch.
    """

    name: str
    torch: str
    cuda: str
    driver: str
    python: str
    system: str
    unverified: frozenset[str] = frozenset()


def read(image: Image) -> Contents | None:
    """What a month's image holds; None where the tag names no month."""
    match = _TAG.fullmatch(image.tag)
    if match is None:
        return _nothing(image) if image.tag == "latest" else None
    table = tables.load("ngc")
    month = months().get(match["month"])
    cuda = month.cuda if month else ""
    settled = match["month"] >= table["system_python_from"]
    whole = not match["rest"] or match["rest"] == "-igpu"
    return Contents(
        **image.common,
        **managed(month),
        python=(month.python or None) if month else None,
        interpreter="system" if settled else None,
        accelerator="cuda",
        cuda=cuda or None,
        cuda_toolkit=True if whole else None,
        packages={"torch": month.torch} if month and month.torch else {},
        present=frozenset(["torch", *table["present"]] if whole else ["torch"]),
        torch_cuda=".".join(cuda.split(".")[:2]) or None,
        conda=False if settled else None,
        constraint_file=constraint(match["month"]),
        sources=(table["sources"]["torch"], table["sources"]["cuda"]),
        unverified=(month.unverified if month else frozenset()),
    )


def managed(month: Month | None) -> dict[str, Any]:
    """The system's facts; in NVIDIA's images pip does install into the system's Python (PIP_BREAK_SYSTEM_PACKAGES)."""
    found = systems.facts(month.system if month else None)
    return found | {"externally_managed": False} if found else {}


def constraint(month: str) -> str:
    """The file that pip is made to obey in images of a month, empty where there is none."""
    table = tables.load("ngc")
    pinned = table["constraint_from"] <= month < table["constraint_before"]
    return str(table["constraint_file"]) if pinned else ""


@cache
def months() -> dict[str, Month]:
    """The months that are known, the newest first."""
    return {one.name: one for one in _rows()}


def _rows() -> Iterator[Month]:
    for cells in tables.columns(tables.load("ngc")["months"], 5):
        doubtful = {
            key for key, cell in zip(("month", "torch", "cuda"), cells, strict=False) if cell.endswith("?")
        }
        if "cuda" in doubtful:
            doubtful.add("torch_cuda")
        name, torch, cuda, driver, python, system = (cell.rstrip("?") for cell in cells)
        yield Month(name, torch, cuda, driver, python, system, frozenset(doubtful))


def _nothing(image: Image) -> Contents:
    return Contents(
        **image.common,
        accelerator="cuda", moving="rolling", present=frozenset({"torch"}),
    )  # fmt: skip
