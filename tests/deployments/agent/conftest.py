"""What tests of the agent share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.agents import Host

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.end()
