"""A fleet of a test's own, ended with everything it started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    found = Fleet(tmp_path)
    yield found
    found.end()
