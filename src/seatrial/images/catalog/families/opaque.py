"""Images that are known to hold frameworks, but of which only the tag's own words are known."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from seatrial.images.catalog import systems, tables
from seatrial.images.catalog.model import Contents

if TYPE_CHECKING:
    from seatrial.images.catalog.identify import Image

_ROCM = re.compile(
    r"rocm(?P<rocm>[\d.]+)_ubuntu(?P<os>[\d.]+)_py(?P<python>3\.\d+)_pytorch(?:_release)?_(?P<torch>[\d.]+)"
)


def read(image: Image) -> Contents:
    """The accelerator and what must be inside; versions only where the tag has them."""
    rule: dict[str, Any] = _rule(image.name)
    common: dict[str, Any] = image.common | {
        "accelerator": rule.get("accelerator"),
        "present": frozenset(rule.get("present", ())),
        "moving": "rolling" if not any(map(str.isdigit, image.tag)) or "latest" in image.tag else "",
        "sources": (rule["source"],),
    }
    if rule.get("accelerator") == "rocm":
        common["cuda"] = ""
    match = _ROCM.fullmatch(image.tag)
    if match is None:
        return Contents(**common)
    return Contents(
        **common,
        **systems.facts(f"ubuntu{match['os']}") | {"externally_managed": None},
        python=match["python"],
        packages={"torch": match["torch"]},
    )


def _rule(name: str) -> dict[str, Any]:
    rules: dict[str, dict[str, Any]] = tables.load("others")["opaque"]
    return rules.get(name) or rules[f"{name.rpartition('/')[0]}/*"]
