"""Where things stand along the axes of a picture, and how their numbers are written."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400)
_CLOSE = 26.0
"""Pixels between two badges."""
_MINUTE, _HOUR = 60, 3600


def nice(most: float) -> float:
    """The round number at which an axis ends that must hold `most`."""
    scale = 10.0 ** math.floor(math.log10(most))
    return next(step * scale for step in (1, 2, 2.5, 5, 10) if step * scale >= most * 0.9999)


def places(total: float) -> list[float]:
    """Moments that have a tick, in seconds: at most nine."""
    step = next((one for one in _STEPS if total / one <= 8), math.ceil(total / 8))  # noqa: PLR2004 - ticks that fit
    return [float(number * step) for number in range(int(total / step) + 1)]


def tick(seconds: float) -> str:
    """`0:30`, `12:00`, `3:00:00`: minutes and seconds, with hours when there are any."""
    whole = round(seconds)
    hours, minutes = whole // _HOUR, whole // _MINUTE % _MINUTE
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def moments(seconds: float) -> str:
    """A length of time: `4.2 s`, `12 min 05 s`, `3 h 20 min`."""
    if round(seconds, 1) < _MINUTE:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE:02d} s"
    return f"{whole // _HOUR} h {whole // _MINUTE % _MINUTE:02d} min"


def spread(levels: Sequence[float], apart: float, top: float, bottom: float) -> list[float]:
    """Ascending levels moved at least so far apart, between `top` and `bottom` where they fit."""
    found: list[float] = []
    for level in levels:
        found.append(max(level, top, found[-1] + apart if found else top))
    floor = bottom
    for number in range(len(found) - 1, -1, -1):
        found[number] = min(found[number], floor)
        floor = found[number] - apart
    return found


def marks_of(xs: Sequence[float]) -> list[tuple[float, str]]:
    """Badges for numbered marks at ascending places: those that are too close to each other share one."""
    found: list[tuple[float, int, int]] = []
    for number, x in enumerate(xs, 1):
        if found and x - found[-1][0] < _CLOSE:
            found[-1] = (found[-1][0], found[-1][1], number)
        else:
            found.append((x, number, number))
    return [(x, str(first) if first == last else f"{first}-{last}") for x, first, last in found]


def clip(words: str, width: float, letter: float) -> str:
    """As much of the words as fits into a width in which a letter takes `letter`; '' when that says nothing."""
    most = int(width / letter)
    if len(words) <= most:
        return words
    return f"{words[: most - 1]}…" if most > 3 else ""  # noqa: PLR2004 - less is no word
