"""Watching a new version that has no traffic of its own yet: it is only tested, or answers copies of requests.

What ends a deployment whatever the evidence says (health, alarms, people) is here for every stage.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from seatrial.errors import SeatrialError
from seatrial.services import records
from seatrial.services.records import Event
from seatrial.services.watching import Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seatrial.deployments.analysis.model import Decision
    from seatrial.deployments.shifting.progress import Request
    from seatrial.engine.call import Context
    from seatrial.engine.journal import Journal
    from seatrial.services.records import ServiceDeployment

TICK = 0.2
"""Seconds between looks at health, alarms, requests and the time."""
SAID: dict[Request, str] = {
    "promote": "promotion is asked for by hand",
    "hold": "a hold is asked for by hand",
    "continue": "to go on is asked for by hand",
    "roll back": "a rollback is asked for by hand",
}


class Problem(NamedTuple):
    """Why a deployment cannot go on: CodeDeploy's code, words, and the kind of event that tells it."""

    code: str
    text: str
    kind: str


def wait(
    context: Context,
    identifier: str,
    seconds: float,
    verdict: Callable[[], tuple[Decision, str]] = lambda: ("promote", ""),
) -> str:
    """Wait for so long, and as long as the verdict is to hold; returns why it went on.

    A verdict that stays unclear longer than the deployment's patience waits for a person, or is a rollback.

    Raises:
        SeatrialError: the deployment is to be rolled back: by verdict, health, an alarm or a person.
    """
    waiting_for = _Waiting(context, identifier, seconds, verdict)
    with ExitStack() as stack:
        waiting_for.watch(stack)
        while (why := waiting_for.look()) is None:
            context.clock.sleep(TICK)
    return why


class _Waiting:
    def __init__(
        self, context: Context, identifier: str, seconds: float, verdict: Callable[[], tuple[Decision, str]]
    ) -> None:
        self.context, self.verdict = context, verdict
        self.deployment: ServiceDeployment = records.load(context.journal.home, identifier)
        self.since = context.clock.now()
        self.until = self.since + seconds
        self.held = False

    def watch(self, stack: ExitStack) -> None:
        home, clock = self.context.journal.home, self.context.clock
        self.watched = [
            stack.enter_context(Watching(home, self.deployment, part, clock, looks=1))
            for part in self.deployment.parts
        ]
        for one in self.watched:
            one.begin(self.since)

    def look(self) -> str | None:
        """Why it goes on, None while it does not.

        Raises:
            SeatrialError: it is to be rolled back.
        """
        now = self.context.clock.now()
        for one in self.watched:
            one.look(now, share=0.0, since=self.since)
        if (wrong := problem(self.watched)) is not None:
            self._fail(wrong)
        asked = self._asked()
        decision, why = self.verdict()
        if asked == "roll back":
            self._fail(Problem("MANUAL_STOP", "rolled back by hand", "rollback"))
        if decision == "roll back":
            self._fail(Problem("HEALTH_CONSTRAINTS", why, "rollback"))
        if asked == "promote" or (self.held and asked == "continue"):
            self._hold(held=False, why="")
            return SAID[asked]
        if asked == "hold":
            self._hold(held=True, why="by hand")
        if self.held or now < self.until:
            return None
        if decision == "promote":
            return why or "the time is over"
        self._unclear(now, why)
        return None

    def _unclear(self, now: float, why: str) -> None:
        longer = now - self.until
        if longer >= self.deployment.patience:
            said = f"still unclear after {longer:.0f} s more: {why}"
            if self.deployment.unclear == "roll back":
                self._fail(Problem("HEALTH_CONSTRAINTS", said, "rollback"))
            self._hold(held=True, why=said)

    def _hold(self, *, held: bool, why: str) -> None:
        if held != self.held:
            self.held = held
            waiting(self.context.journal, self.context.run, held=held)
            if held:
                self._tell("held", f"held before any traffic: {why}")

    def _asked(self) -> Request:
        for path, what in records.asked(self.context.journal.home, self.deployment.id)[:1]:
            path.unlink(missing_ok=True)
            self._tell("request", SAID[what])
            return what
        return ""

    def _fail(self, wrong: Problem) -> None:
        self._tell(wrong.kind, f"rolled back: {wrong.text}")
        records.change(self.context.journal.home, self.deployment.id, error_code=wrong.code, why=wrong.text)
        raise SeatrialError(f"rolled back: {wrong.text}")

    def _tell(self, kind: str, text: str) -> None:
        tell(self.context, self.deployment.id, Event(at=self.context.clock.now(), kind=kind, text=text))


def problem(watched: Sequence[Watching]) -> Problem | None:
    """The first thing that ends a deployment whatever the evidence says."""
    for one in watched:
        name = f"{one.part.service}: " if len(watched) > 1 else ""
        if one.sick:
            return Problem("HEALTH_CONSTRAINTS", name + one.sick, "health")
        if one.ringing:
            return Problem("ALARM_ACTIVE", name + one.ringing, "alarm")
    return None


def tell(context: Context, identifier: str, event: Event) -> None:
    """Write down what happened, and say it in the step's log."""
    records.tell(context.journal.home, identifier, event)
    context.say(f"{event.service}: {event.text}" if event.service else event.text)


def waiting(journal: Journal, run: str, *, held: bool) -> None:
    """Say of the run that it waits for a person, or does so no more."""
    with journal.transaction() as db:
        db.execute(
            "UPDATE runs SET status=? WHERE id=? AND ended IS NULL", ("waiting" if held else "running", run)
        )
