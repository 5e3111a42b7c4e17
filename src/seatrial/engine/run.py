"""Runs as their users handle them: start or continue, resume, stop, look at, and clean up after."""

from __future__ import annotations

import hashlib
import json
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial import locks, paths
from seatrial.clock import SystemClock, iso
from seatrial.engine import ledger, points, warden
from seatrial.engine import plan as plans
from seatrial.engine.execute import Processes
from seatrial.engine.journal import Journal, event
from seatrial.engine.supervise import Busy, Supervisor
from seatrial.engine.transitions import Watch, silent
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.engine.plan import Plan, Stage


def begin(journal: Journal, plan: Plan) -> tuple[str, bool]:
    """The run that will do `plan`: an unfinished one of the same key (True), else a new one (False).

    An unfinished run of the same subject that asked for something else is cancelled and torn down first.

    Raises:
        Busy: another process is working on the same subject.
    """
    plans.check(plan)
    # One at a time for each subject: of two commands at once, the second finds the first one's run.
    door = journal.home / "subjects" / hashlib.sha256(plan.subject.encode()).hexdigest()[:16]
    door.parent.mkdir(mode=0o700, exist_ok=True)
    with locks.locked(door):
        return _begin(journal, plan)


def _begin(journal: Journal, plan: Plan) -> tuple[str, bool]:
    unfinished = journal.rows(
        "SELECT id, key, request FROM runs WHERE kind=? AND subject=? AND ended IS NULL ORDER BY created DESC",
        plan.kind,
        plan.subject,
    )
    for row in unfinished:
        if row["key"] == plan.key and not row["request"]:
            return row["id"], True
        cancel(journal.home, row["id"])
    run_id = journal.create_run(plan, SystemClock().now())
    points.reach("run/created")
    return run_id, False


def execute(
    journal: Journal, run_id: str, *, watch: Watch = silent, processes: Processes | None = None
) -> str:
    """Be in charge of the run until it ends, and return its status. `processes` are closed then.

    The first INT, TERM or HUP cancels it and tears down; a second INT kills it.

    Raises:
        Busy: another process is in charge.
    """
    executor = processes or Processes(journal.home)
    supervisor = Supervisor(
        journal,
        run_id,
        executor,
        SystemClock(),
        cache_folder=paths.cache() / "steps",
        watch=watch,
    )
    try:
        with _signals(supervisor):
            status = supervisor.run()
    finally:
        executor.close()
    warden.dismiss(journal.folder(run_id))
    return status


@contextmanager
def _signals(supervisor: Supervisor) -> Iterator[None]:
    def asked(number: int, _frame: object) -> None:
        again = supervisor.request == "cancel" and number == signal.SIGINT
        supervisor.request = "kill" if again else supervisor.request or "cancel"

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    try:
        before = {number: signal.signal(number, asked) for number in numbers}
    except ValueError:  # not the main thread: whoever owns the process handles its signals
        yield
        return
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def cancel(home: Path, run_id: str, *, what: str = "cancel") -> str:
    """Stop a run and tear it down, whoever is in charge of it or nobody, and return its status.

    Raises:
        Busy: the process in charge does not react.
    """
    journal = Journal(home)
    try:
        journal.request(run_id, what, SystemClock().now())
        lock = journal.folder(run_id) / "lock"
        if locks.is_locked(lock):  # its supervisor has been asked and does it; the lock tells when
            locks.release(locks.wait_lock(lock))
        row = journal.run(run_id)
        if row["ended"] is not None:
            return str(row["status"])
        return execute(journal, run_id)
    finally:
        journal.close()


def reopen(journal: Journal, run_id: str) -> None:
    """Make an ended run ready to go on at the first step whose result no longer stands.

    A result stands when the step passed and nothing that it created has been torn down since. A stage that is
    renewed is done again for itself when one of its results does not stand.
    """
    plan = journal.plan(run_id)
    rows = {
        r["name"]: r["status"] for r in journal.rows("SELECT name, status FROM steps WHERE run=?", run_id)
    }
    torn = {
        r["step"] for r in journal.rows("SELECT step FROM ledger WHERE run=? AND state='removed'", run_id)
    }
    again = False
    with journal.transaction() as db:
        for stage in plan.stages:
            lost = {step.name for step in stage.steps if rows[step.name] != "pass" or step.name in torn}
            renew = stage.renewed and bool(lost) and not any(rows[name] == "fail" for name in lost)
            for step in stage.steps:
                again = again or (step.name in lost and not renew)
                if again or renew or stage.always:
                    db.execute(
                        "UPDATE steps SET status='pending', ended=NULL, due=0 WHERE run=? AND name=?",
                        (run_id, step.name),
                    )
            if again or renew or stage.always:
                db.execute(
                    "UPDATE stages SET status='pending', ended=NULL, error='' WHERE run=? AND name=?",
                    (run_id, stage.name),
                )
        db.execute("UPDATE runs SET status='running', ended=NULL, request='', error='' WHERE id=?", (run_id,))
        event(db, run_id, SystemClock().now(), "reopened", run_id, {})


def reap(journal: Journal) -> dict[str, str]:
    """Clean up after runs that nobody is in charge of; returns their ids, each with what went wrong or ''.

    Ended runs that still hold something are torn down; unfinished ones are cancelled when abandoned too long.
    What cannot be removed now stays in the ledger and keeps nobody from going on.
    """
    reaped = {}
    for row in journal.rows(
        "SELECT DISTINCT r.id, r.ended, r.touched FROM runs r LEFT JOIN ledger l ON l.run=r.id AND l.state<>'removed'"
        " WHERE r.ended IS NULL OR l.id IS NOT NULL"
    ):
        lock = journal.folder(row["id"]) / "lock"
        if locks.is_locked(lock):
            continue
        try:
            if row["ended"] is not None:
                release(journal, row["id"])
            elif SystemClock().now() - row["touched"] > journal.plan(row["id"]).abandon_after:
                cancel(journal.home, row["id"])
            else:
                continue
            reaped[row["id"]] = ""
        except SeatrialError as error:
            reaped[row["id"]] = str(error)
    return reaped


def release(journal: Journal, run_id: str) -> None:
    """Remove what an ended run still holds.

    Raises:
        SeatrialError: something cannot be removed, or another process is at it.
    """
    journal.folder(run_id).mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = locks.try_lock(journal.folder(run_id) / "lock")
    if lock is None:
        raise Busy(f"run {run_id} is in progress", fix=f"`seatrial runs logs -f {run_id}` follows it")
    try:
        ledger.release(journal, run_id, SystemClock())
    finally:
        locks.release(lock)


def describe(journal: Journal, run_id: str) -> dict[str, Any]:
    """A run as data: the shape that `--json` prints everywhere."""
    row = journal.run(run_id)
    plan = journal.plan(run_id)
    stages = {r["name"]: r for r in journal.rows("SELECT * FROM stages WHERE run=?", run_id)}
    steps = {r["name"]: r for r in journal.rows("SELECT * FROM steps WHERE run=?", run_id)}
    attempts: dict[str, list[dict[str, Any]]] = {}
    for attempt in journal.rows("SELECT * FROM attempts WHERE run=? ORDER BY step, n", run_id):
        attempts.setdefault(attempt["step"], []).append(_attempt(journal, attempt))
    lock = journal.folder(run_id) / "lock"
    interrupted = row["ended"] is None and not locks.is_locked(lock)
    return {
        "id": row["id"],
        "kind": row["kind"],
        "name": row["name"],
        "status": row["status"],
        "interrupted": interrupted,
        **_times(row),
        "error": row["error"] or None,
        "stages": [_stage(stages[stage.name], stage, steps, attempts) for stage in plan.stages],
        "artifacts": [artifact for row in steps.values() for artifact in json.loads(row["artifacts"])],
        "outputs": journal.outputs(run_id),
        "cost": {},
        "held": [f"{entry['kind']}:{entry['name']}" for entry in ledger.held(journal, run_id)],
    }


def _stage(
    row: Any, stage: Stage, steps: dict[str, Any], attempts: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    tried = [attempt for step in stage.steps for attempt in attempts.get(step.name, [])]
    return {
        "name": stage.name,
        "status": row["status"],
        **_times(row),
        "cached": bool(stage.steps) and all(steps[step.name]["cached"] for step in stage.steps),
        "log": tried[-1]["log"] if tried else None,
        "attempts": tried,
        "error": row["error"] or None,
        "steps": [_step(steps[step.name], attempts.get(step.name, [])) for step in stage.steps],
    }


def _step(row: Any, attempts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "status": row["status"],
        "cached": bool(row["cached"]),
        **_times(row),
        "error": row["error"] or None,
        "log": attempts[-1]["log"] if attempts else None,
        "attempts": attempts,
    }


def _attempt(journal: Journal, row: Any) -> dict[str, Any]:
    log = journal.attempt_folder(row["run"], row["step"], row["n"]) / "log"
    return {
        "step": row["step"],
        "n": row["n"],
        "status": row["status"],
        "outcome": row["outcome"] or None,
        **_times(row),
        "error": row["error"] or None,
        "retry": {"reason": row["reason"], "change": json.loads(row["change"])} if row["reason"] else None,
        "log": str(log),
    }


def _times(row: Any) -> dict[str, Any]:
    started, ended = row["started"], row["ended"]
    return {
        "started": iso(started) if started else None,
        "ended": iso(ended) if ended else None,
        "duration": round(ended - started, 3) if started and ended else None,
    }


def plan_data(plan: Plan) -> dict[str, Any]:
    """A plan as data, for `--dry-run --json`."""
    data: dict[str, Any] = msgspec.to_builtins(plan)
    return data
