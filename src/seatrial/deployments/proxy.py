"""What a load balancer is asked to do and what it reports, whichever program it is.

A proxy has fixed slots. A slot is empty, or holds one back end with a weight; traffic is split by weight among
the slots that are `ready`. `drain` finishes what is in flight and takes nothing new; `maint` takes nothing.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from seatrial.errors import SeatrialError

Mode = Literal["ready", "drain", "maint"]
MOST_WEIGHT = 256
_ROUNDING = 1e-9


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """What one slot should be. `port` 0 means empty; `weight` is 0 to 256, relative to the other slots'."""

    name: str
    host: str = "127.0.0.1"
    port: int = 0
    weight: int = 0
    mode: Mode = "maint"


class SlotStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the proxy says about one slot.

    `check` is the health check's last result in the proxy's words, `healthy` whether it passed, and `up` whether
    the proxy gives the slot its share: a few misses may be needed to go down. `queue` and `sessions` count requests waiting and in flight now; the other counters run
    since the proxy started: `requests` given to the slot, answers by class, `errors` without a usable answer
    (`errors` are also in `failed`, what clients were told with 5xx), `retries` and `redispatches` to other slots.
    Times are averages over the last 1024 requests in milliseconds.
    """

    name: str
    host: str
    port: int
    weight: int
    mode: Mode
    healthy: bool
    up: bool
    check: str
    queue: int
    sessions: int
    requests: int
    ok: int
    client_errors: int
    failed: int
    errors: int
    retries: int
    redispatches: int
    response_ms: int


class ProxyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """All slots by name, and what clients saw in all: `requests`, `ok` (2xx) and `failed` (5xx)."""

    slots: dict[str, SlotStatus]
    requests: int
    ok: int
    failed: int


def weights(shares: dict[str, float]) -> dict[str, int]:
    """Weights for shares of the traffic, of which the largest becomes as large as fits.

    `shares` maps slot names to numbers that sum to something above 0. Shares in whole percents become exact.

    Raises:
        SeatrialError: a share is negative, or all are 0.
    """
    if not shares or min(shares.values()) < 0 or sum(shares.values()) <= 0:
        raise SeatrialError(
            "shares of the traffic must be 0 or more, and one above 0", why=f"given: {shares}"
        )
    total = sum(shares.values())
    percents = {name: share * 100 / total for name, share in shares.items()}
    if all(abs(percent - round(percent)) < _ROUNDING for percent in percents.values()):
        return {name: round(percent) for name, percent in percents.items()}
    factor = MOST_WEIGHT / max(percents.values())
    return {name: round(percent * factor) for name, percent in percents.items()}
