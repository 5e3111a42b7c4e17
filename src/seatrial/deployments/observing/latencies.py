"""Latencies in little room: how many were in each of buckets that are one percent wide.

5,000 requests in a second are some 300 buckets, 2 kB of JSON; one by one they would be 40 kB, and 150 MB in an hour. A
value that is read back is at most 1 % off, half of it on average; medians are much closer, since the values of a bucket
are spread over it evenly.

Flat for JSON: the first bucket's number and its count, then for each further one the distance from the one before and
its count. Bucket n holds microseconds from 1.01ⁿ.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_WIDTH = 1.01
_LOG = math.log(_WIDTH)
_MICRO = 1e-6


def histogram(seconds: Iterable[float]) -> list[int]:
    """The buckets of latencies in seconds."""
    return flat(Counter(bucket(value) for value in seconds))


def bucket(seconds: float) -> int:
    """The number of the bucket of a latency. What is shorter than a microsecond counts as one."""
    return int(math.log(seconds * 1e6) / _LOG) if seconds > _MICRO else 0


def flat(counts: dict[int, int]) -> list[int]:
    """The same of counts by bucket."""
    found: list[int] = []
    before = 0
    for bucket in sorted(counts):
        found += (bucket - before, counts[bucket])
        before = bucket
    return found


def counted(buckets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Bucket and count, in order."""
    bucket = 0
    for place in range(0, len(buckets), 2):
        bucket += buckets[place]
        yield bucket, buckets[place + 1]


def together(many: Iterable[Sequence[int]]) -> list[int]:
    """One histogram for all."""
    counts: Counter[int] = Counter()
    for buckets in many:
        for number, count in counted(buckets):
            counts[number] += count
    return flat(counts)


def values(buckets: Sequence[int], most: int | None = None) -> list[float]:
    """The latencies in seconds, in order; of more than `most`, so many that stand at the same ranks as all do."""
    total = sum(buckets[1::2])
    if most is not None and total > most:
        return _at(buckets, [(2 * place + 1) * total // (2 * most) for place in range(most)])
    found: list[float] = []
    for number, count in counted(buckets):
        low = _WIDTH**number * _MICRO
        step = low * (_WIDTH - 1) / count
        found += [low + step * (place + 0.5) for place in range(count)]
    return found


def _at(buckets: Sequence[int], ranks: Sequence[float]) -> list[float]:
    """The values at ascending ranks, 0 being the smallest value."""
    found: list[float] = []
    left = iter(ranks)
    rank = next(left, None)
    below = 0
    for number, count in counted(buckets):
        while rank is not None and rank < below + count:
            found.append(_WIDTH**number * _MICRO * (1 + (_WIDTH - 1) * (rank - below + 0.5) / count))
            rank = next(left, None)
        below += count
    return found


def quantile(buckets: Sequence[int], share: float) -> float | None:
    """In seconds, such as the p95 for a share of 0.95; None without any."""
    found = _at(buckets, [share * max(0, sum(buckets[1::2]) - 1)])
    return found[0] if found else None


def mean(buckets: Sequence[int]) -> float | None:
    """In seconds; None without any."""
    total = sum(buckets[1::2])
    middle = (1 + _WIDTH) / 2 * _MICRO
    return (
        sum(_WIDTH**bucket * middle * count for bucket, count in counted(buckets)) / total if total else None
    )
