"""What passes between a supervisor and the processes it starts, and the world as the supervisor sees it."""

from __future__ import annotations

import socket
from pathlib import Path  # noqa: TC003 - msgspec reads the annotation
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Launch(msgspec.Struct, kw_only=True):
    """Everything a shim needs. `secrets` are values; they travel through a socket and are written nowhere.

    `deadline` is in seconds since the epoch, `grace` in seconds. `what` is a resolved action as plain data. `contain` asks
    for a namespace of processes where this machine has them.
    """

    home: Path
    run: str
    step: str
    attempt: int
    folder: Path
    token: str
    what: dict[str, Any]
    deadline: float
    grace: float
    contain: bool
    leaves: bool = False
    secrets: dict[str, str] = {}
    supervisor: int = 0


LARGEST = 4 << 20
"""Bytes of a launch at most."""
MOST_DESCRIPTORS = 64


def connected() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection through which launches travel, from the first to the second."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST)
    return ours, theirs


def sent(launch: Launch) -> bytes:
    """A launch as it travels from one process to the other."""
    return msgspec.json.encode(launch, enc_hook=str)


def received(data: bytes | dict[str, Any]) -> Launch:
    """A launch that has travelled, or the part of a message that is one."""
    if isinstance(data, bytes):
        return msgspec.json.decode(data, type=Launch, dec_hook=_built)
    return msgspec.convert(data, Launch, dec_hook=_built)


def _built(kind: type, value: Any) -> Any:
    return kind(value)


class Ended(NamedTuple):
    """How an attempt ended: exit code, `exit|signal|timeout|stopped`, when (seconds since the epoch), the end
    of its stderr, what it put out, and the error that a function raised.
    """

    code: int
    reason: str
    ended: float
    stderr: str
    outputs: dict[str, Any]
    artifacts: list[dict[str, Any]]
    error: str


class Executor(Protocol):
    """The world as the supervisor sees it; a simulated one lets tests crash it anywhere."""

    def start(self, launch: Launch, slots: object) -> None:
        """Create the process; it holds `slots` until it ends."""
        ...

    def probe(self, folder: Path) -> Ended | bool:
        """How the attempt in `folder` ended, True while it runs, False when it vanished without a trace."""
        ...

    def halt(self, folder: Path, *, hard: bool) -> bool:
        """Ask the attempt to stop, or stop it; False when it cannot be asked yet."""
        ...

    def wait(self, folders: Iterable[Path], seconds: float) -> None:
        """Return when one of the attempts may have ended, or after `seconds`."""
        ...

    def slots(self, names: Iterable[str], capacity: Mapping[str, int]) -> object | None:
        """One slot of each resource, or None while any is taken."""
        ...

    def guard(self, run: str) -> None:
        """See to it that the run is torn down if nobody is in charge for too long."""
        ...

    def close(self) -> None:
        """The run is over for this supervisor."""
        ...
