"""Plain distributions: `ubuntu:22.04`, `debian:bookworm-slim`, `amazonlinux:2023`, `rockylinux:9`, UBI, manylinux."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from seatrial.images.catalog import systems, tables
from seatrial.images.catalog.model import Contents

if TYPE_CHECKING:
    from seatrial.images.catalog.identify import Image
    from seatrial.images.catalog.model import Moving

_NUMBER = re.compile(r"v?(\d+(?:\.\d+)?)")


def read(image: Image) -> Contents:
    """A distribution without anything on top; the release is None where the tag names none."""
    table = tables.load("distributions")
    rule: dict[str, Any] = table["repositories"][image.name]
    system, moving = _release(image.tag, rule)
    python = rule.get("python", "")
    has_python = python != "" and system is not None
    return Contents(
        **image.common,
        **systems.facts(system),
        python=systems.known(system).python if has_python and system else python if python == "" else None,
        interpreter=("system" if has_python else "") if python is not None else None,
        accelerator="cpu",
        cuda="",
        cuda_toolkit=False,
        cudnn="",
        nccl="",
        bare=True,
        conda=False,
        constraint_file="",
        moving=moving,
        sources=(rule["source"], *tables.load("systems")["sources"].values()),
    )


def _release(tag: str, rule: dict[str, Any]) -> tuple[str | None, Moving]:
    """The system's name in the table of systems, and how the tag moves."""
    if "system" in rule:
        return rule["system"], "patch"
    if tag in rule.get("rolling", ()):
        return None, "rolling"
    if (named := systems.in_tag(tag)) is not None:
        return named, "patch"
    match = _NUMBER.match(tag)
    if match is None:
        return None, "rolling"
    number = match[1] if rule.get("minor") else match[1].partition(".")[0]
    return f"{rule['prefix']}{number}", "patch"
