"""The warden: waits beside a run and tears it down if nobody is in charge of it for too long.

It sleeps in the kernel on the run's lock, so it costs nothing while a supervisor lives.
"""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from seatrial import locks

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.engine.journal import Journal

_LOOK = 0.25


def fork_warden(home: Path, run_id: str) -> None:
    """Start the warden of a run in the background, unless it has one."""
    if os.fork():
        return
    try:
        os.setsid()
        null = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(null, standard)
        os.closerange(3, 1024)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        watch(home, run_id)
    finally:
        os._exit(0)


def watch(home: Path, run_id: str) -> None:
    """Return when the run has ended, after tearing it down if it was abandoned."""
    from seatrial.engine.journal import Journal

    folder = home / "runs" / run_id
    post = locks.try_lock(folder / "warden")
    if post is None:
        return
    from seatrial.engine import identity

    identity.write(folder / "warden.json")
    while True:
        lock = locks.wait_lock(folder / "lock")
        os.close(lock)  # free: nobody is in charge. Whoever comes now must get it at once.
        journal = Journal(home)
        try:
            if journal.run(run_id)["ended"] is not None:
                return
            abandoned = _abandoned(journal, run_id, folder / "lock")
        finally:
            journal.close()
        if not folder.is_dir():  # somebody has removed the state folder
            return
        if abandoned:
            _cancel(home, run_id)
            return


def _abandoned(journal: Journal, run_id: str, lock: Path) -> bool:
    """Wait until someone takes the run over or its folder is gone (False), or its time is up (True)."""
    deadline = time.monotonic() + journal.plan(run_id).abandon_after
    while time.monotonic() < deadline:
        if not lock.parent.is_dir() or locks.is_locked(lock):
            return False
        time.sleep(min(_LOOK, max(0.001, deadline - time.monotonic())))
    return True


def _cancel(home: Path, run_id: str) -> None:
    from seatrial.engine.run import cancel

    cancel(home, run_id)


def dismiss(folder: Path) -> None:
    """End the warden of a run that is over, so that no process of the run is left."""
    from seatrial.engine import identity

    for _ in range(400):
        if not locks.is_locked(folder / "warden"):
            return
        who = identity.read(folder / "warden.json")
        pidfd = identity.pidfd(who) if who else None
        if pidfd is None:
            time.sleep(0.005)
            continue
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        select.select([pidfd], [], [], 1)  # readable when it has ended
        os.close(pidfd)
