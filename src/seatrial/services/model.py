"""A service on this machine: what it should be like, what it is like, and where that is written down.

A service is a folder `services/NAME` of the state folder. Whoever changes what it should be like holds its lock and
writes `wanted.json`; one keeper process per service makes it so and writes `actual.json`. Both files are whole or
absent, so that whoever was killed, the next one finds out where things are and goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.engine.identity import Identity  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from pathlib import Path

WANTED = "wanted.json"
ACTUAL = "actual.json"
ACCESS_LOG = "access.log"
ALL = 100.0
"""Percent: all of the traffic."""
_CONTROL = "-control"


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a service. `id` is `r-` and twelve hex digits of its content's digest.

    `argv` starts one instance in the folder `cwd`, with `env`; `{port}` in an argument is the instance's port, which
    the variable PORT says as well. `source` is what the user named: a folder, an image's reference or layout.
    """

    id: str
    kind: Literal["command", "image"]
    source: str
    digest: str
    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str] = {}
    registered: float = 0


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """One instance that should be there: its slot, its revision, and the port on 127.0.0.1 that it listens on.

    `weight` is its share relative to the others', 0 to 256. `mode` is the slot's: `ready` takes its share, `drain`
    finishes what it has. An instance that is wanted no more is stopped after it has drained.
    """

    slot: str
    revision: str
    port: int
    weight: int = 0
    mode: Literal["ready", "drain"] = "ready"


class Listening(msgspec.Struct, frozen=True, kw_only=True):
    """Where the load balancer listens on 127.0.0.1 and how it treats traffic; fixed for the service's life.

    `slots` are the places for instances, twice as many as replicas and some more. Times are seconds.
    """

    driver: Literal["haproxy", "envoy"] = "haproxy"
    port: int
    test_port: int
    test_header: str
    slots: tuple[str, ...]
    ping: str = "/ping"
    ping_timeout: float = 2.0
    sticky: str = ""
    retry_posts: bool = False
    drain_timeout: float = 30.0
    start_timeout: float = 60.0
    stop_timeout: float = 30.0


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a service should be like. `number` grows with each change, so that it is known which one was made true.

    `tested` is the revision that the test listener and the test header reach ('' none); `shadow` is the revision that
    copies of `shadow_share` percent of the requests go to. `down` asks the keeper to end everything and itself.
    `retire` are revisions that are no longer needed from a moment on, in seconds since the epoch: the keeper drains
    and removes them then, whoever has long gone.
    """

    number: int
    name: str
    listening: Listening
    revisions: dict[str, Revision] = {}
    instances: tuple[Wish, ...] = ()
    tested: str = ""
    shadow: str = ""
    shadow_share: float = 0.0
    shadow_methods: tuple[str, ...] = ()
    retire: dict[str, float] = {}
    down: bool = False


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """An instance that is there, or was a moment ago. `process` is None while it is being started again.

    `state` is `starting` until its ping has answered, `draining` from when it is wanted no more or to be drained, and
    `failing` when it has ended `ended` times in the last minute and is started again only after a pause. `why` is its
    last words then. Times are seconds since the epoch.
    """

    slot: str
    revision: str
    port: int
    state: Literal["starting", "ready", "draining", "failing"]
    process: Identity | None = None
    started: float = 0
    restarts: int = 0
    ended: int = 0
    why: str = ""


class Actual(msgspec.Struct, frozen=True, kw_only=True):
    """What a service is like. `number` is that of the wish that is true now, in the load balancer, too.

    `weights` are those in force by slot, `proxy_starts` how often the load balancer was started, `problem` what keeps
    the keeper from making the wish true ('' nothing).
    """

    number: int = 0
    keeper: Identity | None = None
    proxy: Identity | None = None
    proxy_starts: int = 0
    instances: tuple[Instance, ...] = ()
    weights: dict[str, int] = {}
    problem: str = ""
    written: float = 0


def control_of(revision: str) -> str:
    """The id of a revision whose instances are the control of `revision`: the same, started afresh."""
    return revision + _CONTROL


def is_control(revision: str) -> bool:
    """Whether an id is that of a control."""
    return revision.endswith(_CONTROL)


def folder(home: Path, name: str) -> Path:
    """The folder of a service."""
    return home / "services" / name
