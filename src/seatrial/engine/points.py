"""Named crash points: where a test can kill the engine, in the simulation or for real.

`SEATRIAL_CRASH=NAME` or `NAME:N` kills the supervisor and the process that gets there, with SIGKILL, when
the point is reached for the N-th time; several may be given with commas between them. `SEATRIAL_POINTS=FILE`
appends each point that is reached; with it, N counts over all processes that use the file, else in each.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress

ENGINE_POINTS = (
    "run/created",
    "run/locked",
    "stage/started",
    "step/recorded",
    "step/forked",
    "shim/started",
    "shim/finished",
    "step/ended",
    "step/journalled",
    "step/cached",
    "stage/finished",
    "run/finished",
    "ledger/intended",
    "ledger/removing",
    "ledger/removed",
)

_reached: dict[str, int] = {}
_who: dict[str, int | str] = {"supervisor": 0, "marker": ""}


def adopt(supervisor: int, marker: str = "") -> None:
    """Say who supervises this process. One inside a namespace cannot signal out of it: it leaves a marker file."""
    _who.update(supervisor=supervisor, marker=marker)


def reach(name: str) -> None:
    """Pass the point `name`, or die there when a test asked for it."""
    trace = os.environ.get("SEATRIAL_POINTS")
    wanted = os.environ.get("SEATRIAL_CRASH")
    if not trace and not wanted:
        return
    reached = _reached[name] = _reached.get(name, 0) + 1
    if trace:
        # Counted up to the end of our own line: threads and processes that pass at once get different numbers.
        descriptor = os.open(trace, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        os.write(descriptor, f"{name}\n".encode())
        passed = os.pread(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR), 0)
        os.close(descriptor)
        reached = passed.splitlines().count(name.encode())
    for one in wanted.split(",") if wanted else ():
        point, _, count = one.partition(":")
        if point == name and reached == int(count or 1):
            _die()


def marked(marker: str) -> None:
    """Die too when the process inside has left its marker."""
    if os.environ.get("SEATRIAL_CRASH") and os.path.exists(marker):  # noqa: PTH110
        _die()


def _die() -> None:
    if _who["marker"]:
        os.close(os.open(str(_who["marker"]), os.O_CREAT | os.O_WRONLY, 0o600))
    elif _who["supervisor"]:
        with suppress(ProcessLookupError):
            os.kill(int(_who["supervisor"]), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)
