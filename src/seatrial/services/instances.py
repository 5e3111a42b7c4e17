"""The processes of a service's instances: started, found again, started anew when they end, stopped whole."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from seatrial.engine import identity
from seatrial.services import listening, logs
from seatrial.services.model import Instance
from seatrial.services.processes import environment, sweep, token

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.services.model import Revision, Wish

FOLDER = "instances"
MANY = 3
MINUTE = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
_UNWELL = 3.0
_LOG_AT_START = 8 << 20


class Held:
    """One instance and its process.

    `lost` says that it has ended and no check has passed since. `gone_since` is since when it is wanted no more, `told` when it was asked to end, and `empty` says that it has
    answered all it had; times are the monotonic clock's, 0 never.
    """

    def __init__(self, place: Path, instance: Instance) -> None:
        self.place = place
        self.slot, self.port, self.revision = instance.slot, instance.port, instance.revision
        self.started, self.restarts, self.why = instance.started, instance.restarts, instance.why
        self.process: identity.Identity | None = None
        self.pidfd = -1
        self.ready = False
        self.lost = False
        self.draining = False
        self.deaths: list[float] = []
        self.due = 0.0
        self.unwell_since = 0.0
        self.gone_since = 0.0
        self.told = 0.0
        self.empty = False
        self._popen: subprocess.Popen[bytes] | None = None
        self._log_from = 0
        if instance.process is not None:
            self._attach(instance)

    @property
    def mark(self) -> str:
        """What its processes are found by."""
        return token(self.place, f"{self.slot}-{self.port}")

    @property
    def log(self) -> Path:
        """What it writes."""
        return self.place / FOLDER / f"{self.slot}-{self.port}.log"

    def _attach(self, instance: Instance) -> None:
        assert instance.process is not None  # noqa: S101 - the caller looked
        pidfd = identity.pidfd(instance.process)
        if pidfd is None:
            return
        self.process, self.pidfd = instance.process, pidfd
        self.ready = instance.state in ("ready", "draining")

    def start(self, revision: Revision) -> None:
        """Start its process; one that cannot be started has died."""
        if not listening.is_free(self.port):
            sweep((), self.mark)  # a keeper that was killed may have left one that nobody knows
        if not listening.is_free(self.port):
            self._died(f"port {self.port} is taken: {listening.owner(self.port)} listens on it")
            return
        if logs.size(self.log) > _LOG_AT_START:
            self.log.replace(self.log.with_suffix(".log.1"))
        self._log_from = logs.size(self.log)
        output = logs.appended(self.log)
        try:
            self._popen = subprocess.Popen(
                [part.replace("{port}", str(self.port)) for part in revision.argv],
                cwd=revision.cwd,
                env={**environment(), **revision.env, "PORT": str(self.port), "SEATRIAL_TOKEN": self.mark},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        except OSError as error:
            self._died(f"it cannot be started: {error.filename or revision.argv[0]}: {error.strerror}")
            return
        finally:
            os.close(output)
        self.restarts += bool(self.started)
        self.started = time.time()
        self.process = identity.of(self._popen.pid)
        # Ours until we have waited for it, so the number cannot mean another process.
        self.pidfd = os.pidfd_open(self._popen.pid)

    def lose(self) -> None:
        """It has ended, and is not well before a check has passed again."""
        self.ready, self.lost = False, True

    def ended(self) -> None:
        """Its process is gone: end what it left, and say when it is started again."""
        leader = self.process.pid if self.process else 0
        sweep([leader] if leader else [], self.mark)
        how = "it ended"
        if self._popen is not None:
            code = self._popen.wait()
            how = f"it ended with exit code {code}" if code >= 0 else f"it was ended by signal {-code}"
        self._popen = None
        os.close(self.pidfd)
        self.process, self.pidfd, self.unwell_since = None, -1, 0.0
        said = logs.last_words(self.log, self._log_from)
        self._died(f"{how}: {said or 'it said nothing'}")

    def _died(self, why: str) -> None:
        now = time.monotonic()
        self.why = why
        self.deaths = [moment for moment in self.deaths if now - moment < MINUTE] + [now]
        # The first time at once: its requests are waiting.
        pause = 0.0 if len(self.deaths) == 1 else _FIRST_PAUSE * 2 ** min(len(self.deaths) - 2, 8)
        self.due = now + min(pause, _LONGEST_PAUSE)

    def seen(self, *, healthy: bool, check: str) -> None:
        """What the load balancer's health check has found."""
        if self.process is None:
            return
        if healthy:
            self.ready, self.lost, self.unwell_since = True, False, 0.0
            if not self.failing:
                self.why = ""
        elif self.ready:
            self.unwell_since = self.unwell_since or time.monotonic()
            if self.unwell:
                self.why = f"its ping is not answered any more: {check or 'no answer'}"
        elif check and not self.deaths:
            self.why = f"its ping is not answered: {check}"

    @property
    def unwell(self) -> bool:
        """Whether it was ready, is alive, and has not answered its ping for some seconds."""
        return bool(self.unwell_since) and time.monotonic() - self.unwell_since > _UNWELL

    @property
    def failing(self) -> bool:
        """Whether it has ended so often that starting it again promises little."""
        now = time.monotonic()
        return sum(now - moment < MINUTE for moment in self.deaths) >= MANY

    def terminate(self) -> None:
        """Ask its process to end. Only that one: what it started is its own to end."""
        self.told = self.told or time.monotonic()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it with all that it started."""
        self.told = self.told or time.monotonic()
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        if self.pidfd >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def shown(self) -> Instance:
        """What is written down of it."""
        now = time.monotonic()
        return Instance(
            slot=self.slot,
            revision=self.revision,
            port=self.port,
            state=(
                "draining"
                if self.gone_since or self.draining
                else "failing"
                if self.failing or self.unwell
                else "ready"
                if self.ready
                else "starting"
            ),
            process=self.process,
            started=self.started,
            restarts=self.restarts,
            ended=sum(now - moment < MINUTE for moment in self.deaths),
            why=self.why,
        )


def wished(place: Path, wish: Wish, before: Instance | None) -> Held:
    """An instance that should be there: the one that was before, where its process still lives."""
    fresh = Instance(slot=wish.slot, revision=wish.revision, port=wish.port, state="starting")
    return Held(place, msgspec.structs.replace(before or fresh, revision=wish.revision))
