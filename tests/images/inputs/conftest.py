"""What tests of inputs share: resolving in a project's folder, with a builder that runs nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from seatrial.images.inputs.model import Wanted
from seatrial.images.resolve import Resolution, resolve_wanted
from seatrial.images.target import Target
from support.builders import Builder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


@pytest.fixture
def builder(tmp_path: Path) -> Builder:
    return Builder(tmp_path / "built")


@pytest.fixture
def resolved(root: Path, builder: Builder, wheelhouse: Path) -> Callable[..., Resolution]:
    """`resolved("file", …, extras=…)` resolves files of `root` for Python 3.11.2 on Debian 12."""

    def run(*names: str, target: Target | None = None, building: bool = True, **options: Any) -> Resolution:
        refresh = options.pop("refresh", False)
        python = options.pop("python", "3.11.2")
        wanted = Wanted(root=root, files=tuple(root / name for name in names), **options)
        build = builder if building else None
        return resolve_wanted(
            wanted, target or Target(), python=python, build=build, builder="test", refresh=refresh
        )

    return run
