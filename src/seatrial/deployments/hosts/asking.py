"""Giving orders to a host, starting it, and taking it away."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from seatrial import locks
from seatrial.deployments.hosts.model import orders, socket_address, write
from seatrial.engine import identity
from seatrial.errors import MissingToolError, SeatrialError
from seatrial.files import remove_tree

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from seatrial.deployments.hosts.model import Place

_START = 60
_BUSY = 1.0


class Gone(SeatrialError):  # noqa: N818 - a state, not a mistake
    """The host does not answer, or ended while it was working."""


def is_up(place: Place) -> bool:
    """Whether the host is there."""
    return place.folder.is_dir() and locks.is_locked(place.folder / "lock")


def start(place: Place) -> None:
    """Make the host be there; one that is there already is left as it is.

    Raises:
        SeatrialError: it cannot be started; says why.
        MissingToolError: this machine does not let hosts have namespaces of their own.
    """
    from pathlib import Path

    if is_up(place):
        _await_ready(place)
        return
    root = Path(place.root)
    try:
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        os.scandir(root).close()
    except OSError as error:
        raise Gone(f"host {place.name} cannot be used: {error.strerror}", where=str(root)) from error
    write(place)
    remove_tree(place.folder / "work")  # the overlay's own; after a crash it is in the way
    # In the background and out of reach of signals to this command; it ends by `deploy groups down`.
    done = subprocess.run(
        [sys.executable, "-m", "seatrial.deployments.hosts.daemon", str(place.folder)],
        env=_environment(place),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        timeout=_START,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode(errors="replace").strip()
        if "--isolation processes" in said:
            raise MissingToolError(
                said.partition("\n")[0],
                fix="run as root, let users make namespaces, or use --isolation processes",
            )
        raise Gone(f"host {place.name} did not start", where=str(place.folder), why=said or None)
    _await_ready(place)


def _await_ready(place: Place) -> None:
    """Another command may be about to start it: then it holds its lock and takes no orders yet."""
    deadline = time.monotonic() + _START
    while True:
        try:
            ping(place)
        except Gone:
            if not is_up(place) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _environment(place: Place) -> dict[str, str]:
    """What a host's commands see: nothing of whoever happened to start it but where programs are."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH")
        if name in os.environ
    }
    return {**kept, "HOME": os.environ.get("HOME", "/"), "SEATRIAL_HOME": str(place.state)}


def give(
    place: Place,
    order: str,
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    exclusive: bool = False,
    timeout: float = 8 * 3600,
) -> dict[str, Any]:
    """Have the host run a program and return `code`, `stdout` and `stderr`; an order given before has its result.

    Of long output it is the end; `said` has all of it.
    `exclusive` orders, the deployments, wait for each other. When the waiting is interrupted the host goes on.

    Raises:
        Gone: the host is not there, or ended meanwhile.
        SeatrialError: it took longer than `timeout` seconds; the host goes on.
    """
    deadline = time.monotonic() + timeout
    while True:
        message = {
            "op": "deploy" if exclusive else "run",
            "id": order,
            "argv": list(argv),
            "env": dict(env or {}),
        }
        answer = _ask(place, message, deadline)
        if "busy" not in answer:
            break
        if time.monotonic() > deadline:
            raise SeatrialError(f"host {place.name} is busy with {answer['busy']}")
        time.sleep(_BUSY)
    if "error" in answer:
        raise SeatrialError(f"host {place.name} refuses the order", why=answer["error"])
    return answer


def said(place: Place, order: str, stream: str) -> Path:
    """The file with all that the program of an order has written to `stdout` or `stderr`; it may be gone some orders later."""
    return orders(place.folder) / order / stream


def outcome(place: Place, order: str, *, timeout: float) -> dict[str, Any]:
    """The result of an order that was given before, waited for.

    Raises:
        SeatrialError: the host has had no such order, is not there, or took longer than `timeout` seconds.
    """
    answer = _ask(place, {"op": "await", "id": order}, time.monotonic() + timeout)
    if "error" in answer:
        raise SeatrialError(f"host {place.name} does not know of {order}", why=answer["error"])
    return answer


def stop_order(place: Place, order: str, *, hard: bool = False) -> None:
    """Have the host end what it does for that order; absent is fine."""
    with suppress(Gone):
        _ask(place, {"op": "stop", "id": order, "hard": hard}, time.monotonic() + 10)


def ping(place: Place) -> dict[str, Any]:
    """What the host says of itself: `public` are folders in which its writes reach this machine.

    Raises:
        Gone: it is not there.
    """
    return _ask(place, {"op": "ping"}, time.monotonic() + 10)


def down(place: Place) -> bool:
    """Take the host away; in namespaces all of its processes go with it. False when it was not there.

    Raises:
        SeatrialError: it cannot be ended.
    """
    was = is_up(place)
    deadline = time.monotonic() + 20
    number = signal.SIGTERM
    while is_up(place):
        who = identity.read(place.folder / "process.json")
        pidfd = identity.pidfd(who) if who else None
        if pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(pidfd, number)
            select.select([pidfd], [], [], 2.0)
            os.close(pidfd)
            number = signal.SIGKILL
        else:
            time.sleep(0.01)
        if time.monotonic() > deadline:
            raise SeatrialError(f"host {place.name} cannot be ended", where=str(place.folder))
    return was


def remove(place: Place) -> None:
    """Take the host away with everything it has written; the folder of its agent stays."""
    down(place)
    remove_tree(place.folder)


def _ask(place: Place, message: dict[str, Any], deadline: float) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
        try:
            _connect(place.folder, connection)
            connection.sendall(json.dumps(message).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                connection.settimeout(max(0.1, deadline - time.monotonic()))
                chunk = connection.recv(1 << 20)
                if not chunk:
                    raise Gone(f"host {place.name} went away while it was working")
                answer += chunk
        except TimeoutError as error:
            raise SeatrialError(f"host {place.name} did not answer in time") from error
        except OSError as error:
            raise Gone(
                f"host {place.name} does not answer: {error.strerror}",
                fix="`seatrial deploy groups up GROUP` starts the hosts of a group",
            ) from error
    result: dict[str, Any] = json.loads(answer)
    return result


def _connect(folder: Path, connection: socket.socket) -> None:
    with socket_address(folder) as address:
        connection.connect(address)
