"""What tests of images share: a cache and an index of their own, so nothing here needs a network."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that uv takes wheels from, instead of any index; with state and cache in the test's folder."""
    house = tmp_path / "wheelhouse"
    house.mkdir()
    for name in [n for n in os.environ if n.startswith("UV_")]:
        monkeypatch.delenv(name)
    for name, value in {
        "UV_NO_INDEX": "1",
        "UV_OFFLINE": "1",
        "UV_FIND_LINKS": str(house),
        "UV_CACHE_DIR": str(tmp_path / "uv"),
        "UV_NO_CONFIG": "1",
        "SEATRIAL_CACHE": str(tmp_path / "cache"),
        "SEATRIAL_HOME": str(tmp_path / "home"),
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    return house
