"""Captured logs as data of the tests. A second run replaces what it captured again and leaves the rest."""

from __future__ import annotations

import gzip
import hashlib
from typing import TYPE_CHECKING

import msgspec
import yaml

if TYPE_CHECKING:
    from pathlib import Path

    from provoking.recipes import Recipe

_ASIDE = (0, 1)
TRAIN, HELD = "provoked/train.yaml", "provoked/held.yaml.gz"


class Captured(msgspec.Struct, frozen=True, omit_defaults=True):
    name: str
    status: int
    log: str
    cause: str = ""
    accept: list[str] = []
    fix: list[str] = []
    background: bool = False

    @staticmethod
    def of(recipe: Recipe, log: str, status: int) -> Captured:
        return Captured(recipe.name, status, log, recipe.cause, recipe.accept, recipe.fix, recipe.background)


def held(name: str) -> bool:
    """Whether a new case `name` is set aside. One that is in a file already stays there."""
    return hashlib.sha256(f"explain {name}".encode()).digest()[0] % 5 in _ASIDE


def keep(captured: list[Captured], folder: Path) -> None:
    """Write `captured` to the files under `folder`."""
    failed = {one.name: one for one in captured if one.cause}
    known = {
        name: {one.name for one in read(folder / name)} if (folder / name).exists() else set()
        for name in (TRAIN, HELD)
    }
    aside = {name for name in failed if name in known[HELD] or (name not in known[TRAIN] and held(name))}
    _merge(folder / TRAIN, [one for name, one in failed.items() if name not in aside])
    _merge(folder / HELD, [one for name, one in failed.items() if name in aside])
    for one in captured:
        if not one.cause:
            path = folder / ("background" if one.background else "healthy") / f"{one.name}.txt.gz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(gzip.compress(one.log.encode(), mtime=0))


def read(path: Path) -> list[Captured]:
    """The cases of one file."""
    raw = path.read_bytes()
    text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    return msgspec.convert(yaml.load(text, Loader=_loader()), list[Captured])


def _merge(path: Path, captured: list[Captured]) -> None:
    if not captured:
        return
    old = read(path) if path.exists() else []
    cases = {one.name: one for one in [*old, *captured]}
    builtins = [msgspec.to_builtins(cases[name]) for name in sorted(cases)]
    text = yaml.dump(builtins, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)


def _loader() -> type[yaml.SafeLoader]:
    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(yaml.SafeDumper):
    """Logs as block text where YAML can write them so, that a reader sees them as they were."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Dumper.add_representer(str, _text)
