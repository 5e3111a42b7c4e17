"""Names that somebody may have meant by one that is not known."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLOSE = 0.75


def nearest(name: str, known: Sequence[str]) -> str:
    """The known name that looks most like `name`; empty where none does."""
    for one in known:
        if is_same(one, name):
            return one
    close = max(known, key=lambda one: likeness(name, one))
    return close if likeness(name, close) >= _CLOSE else ""


def is_same(one: str, other: str) -> bool:
    """Whether only case, a plural and what stands between the words differ."""
    return _plain(one) == _plain(other)


def likeness(one: str, other: str) -> float:
    """How alike two names look whatever their case: 0 to 1."""
    return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio()


def _plain(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower()).removesuffix("s")
