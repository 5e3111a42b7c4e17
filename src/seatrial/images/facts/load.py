"""Reads the tables of this folder: hand-kept YAML and derived JSON, each once."""

from __future__ import annotations

import os
import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")

PACKAGE = "seatrial.images.facts"


def load_yaml(name: str, kind: type[T]) -> T:
    """Decode a hand-kept table; a mistake in it is a fault of ours and raises msgspec.ValidationError."""
    from seatrial.sources import yaml

    content = resources.files(PACKAGE).joinpath(name).read_text(encoding="utf-8")
    return msgspec.convert(yaml.read_text(name, content).value, kind)


@cache
def derived(name: str) -> bytes | None:
    """The derived table of a package: the user's own where `image facts refresh --write` made one no older than ours, else ours."""
    own, ours = _read(refreshed_folder() / f"{name}.json"), _packaged(name)
    if own is None or ours is None:
        return own or ours
    return own if _date(own) >= _date(ours) else ours


def refreshed_folder() -> Path:
    """Where `image facts refresh --write` puts tables. Not made here: reading facts writes nothing."""
    if os.environ.get("SEATRIAL_HOME"):
        return Path(os.environ["SEATRIAL_HOME"]).expanduser().absolute() / "facts"
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if state.startswith("/") else Path.home() / ".local/state"
    return base / "seatrial" / "facts"


def _packaged(name: str) -> bytes | None:
    try:
        return resources.files(PACKAGE).joinpath("derived", f"{name}.json").read_bytes()
    except OSError:
        return None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _date(table: bytes) -> str:
    """The day a table was derived: it stands in the first line, so that two tables compare without decoding them."""
    found = re.search(rb'"derived": "([0-9-]+)"', table[:300])
    return found[1].decode() if found else ""
