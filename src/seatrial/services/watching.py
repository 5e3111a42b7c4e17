"""Looking at a service during its deployment: what its traffic does, whether its instances live, and its alarms."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from seatrial.deployments.analysis.judge import judge
from seatrial.deployments.observing import metrics, seconds, windows
from seatrial.services import control, health, judging, records, target
from seatrial.services.hearing import Hearing
from seatrial.services.measuring import Measuring
from seatrial.services.model import ALL, control_of
from seatrial.services.records import Event

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.clock import Clock
    from seatrial.deployments.analysis.model import Decision, Judgement
    from seatrial.deployments.observing.model import Second
    from seatrial.services.records import Part, ServiceDeployment

_EVERY = 1.0
"""Seconds between readings of the log: that is how finely traffic is counted."""
_MEMORY = 60.0
"""Seconds that are remembered from before a step, at least; alarms may look back farther."""


class Watching:
    """Watches one service for the length of a block; `look` is called a few times a second.

    `sick` and `ringing` say in words what is wrong, '' nothing. `judgement` is the last one of this step and `looked`
    how many of the step's looks are done; as one of `looks` in all each is so much more careful.
    """

    def __init__(
        self, home: Path, deployment: ServiceDeployment, part: Part, clock: Clock, *, looks: int
    ) -> None:
        self.part = part
        self.sick = self.ringing = ""
        self.judgement: Judgement | None = None
        self.looked = 0
        self._home, self._id, self._clock, self._looks = home, deployment.id, clock, looks
        self._timeline = records.timeline(home, deployment.id, part.service)
        self._memory = max([_MEMORY, *(alarm.seconds for alarm in part.deploy.alarms.values())])
        self._began = self._read = 0.0
        self._asked = (0.0, 0.0)
        self._seconds: list[Second] = []
        self._fresh = False
        self._state = health.Health()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            log = target.log_path(self._home, self.part.service)
            self._recorder = stack.enter_context(seconds.Recorder(self._timeline, log, self._clock.now()))
            self._seconds = list(seconds.read(self._timeline))
            self._measuring = stack.enter_context(self._measured())
            part = self.part
            self._hearing = stack.enter_context(
                Hearing(part.deploy.alarms, part.after, part.before, self._clock, part.cwd)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        with self._stack:
            self._count(self._clock.now(), last=True)

    def begin(self, since: float) -> None:
        """A step begins, or has begun: its evidence is its own."""
        self._began = since
        self.judgement, self.looked = None, 0
        self._forget()

    def look(self, now: float, *, share: float, since: float) -> None:
        """See what is new; `share` percent are asked for `since` then."""
        self._asked = share, since
        wanted, actual = target.look(self._home, self.part.service)
        self._state, said = health.look(self._state, wanted, actual, self.part.after, now)
        self.sick = self._state.sick
        for text in said:
            self._tell("health", text)
        if now - self._read >= _EVERY:
            self._count(now)
        self.ringing = self._hearing.ringing(self._seconds)

    def judge(self, share: float, due: int) -> Judgement | None:
        """The judgement of a look that is due, or None: there is none, or not enough to see yet."""
        limits = self.part.deploy.analysis
        if limits is None or not self._fresh or self.looked >= due or not share:
            return None
        self._fresh = False
        those = [second for second in self._seconds if second.at >= math.ceil(self._began)]
        rates = metrics.per_request(self.part.deploy.metrics)
        before = ""
        if share < ALL and self.part.compared:
            wanted, _ = target.look(self._home, self.part.service)
            before = control.compared_with(wanted, self.part, share)
        old, new = (
            windows.of(those, revision, per_request=rates) if revision else []
            for revision in (before, self.part.after)
        )
        found = judge(old, new, limits, looks=self._looks)
        self.judgement = found
        if judging.counts(found, limits) or share >= ALL or found.decision == "roll back":
            self.looked = due
            # With all the traffic only what may never be is news: there is nothing to compare with.
            return found if share < ALL or found.decision == "roll back" else None
        return None

    def verdict(self, share: float) -> tuple[Decision | None, str]:
        """What the evidence of this step says so far, and why; None where time alone decides."""
        if self.part.deploy.analysis is None or not self.part.compared or not share:
            return None, ""
        if self.judgement is None:
            return (None if share >= ALL else "hold"), "there is not enough evidence yet"
        return judging.decision(self.judgement, share), self.judgement.why

    def _count(self, now: float, *, last: bool = False) -> None:
        self._read = now
        share, since = self._asked
        fresh = self._recorder.step(
            now, self._ports(), share=share, since=since, values=self._measuring.take(), last=last
        )
        self._seconds += fresh
        self._fresh = self._fresh or bool(fresh)
        self._forget()

    def _forget(self) -> None:
        """Keep what this step and the alarms look at."""
        least = min(self._began or math.inf, self._clock.now()) - self._memory
        if self._seconds and self._seconds[0].at < least - self._memory:
            self._seconds = [second for second in self._seconds if second.at >= least]

    def _ports(self) -> dict[int, str]:
        wanted, _ = target.look(self._home, self.part.service)
        return {wish.port: wish.revision for wish in wanted.instances}

    def _measured(self) -> Measuring:
        wanted, _ = target.look(self._home, self.part.service)
        known = (self.part.before, control_of(self.part.before), self.part.after)
        revisions = [one for one in dict.fromkeys(known) if one in wanted.revisions]
        return Measuring(
            self.part.deploy.metrics,
            revisions,
            self._ports,
            self._clock,
            lambda text: self._tell("note", text),
            self.part.cwd,
        )

    def _tell(self, kind: str, text: str) -> None:
        event = Event(at=self._clock.now(), kind=kind, text=text, service=self.part.service)
        records.tell(self._home, self._id, event)
