"""What `seatrial.yaml` says about checking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.checking.walk import repository

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.findings import Place
    from seatrial.sources.tree import Document

_FILE = "seatrial.yaml"


class Settings(msgspec.Struct, frozen=True):
    """`folder` is where seatrial.yaml is, and what its patterns and its baseline are relative to."""

    folder: Path
    disable: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    baseline: Path | None = None
    places: tuple[tuple[str, Place], ...] = ()
    """Where each disabled rule is named."""


def settings(root: Path) -> Settings:
    """The settings that hold for `root`: the nearest seatrial.yaml, up to the root of the repository.

    A file with mistakes elsewhere still says which rules are disabled; the mistakes are findings of their own.

    Raises:
        UsageError: an environment variable of Seatrial's says something that cannot be.
    """
    from seatrial.config import ConfigError, load

    folder = _folder(root)
    document = _document(folder / _FILE)
    try:
        said: Any = load(folder).check
    except ConfigError:
        said = None
    disable = _texts(document, "disable") if said is None else said.disable
    exclude = _texts(document, "exclude") if said is None else said.exclude
    baseline = None if said is None or said.baseline is None else folder / said.baseline
    return Settings(folder, disable, exclude, baseline, _places(document, disable))


def _folder(root: Path) -> Path:
    absolute = root.resolve()
    top = repository(absolute) or absolute
    for place in (absolute, *absolute.parents):
        if (place / _FILE).is_file():
            return place
        if place == top:
            break
    return absolute


def _document(file: Path) -> Document | None:
    from seatrial.sources import text, yaml

    try:
        return yaml.read(text.read(file, _FILE)) if file.is_file() else None
    except text.SourceError:
        return None


def _texts(document: Document | None, key: str) -> tuple[str, ...]:
    if document is None or not document.has(("check", key)):
        return ()
    value = document.node(("check", key)).value
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else ()


def _places(document: Document | None, disable: tuple[str, ...]) -> tuple[tuple[str, Place], ...]:
    if document is None or not document.has(("check", "disable")):
        return ()
    listed = document.node(("check", "disable")).items
    return tuple(
        (node.value, document.source.place(node.start, node.end)) for node in listed if node.value in disable
    )
