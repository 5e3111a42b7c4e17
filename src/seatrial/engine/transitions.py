"""The transitions of a run: each is one transaction, fenced by the supervisor's epoch, then remembered and told."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from seatrial.engine import plan as plans
from seatrial.engine.journal import check_epoch, event
from seatrial.engine.schedule import StageState, State, StepState

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from seatrial.clock import Clock
    from seatrial.engine.journal import Journal
    from seatrial.engine.launch import Launch
    from seatrial.engine.plan import Stage, Step
    from seatrial.engine.schedule import End, Finish, RetryDecision

Watch = Callable[[str, str, dict[str, Any]], None]
"""Told of each transition after it is journalled: what happened, to what, and details."""


def silent(_kind: str, _subject: str, _data: dict[str, Any]) -> None:
    """Watch nothing."""


def load(journal: Journal, run_id: str) -> State:
    """The state of a run as the journal has it."""
    row = journal.run(run_id)
    stages = {
        r["name"]: StageState(r["status"], r["error"])
        for r in journal.rows("SELECT name, status, error FROM stages WHERE run=?", run_id)
    }
    steps = {
        r["name"]: StepState(r["status"], r["attempt"], r["due"], r["error"])
        for r in journal.rows("SELECT name, status, attempt, due, error FROM steps WHERE run=?", run_id)
    }
    for attempt in journal.rows(
        "SELECT step, outcome, error FROM attempts WHERE run=? AND status='fail' AND reason<>'' ORDER BY n",
        run_id,
    ):
        steps[attempt["step"]].causes.append((attempt["outcome"], attempt["error"]))
    return State(stages, steps, journal.outputs(run_id), row["request"] if row["ended"] is None else "")


class Transitions:
    """Writes to the journal what happened to a run, and to `state` what that means for the next decision.

    Raises `Superseded` from any of its methods when another supervisor has taken the run over.
    """

    def __init__(
        self,
        journal: Journal,
        run_id: str,
        epoch: int,
        clock: Clock,
        watch: Watch,
        reach: Callable[[str], None],
    ) -> None:
        self.journal = journal
        self.id = run_id
        self.epoch = epoch
        self.clock = clock
        self.watch = watch
        self.reach = reach
        self.state: State = load(journal, run_id)
        self._folders: dict[tuple[str, int], Path] = {}

    @contextmanager
    def _transition(self) -> Iterator[sqlite3.Connection]:
        with self.journal.transaction() as db:
            check_epoch(db, self.id, self.epoch, self.clock.now())
            yield db

    def begin(self, stage: Stage) -> None:
        """A stage has begun."""
        now = self.clock.now()
        with self._transition() as db:
            db.execute(
                "UPDATE stages SET status='running', started=? WHERE run=? AND name=?",
                (now, self.id, stage.name),
            )
            event(db, self.id, now, "stage-started", stage.name, {})
        self.state.stages[stage.name].status = "running"
        self.watch("stage-started", stage.name, {})
        self.reach("stage/started")

    def attempt(self, step: Step, launch: Launch) -> None:
        """The attempt, and for a service its ledger entry, before there is a process."""
        now = self.clock.now()
        with self._transition() as db:
            db.execute(
                "INSERT INTO attempts (run, step, n, token, status, started) VALUES (?,?,?,?,'running',?)",
                (self.id, step.name, launch.attempt, launch.token, now),
            )
            db.execute(
                "UPDATE steps SET status='running', attempt=?, started=coalesce(started, ?), error='' WHERE run=? AND name=?",
                (launch.attempt, now, self.id, step.name),
            )
            if isinstance(step.action, plans.Service):
                db.execute(
                    "INSERT INTO ledger (run, step, kind, name, data, state, intended) VALUES (?,?,?,?,?,'intended',?)",
                    (
                        self.id,
                        step.name,
                        "process",
                        launch.folder.name,
                        json.dumps({"token": launch.token, "grace": step.grace}),
                        now,
                    ),
                )
            event(db, self.id, now, "step-started", step.name, {"attempt": launch.attempt})
        self.state.steps[step.name].status = "running"
        self.watch("step-started", step.name, {"attempt": launch.attempt})

    def settle(
        self,
        step: Step,
        status: str,
        error: str,
        outputs: dict[str, Any],
        *,
        artifacts: Sequence[dict[str, Any]] = (),
        outcome: str = "",
        cached: bool = False,
        log: bool = False,
    ) -> None:
        """Write down how the step ended."""
        now = self.clock.now()
        here = self.state.steps[step.name]
        with self._transition() as db:
            if not cached and here.attempt:
                self._close_attempt(db, step, status, outcome, error, log=log)
            db.execute(
                "UPDATE steps SET status=?, cached=?, started=coalesce(started, ?), ended=?, error=?,"
                " outputs=?, artifacts=? WHERE run=? AND name=?",
                (
                    *(status, int(cached), now, now, error),
                    *(json.dumps(outputs), json.dumps(list(artifacts)), self.id, step.name),
                ),
            )
            event(
                db,
                self.id,
                now,
                "step-ended",
                step.name,
                {"status": status, "cached": cached, "error": error},
            )
        here.status, here.error = status, error
        if status == "pass":
            self.state.outputs[step.name] = outputs
        self.watch(
            "step-ended", step.name, {"status": status, "cached": cached, "error": error, "outputs": outputs}
        )
        self.reach("step/journalled")

    def retry(self, step: Step, outcome: str, error: str, decision: RetryDecision) -> None:
        """An attempt is over, and the step will be tried again."""
        here = self.state.steps[step.name]
        here.causes.append((outcome, error))
        now = self.clock.now()
        here.status, here.due = "pending", now + decision.delay
        told = {"reason": decision.reason, "delay": decision.delay, "error": error}
        with self._transition() as db:
            self._close_attempt(db, step, "fail", outcome, error)
            db.execute(
                "UPDATE attempts SET reason=?, change=? WHERE run=? AND step=? AND n=?",
                (decision.reason, json.dumps(decision.change), self.id, step.name, here.attempt),
            )
            db.execute(
                "UPDATE steps SET status='pending', due=? WHERE run=? AND name=?",
                (here.due, self.id, step.name),
            )
            event(db, self.id, now, "step-retried", step.name, told)
        self.watch("step-retried", step.name, told)
        self.reach("step/journalled")

    def _close_attempt(
        self, db: sqlite3.Connection, step: Step, status: str, outcome: str, error: str, *, log: bool = True
    ) -> None:
        attempt = self.state.steps[step.name].attempt
        path = self.folder(step.name) / "log"
        size = path.stat().st_size if log and path.exists() else 0
        db.execute(
            "UPDATE attempts SET status=?, outcome=?, error=?, ended=?, log_bytes=? WHERE run=? AND step=? AND n=?",
            (status, outcome, error, self.clock.now(), size, self.id, step.name, attempt),
        )

    def lose(self, stage: Stage, position: int) -> None:
        """A service is gone: it and what followed it in its stage have to be done again."""
        with self._transition() as db:
            for step in stage.steps[position:]:
                if self.state.steps[step.name].status == "pass":
                    db.execute(
                        "UPDATE steps SET status='pending', ended=NULL WHERE run=? AND name=?",
                        (self.id, step.name),
                    )
                    self.state.steps[step.name].status = "pending"
            db.execute(
                "UPDATE stages SET status='running', ended=NULL WHERE run=? AND name=?",
                (self.id, stage.name),
            )
            event(db, self.id, self.clock.now(), "service-lost", stage.steps[position].name, {})
        self.state.stages[stage.name].status = "running"

    def end(self, decision: End) -> None:
        """A stage is over."""
        now = self.clock.now()
        stage, status, error = decision
        with self._transition() as db:
            db.execute(
                "UPDATE stages SET status=?, error=?, ended=? WHERE run=? AND name=?",
                (status, error, now, self.id, stage.name),
            )
            for step in stage.steps:
                if self.state.steps[step.name].status == "pending":
                    db.execute("UPDATE steps SET status='skip' WHERE run=? AND name=?", (self.id, step.name))
                    self.state.steps[step.name].status = "skip"
            event(db, self.id, now, "stage-ended", stage.name, {"status": status, "error": error})
        self.state.stages[stage.name].status = status
        self.state.stages[stage.name].error = error
        self.watch("stage-ended", stage.name, {"status": status, "error": error})
        self.reach("stage/finished")

    def finish(self, decision: Finish) -> None:
        """The run is over."""
        now = self.clock.now()
        with self._transition() as db:
            db.execute(
                "UPDATE runs SET status=?, error=?, ended=? WHERE id=?",
                (decision.status, decision.error, now, self.id),
            )
            event(
                db, self.id, now, "run-ended", self.id, {"status": decision.status, "error": decision.error}
            )
        self.watch("run-ended", self.id, {"status": decision.status, "error": decision.error})
        self.reach("run/finished")

    def folder(self, step: str, attempt: int | None = None) -> Path:
        """The folder of an attempt, by default the latest."""
        number = self.state.steps[step].attempt if attempt is None else attempt
        found = self._folders.get((step, number))
        if found is None:
            found = self._folders[step, number] = self.journal.attempt_folder(self.id, step, number)
        return found
