"""Shifting traffic to a new version, only as fast as the evidence allows.

Where the shift is gets written down before it is made so. Whoever goes on after a crash makes it so again and finds
the step, and the time that it has had, as they were; the traffic keeps its split all the while.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from seatrial.deployments.shifting import progress
from seatrial.deployments.shifting import strategy as strategies
from seatrial.deployments.shifting.progress import Policy, Seen, Shift
from seatrial.deployments.shifting.strategy import Step, Strategy
from seatrial.errors import SeatrialError
from seatrial.services import control, judging, records, target
from seatrial.services.model import ALL
from seatrial.services.pending import SAID, TICK, Problem, problem, tell, waiting
from seatrial.services.records import Event
from seatrial.services.watching import Watching

if TYPE_CHECKING:
    from seatrial.deployments.analysis.model import Decision, Judgement
    from seatrial.deployments.shifting.progress import Request
    from seatrial.engine.call import Context
    from seatrial.services.records import ServiceDeployment


def strategy_of(deployment: ServiceDeployment) -> Strategy:
    """The steps of a deployment; where there is no old version that has traffic there is but one."""
    if any(part.compared for part in deployment.parts):
        return strategies.parse(deployment.strategy, bake=deployment.bake)
    return Strategy("all-at-once", (Step(ALL, deployment.bake),))


def carry_on(context: Context, identifier: str, *, bake: bool) -> Shift:
    """Begin a shift, or go on with it, until the new version has all the traffic; with `bake`, until it is promoted.

    Raises:
        SeatrialError: the new version was rolled back; the traffic is with the old one again.
    """
    with ExitStack() as stack:
        shifting = _Shifting(context, identifier, stack)
        while not shifting.is_over(bake=bake):
            shifting.tick()
            if not shifting.is_over(bake=bake):
                context.clock.sleep(TICK)
        shift = shifting.shift
    if shift.status == "rolled back":
        raise SeatrialError(f"rolled back: {shift.why}")
    return shift


class _Shifting:
    """A shift in progress."""

    def __init__(self, context: Context, identifier: str, stack: ExitStack) -> None:
        self.context = context
        self.home = context.journal.home
        self.id = identifier
        self.deployment = records.load(self.home, identifier)
        self.strategy = strategy_of(self.deployment)
        self.policy = Policy(patience=self.deployment.patience, unclear=self.deployment.unclear)
        looks = judging.planned(self.strategy, self.policy.patience)
        self.shift = self._begun()
        self.watched = [
            stack.enter_context(Watching(self.home, self.deployment, part, context.clock, looks=looks))
            for part in self.deployment.parts
        ]
        for one in self.watched:
            one.begin(self.shift.since)

    def is_over(self, *, bake: bool) -> bool:
        if self.shift.status in ("promoted", "rolled back"):
            return True
        last = self.shift.step == len(self.strategy.steps) - 1
        return last and self.shift.status == "shifting" and not bake

    def tick(self) -> None:
        """Look at everything once, and do what follows."""
        now = self.context.clock.now()
        for one in self.watched:
            one.look(now, share=self.shift.share, since=self.shift.since)
        verdict, because = self._verdict(now)
        wrong = problem(self.watched)
        asked = records.asked(self.home, self.id)[:1]
        request: Request = asked[0][1] if asked else ""
        if request:
            self._tell("request", SAID[request])
        seen = Seen(
            now=now,
            verdict=verdict,
            because=because,
            alarm=wrong.text if wrong else "",
            request=request,
        )
        after = progress.proceed(self.strategy, self.shift, seen, self.policy)
        if after != self.shift:
            if after.status == "rolled back":
                self._explain(wrong, request, after.why)
            self._move(after)
        for path, _ in asked:
            path.unlink(missing_ok=True)

    def _begun(self) -> Shift:
        """Where the shift is, made so: it may have been cut off before that."""
        found = records.shift_of(self.home, self.id)
        if found is None:
            found = progress.begin(self.strategy, self.context.clock.now())
            records.save_shift(self.home, self.id, found)
            self._tell("shift", found.why, self._where(found))
        elif self.context.attempt > 1:
            self._tell(
                "note", f"going on at {found.share:g} %, step {found.step + 1} of {len(self.strategy.steps)}"
            )
        self.context.reach("shift/recorded")
        self._apply(found)
        waiting(self.context.journal, self.context.run, held=found.status == "held")
        return found

    def _verdict(self, now: float) -> tuple[Decision | None, str]:
        """The verdict on all services in this step, after a look at what is due."""
        step = self.strategy.steps[self.shift.step]
        due = judging.due(step, self.policy.patience, now - self.shift.since)
        for one in self.watched:
            if (fresh := one.judge(self.shift.share, due)) is not None:
                self._tell_verdict(one, fresh)
        found = [(one.part.service, *one.verdict(self.shift.share)) for one in self.watched]
        return judging.together(found, named=len(found) > 1)

    def _tell_verdict(self, one: Watching, fresh: Judgement) -> None:
        said = {"hold": "unclear"}.get(fresh.decision, fresh.decision)
        data = {
            **self._where(self.shift),
            "decision": judging.decision(fresh, self.shift.share),
            "look": one.looked,
            "judgement": msgspec.to_builtins(fresh),
        }
        self._tell("verdict", f"{said}: {fresh.why}", data, one.part.service)

    def _move(self, after: Shift) -> None:
        before, self.shift = self.shift, after
        records.save_shift(self.home, self.id, after)
        kind = "held" if after.status == "held" else "rollback" if after.status == "rolled back" else "shift"
        self._tell(kind, _told(after), self._where(after))
        self.context.reach("shift/recorded")
        if after.share != before.share:
            self._apply(after)
        self.context.reach("shift/applied")
        if "held" in (before.status, after.status):
            waiting(self.context.journal, self.context.run, held=after.status == "held")
        if after.since != before.since:
            for one in self.watched:
                one.begin(after.since)

    def _apply(self, shift: Shift) -> None:
        for part in self.deployment.parts:
            if part.compared:
                wanted, _ = target.look(self.home, part.service)
                target.shift(self.home, part.service, control.shares(wanted, part, shift.share))
            else:
                target.shift(self.home, part.service, {part.after: ALL})

    def _explain(self, wrong: Problem | None, request: str, why: str) -> None:
        code = wrong.code if wrong else "MANUAL_STOP" if request else "HEALTH_CONSTRAINTS"
        records.change(self.home, self.id, error_code=code, why=why)

    def _where(self, shift: Shift) -> dict[str, object]:
        return {"step": shift.step, "share": shift.share, "status": shift.status}

    def _tell(self, kind: str, text: str, data: dict[str, object] | None = None, service: str = "") -> None:
        at = self.context.clock.now()
        tell(self.context, self.id, Event(at=at, kind=kind, text=text, service=service, data=data or {}))


def _told(shift: Shift) -> str:
    if shift.status == "shifting":
        return f"{shift.share:g} % of the traffic: {shift.why}"
    if shift.status == "held":
        return f"held at {shift.share:g} %: {shift.why}"
    return f"{shift.status}: {shift.why}"
