"""The catalog's tables: YAML with sources, read once; long tables are text in columns, which reads ten times faster."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any


@cache
def load(name: str) -> dict[str, Any]:
    """The catalog's file `name` without its ending."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = resources.files("seatrial.images.catalog").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    content = yaml.load(text, loader)  # noqa: S506 - both loaders are safe ones
    if not isinstance(content, dict):
        raise TypeError(f"{name}.yaml is no mapping")
    return content


def columns(text: str, count: int) -> list[list[str]]:
    """The rows of a table in columns: `count` words and the rest of the line; `-` is an empty cell."""
    rows = []
    for line in text.splitlines():
        words = line.split(None, count)
        if words and not words[0].startswith("#"):
            cells = ["" if word == "-" else word for word in words]
            rows.append(cells + [""] * (count + 1 - len(cells)))
    return rows
