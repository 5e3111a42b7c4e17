"""Numbers and texts as report files write them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

_CLOCK = re.compile(r"(?:(\d+)\.)?(\d+):(\d+):(\d+(?:\.\d+)?)$")


def seconds(text: str) -> float | None:
    """`0.5`, `1,234.5` (thousands) or `0,5` (a decimal comma); None for anything else."""
    text = text.strip()
    if "," in text:
        text = (
            text.replace(",", "")
            if "." in text or re.fullmatch(r"\d{1,3}(,\d{3})+", text)
            else text.replace(",", ".")
        )
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


def clock(text: str) -> float | None:
    """.NET's time span `[days.]hours:minutes:seconds` in seconds."""
    found = _CLOCK.match(text.strip())
    if not found:
        return None
    days, hours, minutes, rest = found.groups()
    return int(days or 0) * 86400 + int(hours) * 3600 + int(minutes) * 60 + float(rest)


def joined(*parts: str) -> str:
    """Texts below each other; one that the next begins with is not said twice."""
    said: list[str] = []
    for part in (one.strip() for one in parts):
        if part and not any(part in other for other in said):
            if said and part.startswith(said[-1]):
                said.pop()
            said.append(part)
    return "\n".join(said)


def whole(value: Any) -> int:
    """A count: a number or its digits; anything else is 0."""
    try:
        return max(0, int(value))
    except (TypeError, ValueError, OverflowError):
        return 0


def hit(counts: Iterable[Any]) -> int:
    """How many of them are above zero."""
    return sum(1 for count in counts if isinstance(count, int | float) and count > 0)
