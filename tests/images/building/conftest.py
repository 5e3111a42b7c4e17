"""A base to build for, made once, and a cache of the test's own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from seatrial.images import bases, runtime
from seatrial.images.assemble.store import using
from seatrial.images.probe import probe
from support.builds import base

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def made_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small base with Python."""
    return base(tmp_path_factory.mktemp("base") / "layout")


@pytest.fixture(scope="module")
def cache(made_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache of one module, in which the base is unpacked and known."""
    place = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith(("UV_", "PIP_", "GIT_"))]:
            patch.delenv(name)
        for name, value in {
            "SEATRIAL_CACHE": str(place),
            "SEATRIAL_HOME": str(place / "home"),
            "UV_NO_INDEX": "1",
            "UV_OFFLINE": "1",
            "UV_CACHE_DIR": str(place / "uv"),
            "UV_NO_CONFIG": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
        }.items():
            patch.setenv(name, value)
        patch.delenv("SOURCE_DATE_EPOCH", raising=False)
        with using() as use:
            prepared = bases.prepare(str(made_base), use)
            probe(prepared, use)
            runtime.prepare(prepared.layout, prepared.digest)
        yield place


@pytest.fixture
def image_base(made_base: Path, cache: Path) -> Path:
    """The base, in a cache that has it ready."""
    assert cache.is_dir()
    return made_base
