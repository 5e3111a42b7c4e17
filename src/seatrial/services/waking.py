"""Starting a service's keeper, out of reach of whoever asks for it.

It has a guard: a process that only waits for it, and starts another one when it was killed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path

from seatrial import locks
from seatrial.errors import SeatrialError
from seatrial.services import logs, written
from seatrial.services.processes import environment

_START = 60
_PR_SET_CHILD_SUBREAPER = 36
_FIRST_PAUSE, _LONGEST_PAUSE, _STEADY = 0.02, 5.0, 10.0


def ensure_keeper(place: Path) -> None:
    """Have the keeper of a service be there; one that is there stays.

    Raises:
        SeatrialError: it cannot be started.
    """
    if written.is_kept(place):
        return
    done = subprocess.run(
        [sys.executable, "-m", "seatrial.services.waking", str(place)],
        env=environment(),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        timeout=_START,
        check=False,
    )
    if done.returncode != 0:
        raise SeatrialError(
            "the service's keeper did not start",
            where=str(place),
            why=done.stderr.decode(errors="replace").strip() or None,
            fix=f"look at {place / written.KEEPER_LOG}",
        )


def main(place: Path) -> int:
    """Become the guard of a service's keeper, in the background; returns when the keeper keeps."""
    if not place.is_dir():
        return 0
    lock = locks.try_lock(place / written.KEEPER_LOCK)
    if lock is None:
        return 0  # somebody else has just started it
    os.set_inheritable(lock, True)
    ready, tell = os.pipe()
    if os.fork() == 0:
        os.close(ready)
        _guard(place, tell)
    os.close(tell)
    with os.fdopen(ready, "rb") as stream:
        said = stream.read().decode(errors="replace")
    if said != "ready":
        sys.stderr.write(said or "it ended before it was ready\n")
        return 1
    return 0


def _guard(place: Path, tell: int) -> None:
    """Never returns. The lock is inherited, and held as long as guard or keeper lives."""
    os.setsid()
    # What a killed keeper started then comes to us, who wait for everybody.
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    null, log = os.open(os.devnull, os.O_RDWR), logs.appended(place / written.KEEPER_LOG)
    for number, descriptor in ((0, null), (1, log), (2, log)):
        os.dup2(descriptor, number)
    pause = _FIRST_PAUSE
    while True:
        began = time.monotonic()
        keeper = os.fork()
        if keeper == 0:
            _be(place, tell)
        if tell >= 0:
            os.close(tell)
            tell = -1
        if _ended_well(keeper) or not place.is_dir():
            os._exit(0)
        pause = _FIRST_PAUSE if time.monotonic() - began > _STEADY else min(_LONGEST_PAUSE, pause * 2)
        time.sleep(pause)


def _be(place: Path, tell: int) -> None:
    """Never returns."""
    from seatrial.services.keeper import keep

    def say_ready() -> None:
        if tell >= 0:
            os.write(tell, b"ready")
            os.close(tell)

    code = 1
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        keep(place, say_ready)
        code = 0
    except SystemExit:
        code = 0
    except BaseException:  # noqa: BLE001 - nothing may unwind into the guard's frames
        text = traceback.format_exc()
        sys.stderr.write(text)
        with suppress(OSError):
            os.write(tell, text.encode())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _ended_well(keeper: int) -> bool:
    while True:
        pid, status = os.wait()
        if pid == keeper:
            return os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
