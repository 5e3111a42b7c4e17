"""Parts of buildspecs, as the reader would have made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.builds.model import Artifacts, Cache, Text
from seatrial.findings import Place

if TYPE_CHECKING:
    from pathlib import Path

PLACE = Place("buildspec.yml", (9, 1), (9, 2))


def texts(values: tuple[str, ...] | list[str]) -> tuple[Text, ...]:
    return tuple(Text(value, PLACE) for value in values)


def artifact(*files: str, exclude: tuple[str, ...] = (), **options: Any) -> Artifacts:
    return Artifacts(place=PLACE, files=texts(files), exclude_paths=texts(exclude), **options)


def cache(*paths: str, **options: Any) -> Cache:
    return Cache(place=PLACE, paths=texts(paths), **options)


def tree(folder: Path, *files: str, **contents: str) -> Path:
    """Make files that hold their own names."""
    for name in files:
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(contents.get(name, name))
    return folder
