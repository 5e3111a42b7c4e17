"""One file as its checks see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import Literal

    from seatrial.checking.kinds import Recognised
    from seatrial.sources.text import Source


class Images(msgspec.Struct, frozen=True, kw_only=True):
    """How images are judged.

    `resolve` asks the package index which versions an install would take, `refresh` also where it was asked before.
    No fix changes what is asked of the packages in `keep` (normalised names).
    """

    resolve: bool = False
    refresh: bool = False
    keep: frozenset[str] = frozenset()


class Appspecs(msgspec.Struct, frozen=True, kw_only=True):
    """How application specifications are judged: for which platform, by what they say where None.

    `named` files are taken for one whatever they look like.
    """

    platform: Literal["server", "lambda", "ecs"] | None = None
    named: bool = False


class Subject(msgspec.Struct, frozen=True):
    """A recognised file in `folder`. `read` gives another file by its path, or None; `target` is what `--target` said."""

    source: Source
    recognised: Recognised
    folder: Path
    read: Callable[[str], Source | None]
    target: Mapping[str, str]
    images: Images = Images()
    appspecs: Appspecs = Appspecs()
