"""What a load balancer is asked to do and what it reports, whichever program it is.

A proxy has fixed slots. A slot is empty, or holds one back end with a weight; traffic is split by weight among
the slots that are `ready`. `drain` finishes what is in flight and takes nothing new; `maint` takes nothing.

Whichever program it is, its driver is a module with the functions of `Driver`. The program's standard output is the
access log, opened for appending: one line per request of the usual port as `deployments.observing.log` reads it,
none for health checks, for copies, and for requests to the revision under test.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from seatrial.clock import Clock

Mode = Literal["ready", "drain", "maint"]
MOST_WEIGHT = 256
_ROUNDING = 1e-9


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How the proxy treats traffic; times are in seconds.

    `health` is the path that must answer 200, asked every `interval` (faster while a slot is out); `fall` misses take
    a slot out, `rise` hits bring it back; an answer may take `health_timeout`. `response_timeout` is for one answer.
    GETs that met a dead back end go to another; POSTs do so only with `retry_posts`, because they may have had an
    effect. `sticky` keeps a client on its slot by a cookie of that name, until the slot has weight 0. `drain_limit`
    ends a graceful stop (SIGUSR1) that does not end by itself. With `test_port` a second listener, and on the usual
    port requests with the header `test_header`, reach the slots that are `tested`. `access_log` writes one.
    """

    health: str = "/ping"
    interval: float = 0.5
    rise: int = 1
    fall: int = 2
    health_timeout: float = 2.0
    connect_timeout: float = 5.0
    response_timeout: float = 60.0
    queue_timeout: float = 10.0
    retry_posts: bool = False
    sticky: str = ""
    drain_limit: float = 30.0
    test_port: int = 0
    test_header: str = ""
    access_log: bool = False


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """What one slot should be. `port` 0 means empty; `weight` is 0 to 256, relative to the other slots'.

    `tested` slots are reached by the test listener, whatever their weight. `shadow` slots get copies. A slot whose
    back end is known to be `dead` gets nothing until a health check has passed again.
    """

    name: str
    host: str = "127.0.0.1"
    port: int = 0
    weight: int = 0
    mode: Mode = "maint"
    tested: bool = False
    shadow: bool = False
    dead: bool = False


class Mirror(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests are copied to the slots that are `shadow`: percent of those with one of the methods."""

    share: float = 0.0
    methods: tuple[str, ...] = ()


class SlotStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the proxy says about one slot.

    `check` is the health check's last result in the proxy's words, `healthy` whether it passed, and `up` whether
    the proxy gives the slot its share: a few misses may be needed to go down. `queue` and `sessions` count requests waiting and in flight now; the other counters run
    since the proxy started: `requests` given to the slot, answers by class, `errors` without a usable answer
    (`errors` are also in `failed`, what clients were told with 5xx), `retries` and `redispatches` to other slots.
    Times are averages over the last 1024 requests in milliseconds. `testable` says whether there is a test listener,
    `tested` whether it reaches the slot.
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
    testable: bool = False
    tested: bool = False


class ProxyStatus(msgspec.Struct, frozen=True, kw_only=True):
    """All slots by name, and what clients saw in all: `requests`, `ok` (2xx) and `failed` (5xx)."""

    slots: dict[str, SlotStatus]
    requests: int
    ok: int
    failed: int


class Driver(Protocol):
    """What the module of a load balancer offers. `folder` is its own folder, which is 0700 and kept."""

    def find(self) -> str:
        """The program's path; MissingToolError says how to get it."""
        ...

    def prepare(
        self, folder: Path, port: int, slots: Sequence[str], options: Options, filled: Iterable[Slot] = ()
    ) -> None:
        """Write all that the program needs; once started it serves the `filled` slots from its first request on.

        Called before every start, so that a restarted program has its slots and weights back at once.
        """
        ...

    def check(self, folder: Path) -> None:
        """Let the program judge what was prepared."""
        ...

    def argv(self, folder: Path, *, program: str) -> list[str]:
        """The command that runs in the foreground; SIGTERM ends it at once."""
        ...

    def taking_over(self, folder: Path, *, program: str, pid: int) -> list[str] | None:
        """The command that takes the listeners over from the running process without a gap, after `prepare` has
        written other settings; None when this load balancer cannot do so.
        """
        ...

    def has_taken_over(self, folder: Path, pid: int) -> bool:
        """Whether the process is the one that listens now."""
        ...

    def finish(self, folder: Path, pid: int) -> None:
        """Begin to end the running program: it accepts nothing new and answers what it has, and may end then.

        Whoever called this kills it when no slot has a session any more.
        """
        ...

    def apply(self, folder: Path, slots: Iterable[Slot], mirror: Mirror | None = None) -> None:
        """Bring a running proxy's slots into the wanted state; slots that are not named stay as they are."""
        ...

    def status(self, folder: Path) -> ProxyStatus:
        """Ask a running proxy."""
        ...

    def wait_started(
        self, folder: Path, *, deadline: float, clock: Clock, alive: Callable[[], str | None]
    ) -> None:
        """Wait until it answers; `alive` returns None while its process lives, else its last words."""
        ...


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


def apportioned(shares: Mapping[str, float], slots: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """A weight for each slot, so that each group of slots gets its share of the traffic in all.

    `shares` maps groups to numbers that sum to something above 0, `slots` says which slots each group has. The sum of
    all weights depends on the sizes of the groups alone, and is a multiple of 100: whole percents are exact, and a
    shift takes effect within some requests. Measured with HAProxy 2.6 over 60 random shifts between two and three
    slots: never more than 3 requests off; with the smallest exact weights, up to 17. Slots of one group differ by at
    most 1, and a group that has a share always has a slot with a weight.

    Raises:
        SeatrialError: a share is negative, all are 0, or a group with a share has no slots.
    """
    if not shares or min(shares.values()) < 0 or sum(shares.values()) <= 0:
        raise SeatrialError(
            "shares of the traffic must be 0 or more, and one above 0", why=f"given: {shares}"
        )
    for group, share in shares.items():
        if share and not slots.get(group):
            raise SeatrialError(f"{group} has no slot that could take its share of the traffic")
    most = 100 * (MOST_WEIGHT * min(len(found) for found in slots.values() if found) // 100)
    total = sum(shares.values())
    wholes = {group: max(1, round(most * share / total)) for group, share in shares.items() if share}
    largest = max(wholes, key=lambda group: wholes[group])
    wholes[largest] += most - sum(wholes.values())
    weights = {slot: 0 for names in slots.values() for slot in names}
    for group, whole in wholes.items():
        each, more = divmod(whole, len(slots[group]))
        weights |= {slot: each + (number < more) for number, slot in enumerate(slots[group])}
    return weights
