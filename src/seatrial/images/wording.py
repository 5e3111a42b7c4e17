"""Words of messages that several areas need."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def listed(items: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`; empty when there are none."""
    *others, last = items or [""]
    return f"{', '.join(others)} and {last}" if others else last
