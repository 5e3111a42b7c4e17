"""The supervisor: does what `schedule.decide` says and writes down what came of it.

It holds the run's lock while it works. Whatever it writes carries the run's epoch, so one that was
thought dead and comes back cannot write over its successor.
"""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial import locks
from seatrial.engine import cache, points
from seatrial.engine import plan as plans
from seatrial.engine.journal import Superseded, event
from seatrial.engine.launch import Ended, Launch
from seatrial.engine.schedule import (
    Begin,
    Decision,
    End,
    Finish,
    Halt,
    Start,
    decide,
    decide_retry,
)
from seatrial.engine.secret import reveal
from seatrial.engine.transitions import Transitions, Watch, silent
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.clock import Clock
    from seatrial.engine.journal import Journal
    from seatrial.engine.launch import Executor
    from seatrial.engine.plan import Outcome, Step

POLL = 0.1
"""Seconds between looks for requests from other processes; ends of steps wake the supervisor at once."""


_PATIENCE = 50


class Busy(SeatrialError):  # noqa: N818 - a state, not a mistake
    """Another living process is in charge of the run."""


class Supervisor:
    """In charge of one run, from `run()` until it returns."""

    def __init__(
        self,
        journal: Journal,
        run_id: str,
        executor: Executor,
        clock: Clock,
        *,
        cache_folder: Path,
        watch: Watch = silent,
        reach: Callable[[str], None] = points.reach,
    ) -> None:
        self.journal = journal
        self.id = run_id
        self.executor = executor
        self.clock = clock
        self.cache_folder = cache_folder
        self.watch = watch
        self.reach = reach
        self.request = ""
        self.folder = journal.folder(run_id)
        self._keys: dict[str, str] = {}
        self._asked: set[tuple[str, int, bool]] = set()
        self._taken: set[str] = set()
        """Resources of which a step has found no slot just now: later ones must not be faster when one gets free."""

    def run(self) -> str:
        """Take the run over, bring it to its end and return its status.

        Raises:
            Busy: another process is in charge.
            Superseded: another process took over; nothing more was written.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self._lock()
        if lock is None:
            raise Busy(f"run {self.id} is in progress", fix=f"`seatrial runs logs -f {self.id}` follows it")
        try:
            self._take_over()
            self.reach("run/locked")
            return self._loop()
        finally:
            os.close(lock)

    # Taking over

    def _lock(self) -> int | None:
        """The run's lock. A warden looks at it for moments, so one refusal proves nothing."""
        for _ in range(_PATIENCE):
            lock = locks.try_lock(self.folder / "lock")
            if lock is not None:
                return lock
            self.clock.sleep(0.01)
        return None

    def _take_over(self) -> None:
        row = self.journal.run(self.id)
        self.plan = self.journal.plan(self.id)
        self.steps = {step.name: step for stage in self.plan.stages for step in stage.steps}
        self.since = now = self.clock.now()
        with self.journal.transaction() as db:
            db.execute(
                "UPDATE runs SET epoch=epoch+1, started=coalesce(started, ?) WHERE id=?",
                (now, self.id),
            )
            self.epoch = db.execute("SELECT epoch FROM runs WHERE id=?", (self.id,)).fetchone()[0]
            event(db, self.id, now, "taken-over", self.id, {"epoch": self.epoch, "pid": os.getpid()})
        self.write = Transitions(self.journal, self.id, self.epoch, self.clock, self.watch, self.reach)
        self.state = self.write.state
        self._seen = self.journal.changes()
        if row["ended"] is None:
            self.executor.guard(self.id)
            self._revive()

    def _revive(self) -> None:
        """Services that died with their machine are started again, and what followed them in their stage."""
        if self.state.request or any(self.state.stages[s.name].status == "fail" for s in self.plan.stages):
            return
        for stage in self.plan.stages:
            for position, step in enumerate(stage.steps):
                here = self.state.steps[step.name]
                if (
                    isinstance(step.action, plans.Service)
                    and here.status == "pass"
                    and self._holds(step.name)
                    and self.executor.probe(self.write.folder(step.name)) is not True
                ):
                    self.write.lose(stage, position)
                    break

    def _holds(self, step: str) -> bool:
        return bool(
            self.journal.rows(
                "SELECT 1 FROM ledger WHERE run=? AND step=? AND state<>'removed'", self.id, step
            )
        )

    # The loop

    def _loop(self) -> str:
        while True:
            self._hear()
            ended = self._collect()
            decisions = decide(self.plan, self.state, self.clock.now())
            self._taken.clear()
            acted = [self._act(decision) for decision in decisions]
            if any(acted) or ended:
                finish = next((d for d in decisions if isinstance(d, Finish)), None)
                if finish is not None:
                    return finish.status
                continue
            self.executor.wait([self.write.folder(name) for name in self._running()], self._pause())

    def _hear(self) -> None:
        """Take in requests: our own (a signal arrived) and those of other processes."""
        if self.request and self.state.request not in (self.request, "kill"):
            self.journal.request(self.id, self.request, self.clock.now())
            self.state.request = self.request
            self.watch("requested", self.id, {"what": self.request})
        changes = self.journal.changes()
        if changes != self._seen:
            self._seen = changes
            row = self.journal.run(self.id)
            if row["epoch"] != self.epoch:
                raise Superseded(f"run {self.id} has been taken over by another process")
            if row["request"] and row["request"] != self.state.request:
                self.state.request = row["request"]
                self.watch("requested", self.id, {"what": row["request"]})

    def _running(self) -> list[str]:
        return [name for name, step in self.state.steps.items() if step.status == "running"]

    def _pause(self) -> float:
        now = self.clock.now()
        due = [s.due - now for s in self.state.steps.values() if s.status == "pending" and s.due > now]
        return max(0.0, min([POLL, *due]))

    def _collect(self) -> bool:
        ended = False
        for name in self._running():
            found = self.executor.probe(self.write.folder(name))
            if found is True:
                if isinstance(
                    self.steps[name].action, plans.Service
                ):  # started by a supervisor that died then
                    self._started_service(self.steps[name])
                    ended = True
                continue
            ended = True
            self.reach("step/ended")
            self._conclude(self.steps[name], found if isinstance(found, Ended) else None)
        return ended

    def _act(self, decision: Decision) -> bool:
        if isinstance(decision, Begin):
            self.write.begin(decision.stage)
        elif isinstance(decision, Start):
            return self._start(decision.step)
        elif isinstance(decision, Halt):
            self._halt(decision)
            return False
        elif isinstance(decision, End):
            self.write.end(decision)
        else:
            self.write.finish(decision)
        return True

    def _start(self, step: Step) -> bool:
        """Start an attempt, or use a cached result; False when a slot is missing."""
        here = self.state.steps[step.name]
        try:
            what = self._resolved(step)
            key = self._keys[step.name] = cache.key_of(step, what)
            known = cache.recall(self.cache_folder, key) if key else None
            values = reveal(plans.resolve(getattr(step.action, "secrets", {}), self.state.outputs))
        except SeatrialError as error:
            self.write.settle(step, "fail", str(error), {})
            return True
        if known is not None:
            self.write.settle(step, "pass", "", known.outputs, artifacts=known.artifacts, cached=True)
            return True
        limits = self._limits(step)
        slots = None if self._taken.intersection(limits) else self.executor.slots(limits, self.plan.limits)
        if slots is None:
            self._taken.update(limits)
            return False
        here.attempt += 1
        self._create(step, self._launch(step, what, values), slots)
        if isinstance(step.action, plans.Service):
            self._started_service(step)
        return True

    def _limits(self, step: Step) -> tuple[str, ...]:
        """What the step must hold a slot of. Teardown waits for nobody."""
        if isinstance(step.action, plans.Teardown):
            return ()
        general = [name for name in ("steps", self.plan.kind) if name in self.plan.limits]
        return tuple(dict.fromkeys((*step.limits, *general)))

    def _create(self, step: Step, launch: Launch, slots: object) -> None:
        """Write down what is about to be created, then create it: a crash between leaves nothing unknown."""
        self.write.attempt(step, launch)
        self.reach("step/recorded")
        self.executor.start(launch, slots)
        self.reach("step/forked")

    def _started_service(self, step: Step) -> None:
        folder = self.write.folder(step.name)
        self.write.settle(step, "pass", "", {"process": folder.name, "folder": str(folder)})

    def _halt(self, decision: Halt) -> None:
        name = decision.step.name
        mark = (name, self.state.steps[name].attempt, decision.hard)
        if mark not in self._asked and self.executor.halt(self.write.folder(name), hard=decision.hard):
            self._asked.add(mark)

    def _resolved(self, step: Step) -> dict[str, Any]:
        what: dict[str, Any] = msgspec.to_builtins(plans.resolve(_fields(step.action), self.state.outputs))
        change = self._change(step.name) if self.state.steps[step.name].attempt else {}
        target = "env" if what["type"] == "command" else "inputs"
        if change and target in what:
            what[target] = {**what[target], **change}
        return what

    def _change(self, step: str) -> dict[str, Any]:
        """What the retry decision after the latest attempt said to change."""
        rows = self.journal.rows(
            "SELECT change FROM attempts WHERE run=? AND step=? ORDER BY n DESC LIMIT 1", self.id, step
        )
        change: dict[str, Any] = json.loads(rows[0]["change"]) if rows else {}
        return change

    def _launch(self, step: Step, what: dict[str, Any], values: dict[str, str]) -> Launch:
        attempt = self.state.steps[step.name].attempt
        folder = self.write.folder(step.name)
        seconds = step.action.lifetime if isinstance(step.action, plans.Service) else step.timeout
        return Launch(
            home=self.journal.home,
            run=self.id,
            step=step.name,
            attempt=attempt,
            folder=folder,
            token=os.urandom(16).hex(),
            what=what,
            deadline=self.clock.now() + seconds,
            grace=step.grace,
            # Teardown has to see and signal processes outside of any namespace.
            contain=step.contained and what["type"] != "teardown" and not step.leaves,
            leaves=step.leaves,
            secrets=values,
        )

    def _conclude(self, step: Step, ended: Ended | None) -> None:
        """Judge an attempt that is over: passed, to be repeated, stopped, or failed."""
        here = self.state.steps[step.name]
        if ended is not None and ended.code == 0 and not ended.error and ended.reason == "exit":
            key = self._keys.get(step.name) or cache.key_of(step, self._resolved(step))
            self.write.settle(step, "pass", "", ended.outputs, artifacts=ended.artifacts, log=True)
            if key and not (step.key and ended.outputs.get(step.key.unless)):
                cache.remember(self.cache_folder, key, ended.outputs, ended.artifacts)
                self.reach("step/cached")
            return
        outcome, error = _judge(ended, self.since)
        if ended is not None and ended.reason == "stopped" and self.state.request:
            self.write.settle(step, "stopped", error, {}, outcome="stopped", log=True)
            return
        retry = None if self.state.request == "kill" else decide_retry(step, outcome, error, here.causes)
        if self.state.request == "cancel" and not self._always(step):
            retry = None
        if retry is None:
            self.write.settle(step, "fail", error, {}, outcome=outcome, log=True)
            return
        self.write.retry(step, outcome, error, retry)

    def _always(self, step: Step) -> bool:
        return any(step in stage.steps for stage in self.plan.stages if stage.always)


def _fields(action: plans.Action) -> dict[str, Any]:
    kind = {
        plans.Command: "command",
        plans.Call: "call",
        plans.Service: "service",
        plans.Teardown: "teardown",
    }[type(action)]
    fields = {name: getattr(action, name) for name in action.__struct_fields__ if name != "secrets"}
    return {"type": kind, **fields}


def _judge(ended: Ended | None, since: float) -> tuple[Outcome, str]:
    if ended is None:
        return "lost", "the process vanished with its supervisor or machine"
    if ended.reason == "timeout":
        return "timeout", f"stopped at its deadline. {ended.error or ended.stderr}".strip()
    if ended.code < 0 and ended.reason != "stopped":
        # Killed while nobody was in charge: whoever killed the supervisor killed this as well.
        lost = ended.code == -signal.SIGKILL and ended.ended < since
        return ("lost" if lost else "signal"), f"ended by signal {-ended.code}. {ended.stderr}".strip()
    return "exit", ended.error or ended.stderr or f"exit code {ended.code}"
