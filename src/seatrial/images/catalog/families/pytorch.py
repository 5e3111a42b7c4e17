"""pytorch/pytorch: `2.5.1-cuda12.4-cudnn9-devel`."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING

from seatrial.images.catalog import systems, tables
from seatrial.images.catalog.model import Contents
from seatrial.images.facts.versions import numbers

if TYPE_CHECKING:
    from seatrial.images.catalog.identify import Image

_TAG = re.compile(
    r"(?P<torch>\d+\.\d+(?:\.\d+)?)-cuda(?P<cuda>\d+\.\d+)-cudnn(?P<cudnn>\d+)-(?P<kind>runtime|devel)"
)


def read(image: Image) -> Contents | None:
    """What a tag holds; None where it is written in no way that is known."""
    table = tables.load("pytorch")
    if image.tag == "latest" or image.tag.endswith("nightly"):
        return Contents(
            **image.common,
            present=frozenset({"torch"}), moving="rolling", sources=(table["sources"]["tags"],),
        )  # fmt: skip
    match = _TAG.fullmatch(image.tag)
    if match is None:
        return None
    torch, devel = match["torch"], match["kind"] == "devel"
    python, interpreter, system, unverified = _inside(torch)
    return Contents(
        **image.common,
        **systems.facts(system) | {"externally_managed": False},
        python=python or None,
        interpreter=interpreter,  # type: ignore[arg-type]
        accelerator="cuda",
        cuda=match["cuda"],
        cuda_toolkit=devel,
        cudnn=match["cudnn"],
        packages={"torch": torch},
        present=frozenset({"torch", *table["beside"]}),
        torch_cuda=match["cuda"],
        conda=interpreter == "conda" if interpreter else None,
        constraint_file="",
        apt_key_stale=devel and numbers(torch) < numbers(table["key_changed"]),
        sources=(table["sources"]["tags"], table["sources"]["contents"]),
        unverified=unverified,
    )


@cache
def _inside(torch: str) -> tuple[str, str | None, str | None, frozenset[str]]:
    """Python, where it comes from, the system, and which of these fields are not verified."""
    fitting = None
    for row in tables.columns(tables.load("pytorch")["contents"], 4):
        if numbers(torch) >= numbers(row[0]):
            fitting = row
    if fitting is None:
        return "", None, None, frozenset()
    fields = dict(zip(("python", "interpreter", "os"), fitting[1:4], strict=True))
    doubtful = {name for name, cell in fields.items() if cell.endswith("?")}
    if "os" in doubtful:
        doubtful |= {"libc", "glibc"}
    python, interpreter, system = (cell.rstrip("?") for cell in fields.values())
    return python, interpreter or None, system or None, frozenset(doubtful)
