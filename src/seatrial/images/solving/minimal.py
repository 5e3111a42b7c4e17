"""The smallest set of asks that cannot be satisfied even alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")


class OutOfTimeError(Exception):
    """A question had no answer in time."""


def smallest(items: Sequence[T], fails: Callable[[Sequence[T]], bool]) -> list[T]:
    """A part of `items` that fails and of which every smaller part holds, found by halving (QuickXplain, Junker 2004).

    `items` as a whole fail. Asks about `k·log(n/k)` times for `k` items in the answer. With several such parts, the one
    of the earliest items is found.

    Raises:
        OutOfTimeError: from `fails`.
    """

    def search(base: list[T], added: bool, rest: list[T]) -> list[T]:
        if added and fails(base):
            return []
        if len(rest) == 1:
            return rest
        half = (len(rest) + 1) // 2
        first, second = rest[:half], rest[half:]
        from_second = search([*base, *first], added=True, rest=second)
        from_first = search([*base, *from_second], added=bool(from_second), rest=first)
        return [*from_first, *from_second]

    return search([], added=False, rest=list(items)) if items else []
