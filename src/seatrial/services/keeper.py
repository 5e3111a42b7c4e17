"""The process that makes a service what it should be, and keeps it so.

One loop, one thread. It wakes when somebody changes the wish (a pipe), when one of its processes ends (their
descriptors), and a few times a second while an instance starts or drains. It may be killed at any moment: load
balancer and instances go on, and the next one finds them by what is written in `actual.json`.
"""

from __future__ import annotations

import os
import select
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from seatrial.engine import identity
from seatrial.errors import SeatrialError
from seatrial.files import write_atomic
from seatrial.services import instances, listening, logs, wishes, written
from seatrial.services.balancing import LOG, Balancer, in_one_line
from seatrial.services.instances import Held
from seatrial.services.model import ACCESS_LOG, ACTUAL, WANTED, Actual
from seatrial.services.processes import sweep, token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.deployments.proxy import Slot
    from seatrial.services.model import Wanted

_BUSY, _SLOW, _CALM = 0.03, 0.25, 1.0
_LONG = 60.0
_LOGS_EVERY = 30.0
_ACCESS_KEPT = 256 << 20
_LOG_KEPT = 16 << 20


def keep(place: Path, say_ready: Callable[[], None]) -> None:
    """Keep the service of a folder until it is to be down, or its folder is gone."""
    keeper = _Keeper(place)
    say_ready()
    keeper.loop()


class _Keeper:
    def __init__(self, place: Path) -> None:
        self.place = place
        wanted = written.read_wanted(place)
        if wanted is None:
            raise SystemExit(0)
        self.wanted: Wanted = wanted
        before = written.read_actual(place)
        self.me = identity.of(os.getpid())
        self.held: list[Held] = []
        self._find_again(before)
        self.balancer = Balancer(place, wanted.listening, before)
        self.number = 0  # nothing is known to be true yet
        self.weights: dict[str, int] = {}
        self.finishing = 0.0
        self.idle = 0
        self._shown: Actual | None = None
        self._looked = self._bounded = 0.0
        self.wake = self._pipe()
        self._write()

    def _pipe(self) -> int:
        path = self.place / written.WAKE
        with suppress(FileExistsError):
            os.mkfifo(path, 0o600)
        # For writing as well, so that it never ends.
        return os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def _find_again(self, before: Actual) -> None:
        wished = {(one.slot, one.port) for one in self.wanted.instances}
        for instance in before.instances:
            one = Held(self.place, instance)
            if one.process is None:
                sweep((), one.mark)  # what it left while nobody was there to see it end
            if (one.slot, one.port) in wished or one.process is not None:
                self.held.append(one)

    def loop(self) -> None:
        """Until the service is down."""
        while True:
            if not self.place.is_dir():
                self._end_all()
                return
            self.wanted = written.read_wanted(self.place) or self.wanted
            self._retire()
            self._reconcile()
            self._start_due()
            true = self._balance()
            self._look()
            self._stop_empty(true=true)
            if self.wanted.down and self._finished():
                return
            if true:
                self.number = self.wanted.number
            self._write()
            self._bound_logs()
            self._sleep()

    def _retire(self) -> None:
        """Let revisions go that were only kept for a while."""
        if not wishes.due(self.wanted, time.time()):
            return

        def change(now: Wanted) -> Wanted:
            for revision in wishes.due(now, time.time()):  # asked again: somebody may need it by now
                now = wishes.without(now, revision)
            return now

        self.wanted = written.changed(self.place.parent.parent, self.wanted.name, change)

    def _reconcile(self) -> None:
        """Which instances there should be, and which no more."""
        wished = {} if self.wanted.down else {(one.slot, one.port): one for one in self.wanted.instances}
        for one in self.held:
            wish = wished.pop((one.slot, one.port), None)
            one.draining = wish is not None and wish.mode == "drain"
            if wish is not None:
                if not one.told:
                    one.gone_since = 0.0
            elif not one.gone_since:
                one.gone_since = time.monotonic()
        for wish in wished.values():
            self.held.append(instances.wished(self.place, wish, None))
        self.held = [one for one in self.held if one.process is not None or not one.gone_since]

    def _start_due(self) -> None:
        now = time.monotonic()
        for one in self.held:
            revision = self.wanted.revisions.get(one.revision)
            if one.process is None and not one.gone_since and one.due <= now and revision is not None:
                one.start(revision)
                self._write()  # a keeper that is killed now must not leave one that nobody knows

    def _balance(self) -> bool:
        """Whether the load balancer is as wished."""
        if self.finishing:
            return False
        leaving = [one.shown() for one in self.held if one.gone_since and not one.empty]
        slots = listening.slots(self.wanted, leaving, self._dead())
        starts = self.balancer.starts
        if self.wanted.listening != self.balancer.listens:
            self._adjust(slots)
        true = self.balancer.make(slots, listening.mirror(self.wanted))
        if true:
            self.weights = {slot.name: slot.weight for slot in slots if slot.port}
        if starts != self.balancer.starts:
            self._write()
        return true

    def _adjust(self, slots: list[Slot]) -> None:
        try:
            self.balancer.adjust(self.wanted.listening, slots)
        except (SeatrialError, OSError) as error:
            self.balancer.problem = in_one_line(error)

    def _dead(self) -> set[str]:
        """Slots that had better get nothing, because others live; one that is alone keeps its requests waiting."""
        weights = {one.slot: one.weight for one in self.wanted.instances if one.mode == "ready"}
        alive = any(one.ready and weights.get(one.slot) and not one.gone_since for one in self.held)
        return {one.slot for one in self.held if one.lost} if alive else set()

    def _look(self) -> None:
        """What the health checks have found, and whether what is wanted no more has answered all it had."""
        now = time.monotonic()
        if self.finishing or not self.held or now - self._looked < self._pace() * 0.9:
            return
        self._looked = now
        status = self.balancer.status()
        for one in self.held:
            slot = status.slots.get(one.slot) if status else None
            if slot is not None and slot.port == one.port:
                well = slot.healthy or (slot.mode == "drain" and one.ready)
                one.seen(healthy=well, check=slot.check)
            if one.gone_since:
                idle = slot is not None and slot.sessions == 0 and slot.queue == 0 and self.balancer.left()
                drained = idle and slot is not None and (slot.mode != "ready" or slot.port != one.port)
                late = now - one.gone_since > self.wanted.listening.drain_timeout
                one.empty = one.empty or drained or late

    def _stop_empty(self, *, true: bool) -> None:
        now = time.monotonic()
        for one in self.held:
            if one.told and now - one.told > self.wanted.listening.stop_timeout:
                one.kill()
            elif one.empty and not one.told and (true or self.finishing):
                one.terminate()

    def _finished(self) -> bool:
        """Whether all is over; the load balancer goes first, so that nothing new comes."""
        now = time.monotonic()
        if not self.finishing:
            self.finishing = now
            self.balancer.finish()
        if self.balancer.process is not None:
            status = self.balancer.status()
            busy = status is None or any(slot.sessions or slot.queue for slot in status.slots.values())
            self.idle = 0 if busy else self.idle + 1
            if self.idle > 1 or now - self.finishing > self.wanted.listening.drain_timeout:
                self.balancer.kill()
            return False
        for one in self.held:
            one.empty = True
        if self.held:
            return False
        for name in (ACTUAL, ACCESS_LOG, written.WAKE, written.KEEPER_LOG):
            (self.place / name).unlink(missing_ok=True)
        for folder in (listening.place(self.place), self.place / instances.FOLDER):
            shutil.rmtree(folder, ignore_errors=True)
        sweep((), token(self.place, "proxy"))
        (self.place / WANTED).unlink(missing_ok=True)
        return True

    def _end_all(self) -> None:
        """Nobody could ask any more, nor end it."""
        self.balancer.kill()
        for one in self.held:
            one.kill()
        for one in self.held:
            if one.process is not None:
                select.select([one.pidfd], [], [], 5.0)
                one.ended()

    def _pace(self) -> float:
        """Seconds between two looks: few while something is about to change, more when it may take long."""
        changing = [one for one in self.held if not one.ready or one.gone_since or one.unwell_since]
        if not changing:
            return _CALM
        lately = time.time() - _LONG
        return _BUSY if any(one.gone_since or one.started > lately for one in changing) else _SLOW

    def _sleep(self) -> None:
        """Until something happens, or is due."""
        now = time.monotonic()
        waiting = _BUSY if self.finishing or self.balancer.problem else self._pace()
        due = [one.due - now for one in self.held if one.process is None]
        if self.balancer.process is None and not self.finishing:
            due.append(self.balancer.due - now)
        poll = select.poll()
        poll.register(self.wake, select.POLLIN)
        if self.balancer.pidfd >= 0:
            poll.register(self.balancer.pidfd, select.POLLIN)
        for one in self.held:
            if one.pidfd >= 0:
                poll.register(one.pidfd, select.POLLIN)
        ready = {number for number, _ in poll.poll(max(0.0, min([waiting, *due])) * 1000)}
        if self.wake in ready:
            os.read(self.wake, 4096)
        if self.balancer.pidfd in ready:
            self.balancer.ended()
        ended = [one for one in self.held if one.pidfd in ready]
        for one in ended:
            one.lose()
        if ended and not self.wanted.down:
            self._balance()  # before anything else: until then its requests are tried in vain
        for one in ended:
            one.ended()

    def _write(self) -> None:
        now = Actual(
            number=self.number,
            keeper=self.me,
            proxy=self.balancer.process,
            proxy_starts=self.balancer.starts,
            instances=tuple(one.shown() for one in self.held),
            weights=self.weights,
            problem=self.balancer.problem,
        )
        if now == self._shown or not self.place.is_dir():
            return
        self._shown = now
        stamped = msgspec.structs.replace(now, written=time.time())
        write_atomic(self.place / ACTUAL, msgspec.json.encode(stamped), mode=0o600)

    def _bound_logs(self) -> None:
        now = time.monotonic()
        if now - self._bounded < _LOGS_EVERY:
            return
        self._bounded = now
        logs.bound(self.place / ACCESS_LOG, _ACCESS_KEPT)
        for path in [self.balancer.folder / LOG, *(one.log for one in self.held)]:
            logs.bound(path, _LOG_KEPT)
