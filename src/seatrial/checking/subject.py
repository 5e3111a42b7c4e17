"""One file as its checks see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from seatrial.checking.kinds import Recognised
    from seatrial.sources.text import Source


class Subject(msgspec.Struct, frozen=True):
    """A recognised file in `folder`. `read` gives another file by its path, or None; `target` is what `--target` said.

    `resolve` asks the package index which versions an install would take.
    """

    source: Source
    recognised: Recognised
    folder: Path
    read: Callable[[str], Source | None]
    target: Mapping[str, str]
    resolve: bool = False
