"""What somebody probably meant to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

SHORT, LONG = 3, 6
"""Words shorter than SHORT letters have too many neighbours for a guess; LONG ones bear two slips."""


class Near(NamedTuple):
    """A known word close to a given one. `sure`: so close, and so alone, that nothing else can be meant."""

    word: str
    distance: int
    sure: bool


def nearest(word: str, known: Iterable[str]) -> Near | None:
    """The closest of the known words, or None when none is near."""
    ranked = sorted((distance(word.lower().replace("-", "_"), one), one) for one in set(known))
    if not ranked or ranked[0][0] > max(2, len(ranked[0][1]) // 3):
        return None
    steps, best = ranked[0]
    alone = len(ranked) == 1 or ranked[1][0] > steps + 1
    slips = 0 if len(best) < SHORT else 1 if len(best) < LONG else 2
    return Near(best, steps, sure=alone and steps <= slips)


def distance(left: str, right: str) -> int:
    """Single-character edits between two words, an exchange of neighbours counting as one (Damerau-Levenshtein, restricted)."""
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
    return row[-1]
