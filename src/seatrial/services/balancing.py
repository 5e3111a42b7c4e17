"""The load balancer's process of one service: started, found again, given its slots, ended."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from seatrial.clock import SystemClock
from seatrial.engine import identity
from seatrial.errors import SeatrialError
from seatrial.services import listening, logs
from seatrial.services.model import ACCESS_LOG
from seatrial.services.processes import environment, token

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.deployments.proxy import Mirror, ProxyStatus, Slot
    from seatrial.engine.identity import Identity
    from seatrial.services.model import Actual, Listening

LOG = "log"
_START = 15.0
_LONGEST_PAUSE = 5.0
_STEADY = 10.0
_HUNG = 3
_SOON = 0.005


class Balancer:
    """One load balancer. `problem` is why it is not what it should be ('' it is), `starts` how often it was started."""

    def __init__(self, place: Path, listens: Listening, before: Actual) -> None:
        self.place = place
        self.listens = listens
        self.driver = listening.driver(listens)
        self.folder = listening.place(place)
        self.starts = before.proxy_starts
        self.problem = ""
        self.process: Identity | None = None
        self.pidfd = -1
        self.due = 0.0
        self._popen: subprocess.Popen[bytes] | None = None
        self._applied: tuple[list[Slot], Mirror] | None = None
        self._failures = 0
        self._silent = 0
        self._started = 0.0
        self.leaving: list[Identity] = []
        self._popens: list[subprocess.Popen[bytes]] = []
        self._take(before.proxy or self._stray())

    def _stray(self) -> Identity | None:
        """One that was started by a keeper which was killed before it could write that down."""
        found = identity.carrying(token(self.place, "proxy"))
        every = [who for pid in found if (who := identity.of(pid))]
        return max(every, key=lambda who: who.start, default=None)

    def _take(self, who: Identity | None) -> None:
        pidfd = identity.pidfd(who) if who else None
        self.process, self.pidfd = (None, -1) if pidfd is None else (who, pidfd)

    def ended(self) -> None:
        """Its process is gone: start another one with the same slots."""
        if self._popen is not None:
            self._popen.wait()
        self._popen = None
        if self.pidfd >= 0:
            os.close(self.pidfd)
        self.process, self.pidfd, self._applied = None, -1, None
        lived = time.monotonic() - self._started
        self._failures = 0 if lived > _STEADY else self._failures + 1
        # The first time at once: clients are waiting.
        pause = 0.0 if self._failures <= 1 else 0.1 * 2 ** min(self._failures, 8)
        self.due = time.monotonic() + min(_LONGEST_PAUSE, pause)

    def adjust(self, listens: Listening, slots: list[Slot]) -> None:
        """Listen as it is wanted now: another process takes over, and the one before answers what it has."""
        if (
            listening.options(listens) == listening.options(self.listens)
            and listens.slots == self.listens.slots
        ):
            self.listens = listens
            return
        self.listens = listens
        before, popen = self.process, self._popen
        if before is None:
            return
        self.driver.prepare(self.folder, listens.port, listens.slots, listening.options(listens), slots)
        line = self.driver.taking_over(self.folder, program=self.driver.find(), pid=before.pid)
        if line is None:
            raise SeatrialError("this load balancer cannot listen otherwise while it runs")
        since = logs.size(self.folder / LOG)
        os.close(self.pidfd)
        self._spawn(line)
        deadline = time.monotonic() + _START
        while self.process is None or not self.driver.has_taken_over(self.folder, self.process.pid):
            if (
                said := self._last_words(self.folder / LOG, since)
            ) is not None or time.monotonic() > deadline:
                self._popen = popen
                self._take(before)
                raise SeatrialError("the load balancer cannot listen as it is wanted now", why=said)
            time.sleep(_SOON)
        self.leaving.append(before)
        self._popens += [popen] if popen else []
        self._applied = None

    def left(self) -> bool:
        """Whether no process is left that has to answer something, but the one that listens."""
        self._popens = [one for one in self._popens if one.poll() is None]
        self.leaving = [one for one in self.leaving if identity.of(one.pid) == one]
        return not self.leaving

    def make(self, slots: list[Slot], mirror: Mirror) -> bool:
        """Have it run and treat its slots as asked; whether that is so."""
        if self.process is None:
            if time.monotonic() < self.due:
                return False
            try:
                self._start(slots)
            except (SeatrialError, OSError) as error:
                self.problem = in_one_line(error)
                self._kill()
                self.ended()
                return False
        if self._applied == (slots, mirror):
            return True
        try:
            self.driver.apply(self.folder, slots, mirror)
        except SeatrialError as error:
            self.problem = in_one_line(error)
            self._doubt()
            return False
        self._applied = (slots, mirror)
        self.problem = ""
        self._silent = 0
        return True

    def status(self) -> ProxyStatus | None:
        """What it says of its slots; None while it says nothing."""
        if self.process is None:
            return None
        try:
            found = self.driver.status(self.folder)
        except SeatrialError:
            self._doubt()
            return None
        self._silent = 0
        return found

    def finish(self) -> None:
        """Have it end when it has answered what it has."""
        if self.process is not None:
            self.driver.finish(self.folder, self.process.pid)

    def kill(self) -> None:
        """End it now."""
        self._kill()

    def _doubt(self) -> None:
        """One that lives but does not answer is of no use: after some tries it is ended, and started again."""
        self._silent += 1
        self._applied = None
        self.problem = self.problem or "the load balancer does not answer"
        if self._silent >= _HUNG:
            self._silent = 0
            self._kill()
        self.due = time.monotonic() + 0.05

    def _kill(self) -> None:
        if self.pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def _start(self, slots: list[Slot]) -> None:
        for port in (self.listens.port, self.listens.test_port):
            if not listening.is_free(port):
                raise SeatrialError(
                    f"port {port} on 127.0.0.1 is taken",
                    why=f"{listening.owner(port)} listens on it",
                    fix="end that; the load balancer is then started by itself",
                )
        program = self.driver.find()
        self.driver.prepare(
            self.folder, self.listens.port, self.listens.slots, listening.options(self.listens), slots
        )
        said = self.folder / LOG
        since = logs.size(said)
        self._spawn(self.driver.argv(self.folder, program=program))
        self.driver.wait_started(
            self.folder,
            deadline=time.time() + _START,
            clock=SystemClock(),
            alive=lambda: self._last_words(said, since),
        )

    def _spawn(self, argv: list[str]) -> None:
        out, err = logs.appended(self.place / ACCESS_LOG), logs.appended(self.folder / LOG)
        try:
            self._popen = subprocess.Popen(
                argv,
                cwd=self.folder,
                env=environment(token(self.place, "proxy")),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        finally:
            os.close(out)
            os.close(err)
        self._started = time.monotonic()
        self.starts += 1
        self._take(identity.of(self._popen.pid))

    def _last_words(self, said: Path, since: int) -> str | None:
        if self._popen is None or self._popen.poll() is None:
            return None
        return logs.last_words(said, since) or "it said nothing"


def in_one_line(error: Exception) -> str:
    """What went wrong, why, and what to do, for those who find it in `actual.json`."""
    if not isinstance(error, SeatrialError):
        return str(error)
    what = f"{error.what}: {error.why}" if error.why else error.what
    return f"{what}; {error.fix}" if error.fix else what
