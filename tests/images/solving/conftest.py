"""What tests of solving share: a package index that wants a password."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.indexes import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def index(wheelhouse: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The wheelhouse as an index at `http://me:s3cret@ADDRESS/simple`, and no other index."""
    for name in ("UV_NO_INDEX", "UV_OFFLINE", "UV_FIND_LINKS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with serving(wheelhouse) as address:
        yield address
