"""Inference servers: vllm/vllm-openai `v0.8.5`, lmsysorg/sglang `v0.5.2-cu129`, deepjavalibrary/djl-serving."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from seatrial.images.catalog import systems, tables
from seatrial.images.catalog.model import Contents

if TYPE_CHECKING:
    from seatrial.images.catalog.identify import Image

_VERSION = re.compile(r"v?(?P<version>\d+\.\d+\.\d+(?:\.?(?:post|rc)\d+)*)(?P<rest>(?:-[A-Za-z0-9.]+)*)")
_CUDA = re.compile(r"-cu(?:da)?(\d\d)\.?(\d)(?:\.\d+)?\b")
_LMI = re.compile(r"-lmi(\d+\.\d+\.\d+)")


def read(image: Image) -> Contents | None:
    """The server's version and what it requires exactly; None where the tag is written in no way that is known."""
    rule: dict[str, Any] = tables.load("serving")["repositories"][image.name]
    match = _VERSION.fullmatch(image.tag)
    if match is None:
        return Contents(
            **image.common, accelerator="cuda", present=frozenset(rule["present"]), moving="rolling",
            sources=(rule["source"],),
        )  # fmt: skip
    version, rest = match["version"], match["rest"]
    if "rocm" in rest:
        return Contents(
            **image.common,
            accelerator="rocm",
            cuda="",
            packages={rule["package"]: version},
            sources=(rule["source"],),
        )
    cuda = _CUDA.search(rest)
    era = _era(rule, version)
    packages = {rule["package"]: version} if rule.get("package") else {}
    torch = _requires(rule.get("package", ""), version)
    return Contents(
        **image.common,
        **systems.facts(_system(rest) or era.get("system")) | {"externally_managed": None},
        python=era.get("python"),
        interpreter=era.get("interpreter"),
        accelerator="cuda" if rest != "-cpu" else "cpu",
        cuda=f"{cuda[1]}.{cuda[2]}" if cuda else None,
        cuda_toolkit=era.get("toolkit"),
        packages=packages | ({"torch": torch} if torch else {}),
        present=frozenset([*rule["present"], *packages]),
        torch_cuda=f"{cuda[1]}.{cuda[2]}" if cuda else None,
        conda=False if era else None,
        sources=(rule["source"],),
    )


def _system(rest: str) -> str | None:
    match = re.search(r"-ubuntu(\d\d)\.?(\d\d)\b", rest)
    return f"ubuntu{match[1]}.{match[2]}" if match else None


def _era(rule: dict[str, Any], version: str) -> dict[str, Any]:
    """What the Dockerfile of that time says, where it is at hand."""
    order = _order(version)
    for era in rule.get("eras", ()):
        if _order(era["from"]) <= order < _order(era["below"]):
            found: dict[str, Any] = era
            return found
    return {}


@cache
def _requires(package: str, version: str) -> str | None:
    """The torch that a server's metadata requires exactly."""
    from seatrial.images.facts import releases

    for one in releases(package) if package else ():
        if one.version == version:
            for line in one.requires or ():
                if (
                    match := re.fullmatch(r"torch\s*==\s*([\d.]+)", line.partition(";")[0].strip())
                ) is not None:
                    return match[1]
    return None


def _order(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
