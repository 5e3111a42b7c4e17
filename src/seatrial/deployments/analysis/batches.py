"""Both arms' windows as pairs of the same stretches of time, put together until each says something."""

from __future__ import annotations

import math
from itertools import groupby, pairwise
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.deployments.analysis.model import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

PER_BATCH = 25
"""Requests of each arm in a batch: fewer do not give a quartile."""
_MOST_BATCHES = 24
"""Few long batches are more alike than many short ones, and hardly tell less."""
_COARSE = 1e-4
"""Seconds: a clock that ticks faster needs no care."""
_NOTHING = 1e-9


class Pair(NamedTuple):
    """The same stretch of time in both arms."""

    old: Window
    new: Window


def batches(old: Sequence[Window], new: Sequence[Window], least: float) -> list[Pair]:
    """Comparable batches with latencies in order. Those that differ by less than `least` seconds may be moved by it."""
    return _spread_out(_batches(_pairs(old, new)), least)


def _pairs(old: Sequence[Window], new: Sequence[Window]) -> list[Pair]:
    known = {window.start: window for window in new}
    return [Pair(window, known[window.start]) for window in old if window.start in known]


def _batches(pairs: Sequence[Pair]) -> list[Pair]:
    """Put neighbours together until all are large enough, and few enough."""
    filled = _filled(pairs)
    size = math.ceil(len(filled) / _MOST_BATCHES) or 1
    return [_together(filled[i : i + size]) for i in range(0, len(filled), size)]


def _filled(pairs: Sequence[Pair]) -> list[Pair]:
    found: list[Pair] = []
    waiting: list[Pair] = []
    for pair in pairs:
        waiting.append(pair)
        if all(sum(len(getattr(p, arm).latencies) for p in waiting) >= PER_BATCH for arm in ("old", "new")):
            found.append(_together(waiting))
            waiting = []
    if waiting and found:
        found[-1] = _together([found[-1], *waiting])
    return found


def _together(pairs: Sequence[Pair]) -> Pair:
    return Pair(*(_sum([getattr(pair, arm) for pair in pairs]) for arm in ("old", "new")))


def _sum(windows: Sequence[Window]) -> Window:
    """One window for all; its latencies are in order, since every comparison wants them so."""
    return Window(
        start=windows[0].start,
        requests=sum(window.requests for window in windows),
        errors=sum(window.errors for window in windows),
        latencies=tuple(sorted(value for window in windows for value in window.latencies)),
    )


def _spread_out(pairs: Sequence[Pair], least: float) -> list[Pair]:
    """With equal latencies spread evenly over the clock's tick, if there is one that shows."""
    known = sorted({value for pair in pairs for window in pair for value in window.latencies})
    gaps = (after - before for before, after in pairwise(known))
    tick = min(min((gap for gap in gaps if gap > _NOTHING), default=0.0), least)
    if tick < _COARSE:
        return list(pairs)
    return [Pair(*(_spread_window(window, tick) for window in pair)) for pair in pairs]


def _spread_window(window: Window, tick: float) -> Window:
    found: list[float] = []
    for value, run in groupby(window.latencies):
        count = len(list(run))
        low, high = max(0.0, value - tick / 2), value + tick / 2
        found += [low + (high - low) * (place + 0.5) / count for place in range(count)]
    return msgspec.structs.replace(window, latencies=tuple(found))
