"""Starting, finding again and stopping the processes of steps."""

from __future__ import annotations

import json
import os
import select
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from seatrial import locks
from seatrial.engine import identity
from seatrial.engine.launch import Ended
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from seatrial.engine.forkserver import Client
    from seatrial.engine.journal import Journal
    from seatrial.engine.launch import Launch


class Processes:
    """Real processes, each behind a shim. `modules` are imported ahead, for the steps that are calls into them."""

    def __init__(self, home: Path, modules: Sequence[str] = ()) -> None:
        self._home = home
        self._modules = tuple(modules)
        self._server: Client | None = None
        self._ends: dict[Path, int] = {}
        """For each attempt that runs, something that can be read from when it is over."""

    def _fork_server(self) -> Client:
        from seatrial.engine.forkserver import Client

        if self._server is None:
            self._server = Client(self._modules)
        return self._server

    def get_ready(self) -> None:
        """Begin to get ready for the first process, beside whatever the caller does next."""
        self._fork_server()

    def start(self, launch: Launch, slots: object) -> None:
        launch.supervisor = os.getpid()
        launch.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Taken here and inherited by the shim: from now on the lock says whether the attempt is alive,
        # whatever happens to this process before, during or after the fork.
        lock = locks.try_lock(launch.folder / "lock")
        if lock is None:
            raise SeatrialError("another process holds this attempt", where=str(launch.folder))
        held = [lock, *(slots if isinstance(slots, list) else [])]
        try:
            self._ends[launch.folder] = self._fork_server().start(launch, held)
        finally:
            for descriptor in held:
                os.close(descriptor)

    def probe(self, folder: Path) -> Ended | bool:
        return probe(folder)

    def halt(self, folder: Path, *, hard: bool) -> bool:
        who = identity.read(folder / "process.json")
        pidfd = identity.pidfd(who) if who else None
        if pidfd is None:
            return False
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGUSR1 if hard else signal.SIGTERM)
        os.close(pidfd)
        return True

    def wait(self, folders: Iterable[Path], seconds: float) -> None:
        poll = select.poll()
        running = set(folders)
        for over in self._ends.keys() - running:
            os.close(self._ends.pop(over))
        for folder in running:
            if folder not in self._ends:
                who = identity.read(folder / "process.json")
                pidfd = identity.pidfd(who) if who else None
                if pidfd is None:  # ended already, or about to say who it is
                    seconds = min(seconds, 0.005)
                    continue
                self._ends[folder] = pidfd
            poll.register(self._ends[folder], select.POLLIN)
        poll.poll(max(0.0, seconds) * 1000)

    def slots(self, names: Iterable[str], capacity: Mapping[str, int]) -> object | None:
        taken: list[int] = []
        for name in sorted(names):  # one order for everybody, so that two never wait for each other
            place = self._home / "slots" / name
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            free = (locks.try_lock(place / str(number)) for number in range(capacity.get(name, 1)))
            slot = next((lock for lock in free if lock is not None), None)
            if slot is None:
                for descriptor in taken:
                    os.close(descriptor)
                return None
            taken.append(slot)
        return taken

    def guard(self, run: str) -> None:
        self._fork_server().guard(self._home, run)

    def close(self) -> None:
        for descriptor in self._ends.values():
            os.close(descriptor)
        self._ends.clear()
        if self._server is not None:
            self._server.close()
            self._server = None


def probe(folder: Path) -> Ended | bool:
    """How the attempt in `folder` ended, True while it runs, False when it vanished without a trace."""
    if locks.is_locked(folder / "lock"):
        return True
    try:
        record = json.loads((folder / "exit.json").read_bytes())
    except FileNotFoundError:
        return False
    result: dict[str, Any] = {}
    with suppress(FileNotFoundError):
        result = json.loads((folder / "result.json").read_bytes())
    return Ended(
        record["code"],
        record["reason"],
        record["ended"],
        record["stderr"],
        result.get("outputs", {}),
        result.get("artifacts", []),
        result.get("error", ""),
    )


def alive(folder: Path) -> str | None:
    """None while the service in `folder` runs, else how it ended with the end of what it said on stderr."""
    found = probe(folder)
    if found is True:
        return None
    if found is False:
        return "it vanished without a trace"
    how = f"ended with exit code {found.code}" if found.code >= 0 else f"was ended by signal {-found.code}"
    return f"it {how} ({found.reason}): {found.stderr.strip() or 'nothing on stderr'}"


def remove_process(journal: Journal, run_id: str, name: str, data: dict[str, Any]) -> None:
    """Stop a service with everything it started; one that never started or has ended is fine.

    Raises:
        SeatrialError: it is still there after INT, TERM and KILL.
    """
    folder = journal.folder(run_id) / "steps" / name
    grace = float(data["grace"])
    patience = [(signal.SIGTERM, grace * 1.5 + 5), (signal.SIGUSR1, 5.0), (signal.SIGKILL, 5.0)]
    for number, seconds in patience:
        if _stopped(folder, number, seconds):
            break
    else:
        raise SeatrialError(f"the process of {name} cannot be stopped", where=str(folder))
    _sweep(data["token"])


def _stopped(folder: Path, number: int, seconds: float) -> bool:
    """Send the signal as soon as the shim has said who it is, and wait for its lock to be free."""
    deadline = time.monotonic() + seconds
    sent = False
    while locks.is_locked(folder / "lock"):
        who = identity.read(folder / "process.json")
        pidfd = identity.pidfd(who) if who else None
        if pidfd is None:
            time.sleep(0.005)
        else:
            try:
                if not sent:
                    signal.pidfd_send_signal(pidfd, number)
                    sent = True
                select.select([pidfd], [], [], max(0.0, min(1.0, deadline - time.monotonic())))
            except ProcessLookupError:
                pass
            finally:
                os.close(pidfd)
        if time.monotonic() > deadline:
            return False
    return True


def _sweep(token: str) -> None:
    """End what outlived a killed shim: everything that was started with the attempt's token."""
    deadline = time.monotonic() + 5
    while (left := identity.carrying(token)) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
