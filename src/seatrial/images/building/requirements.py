"""What a project is built with, as wheels for the Python that builds: resolved, or built themselves first.

The same indexes are asked as for the image: those of the environment, of its requirement files, and of uv's settings.
"""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING, Any

from seatrial.files import write_atomic
from seatrial.images.assemble.store import scratch
from seatrial.images.building.model import BuildError, Source, System, Workshop
from seatrial.images.inputs.model import Wanted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images.inputs.model import Build, Built, Unbuilt
    from seatrial.images.resolve import Resolution

_DEEPEST = 8
_INDEX_LINE = re.compile(
    r"\s*(-i|-f|--index-url|--extra-index-url|--find-links|--no-index|--trusted-host|--pre)\b.*"
)
_INDEX_KEYS = ("index", "index-url", "extra-index-url", "no-index", "index-strategy", "keyring-provider")


def resolved(shop: Workshop, requires: Sequence[str], system: System, source: Source) -> Resolution:
    """The wheels that satisfy `requires` for the interpreter of `system`; those without one are built first.

    Raises:
        SeatrialError: they contradict each other, cannot be had or built, or need each other to be built.
    """
    from seatrial.images.resolve import resolve_wanted

    with scratch() as folder:
        file = folder / "requires.in"
        write_atomic(file, "".join(f"{one}\n" for one in (*_index_lines(shop), *requires)))
        if settings := _uv_settings(shop.spec.root):
            write_atomic(folder / "uv.toml", settings)
        wanted = Wanted(
            root=folder,
            files=(file,),
            find_links=tuple((shop.spec.root / name).absolute() for name in shop.spec.find_links),
            offline=shop.spec.offline,
        )
        return resolve_wanted(
            wanted, system.interpreter.target, python=system.interpreter.version, build=_nested(shop, source),
            builder=system.base.digest, refresh=shop.refresh, env=shop.env, hold=shop.use.hold,
        )  # fmt: skip


def _nested(shop: Workshop, source: Source) -> Build:
    """Builds a build requirement. What is being built already cannot be one."""
    chain = (*shop.parents, source.name or source.label)

    def build(unbuilt: Unbuilt) -> Built:
        from seatrial.images.building.make import make

        names = " → ".join((*chain, unbuilt.name or unbuilt.url))
        if unbuilt.name and unbuilt.name in chain:
            raise BuildError(
                f"building {chain[0]} needs {unbuilt.name} to be there already", where=unbuilt.where or None, why=names,
                fix=f"give a wheel of {unbuilt.name} by `--find-links`",
            )  # fmt: skip
        if len(chain) >= _DEEPEST:
            raise BuildError(
                "the build requirements go too deep", why=names, fix="give wheels by `--find-links`"
            )
        return make(shop._replace(parents=chain), unbuilt)

    return build


def _index_lines(shop: Workshop) -> list[str]:
    """What the image's requirement files say about indexes."""
    found: dict[str, None] = {}
    for name in shop.spec.requirements:
        path = shop.spec.root / name
        if path.suffix in (".toml", ".lock", ".yml", ".yaml") or not path.is_file():
            continue
        for line in path.read_text("utf-8", "replace").splitlines():
            if _INDEX_LINE.fullmatch(line) and not re.search(r"(-f|--find-links)[=\s]+\.", line):
                found[line.strip()] = None
    return list(found)


def _uv_settings(root: Path) -> str:
    """The indexes of the project's uv.toml or pyproject.toml, as a uv.toml."""
    for name in ("uv.toml", "pyproject.toml"):
        try:
            data = tomllib.loads((root / name).read_text("utf-8"))
        except (OSError, ValueError):
            continue
        table = data if name == "uv.toml" else data.get("tool", {}).get("uv", {})
        if kept := {key: table[key] for key in _INDEX_KEYS if key in table}:
            return _toml(kept)
    return ""


def _toml(table: dict[str, Any]) -> str:
    plain = {key: value for key, value in table.items() if key != "index"}
    lines = [f"{key} = {json.dumps(value)}" for key, value in plain.items()]
    for one in table.get("index", ()):
        lines += ["[[index]]", *(f"{key} = {json.dumps(value)}" for key, value in one.items())]
    return "\n".join(lines) + "\n"
