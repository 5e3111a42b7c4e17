"""What a recipe says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Recipe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`cause` and `accept` are cause ids, `fix` regexes that a right fix must contain. `prepare` runs first, unseen.

    `any_status`: the exit status does not tell whether it went wrong, as when a pipe hides it.
    `background`: a long healthy log that the tests put failures into.
    """

    name: str
    run: str
    cause: str = ""
    accept: list[str] = []
    fix: list[str] = []
    files: dict[str, str] = {}
    env: dict[str, str] = {}
    prepare: str = ""
    tools: list[str] = []
    worlds: list[str] = []
    healthy: bool = False
    any_status: bool = False
    background: bool = False


def recipes(folder: Path) -> Iterator[Recipe]:
    """All recipes of the YAML files in `folder`, in the order of names of files."""
    names = set()
    for path in sorted(folder.glob("*.yaml")):
        for one in msgspec.convert(yaml.safe_load(path.read_text()), list[Recipe]):
            if one.name in names:
                raise ValueError(f"{path.name}: two recipes are named {one.name}")
            if one.healthy == bool(one.cause and one.fix):
                raise ValueError(
                    f"{path.name}: {one.name} needs either a cause and a fix, or `healthy: true`"
                )
            names.add(one.name)
            yield one
