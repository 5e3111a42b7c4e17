"""The journal: what every run has done, in one SQLite file, one transaction per transition.

WAL with synchronous=FULL, so a committed transition survives a power cut. All writing transactions are
BEGIN IMMEDIATE: a deferred one that wants to write later fails at once whatever the timeout. Reads are
short, so the write-ahead log cannot grow behind an open one.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.engine import plan as plans
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.engine.plan import Plan

FILE = "seatrial.db"
VERSION = 1

_SCHEMA = """
CREATE TABLE runs (
  id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT NOT NULL, subject TEXT NOT NULL,
  key TEXT NOT NULL, status TEXT NOT NULL, created REAL NOT NULL, started REAL, ended REAL, epoch INTEGER NOT NULL DEFAULT 0,
  request TEXT NOT NULL DEFAULT '', error TEXT NOT NULL DEFAULT '', touched REAL NOT NULL
) STRICT;
CREATE TABLE plans (run TEXT PRIMARY KEY REFERENCES runs (id), plan TEXT NOT NULL) STRICT;
CREATE INDEX runs_open ON runs (kind, subject) WHERE ended IS NULL;
CREATE INDEX runs_by_time ON runs (created);
CREATE TABLE stages (
  run TEXT NOT NULL REFERENCES runs (id), name TEXT NOT NULL, status TEXT NOT NULL,
  started REAL, ended REAL, error TEXT NOT NULL DEFAULT '', PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE steps (
  run TEXT NOT NULL REFERENCES runs (id), name TEXT NOT NULL, status TEXT NOT NULL, cached INTEGER NOT NULL DEFAULT 0,
  attempt INTEGER NOT NULL DEFAULT 0, due REAL NOT NULL DEFAULT 0, started REAL, ended REAL,
  error TEXT NOT NULL DEFAULT '', outputs TEXT NOT NULL DEFAULT '{}',
  artifacts TEXT NOT NULL DEFAULT '[]', PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts (
  run TEXT NOT NULL REFERENCES runs (id), step TEXT NOT NULL, n INTEGER NOT NULL, token TEXT NOT NULL,
  status TEXT NOT NULL, outcome TEXT NOT NULL DEFAULT '', exit INTEGER, started REAL NOT NULL, ended REAL,
  error TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '', change TEXT NOT NULL DEFAULT '{}',
  log_bytes INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (run, step, n)
) STRICT, WITHOUT ROWID;
CREATE TABLE ledger (
  id INTEGER PRIMARY KEY, run TEXT NOT NULL REFERENCES runs (id), step TEXT NOT NULL, kind TEXT NOT NULL,
  name TEXT NOT NULL, data TEXT NOT NULL, state TEXT NOT NULL, intended REAL NOT NULL, removed REAL,
  error TEXT NOT NULL DEFAULT '', UNIQUE (run, kind, name)
) STRICT;
CREATE INDEX ledger_open ON ledger (run) WHERE state <> 'removed';
CREATE TABLE events (
  seq INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, at REAL NOT NULL, type TEXT NOT NULL,
  subject TEXT NOT NULL, data TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_run ON events (run, seq);
"""

_NETWORK = {
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "smbfs",
    "afs",
    "ceph",
    "glusterfs",
    "lustre",
    "fuse.sshfs",
    "9p",
    "ncpfs",
}


class Superseded(SeatrialError):  # noqa: N818 - a state, not a mistake
    """Another supervisor has taken this run over; this one must stop without touching anything."""


class Journal:
    """One connection to the journal below `home`. Not shared between processes: a forked child opens its own."""

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        """Open or make the journal.

        `durable=False` leaves out waiting for the disk: for tests that simulate crashes of processes only.

        Raises:
            SeatrialError: the folder is on a network file system, or holds a file of a newer version.
        """
        self.home = home
        self.path = home / FILE
        if not self.path.exists():
            refuse_network(home)
            os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
        try:
            self._db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            self._db.row_factory = sqlite3.Row
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'OFF'}")
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise _unusable(self.path, error) from error

    def _prepare(self) -> None:
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        if version == VERSION:
            return
        if version > VERSION:
            raise SeatrialError(
                "the state was written by a newer Seatrial", where=str(self.path), fix="upgrade this Seatrial"
            )
        with self.transaction() as db:
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _SCHEMA.split(";"):
                    if statement.strip():
                        db.execute(statement)
                db.execute(f"PRAGMA user_version={VERSION}")

    def close(self) -> None:
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One transition: everything in the block or nothing."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise _unusable(self.path, error) from error

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """All rows of a short read."""
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            raise _unusable(self.path, error) from error

    def changes(self) -> int:
        """A number that differs when another connection has written since."""
        value: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        return value

    # Runs

    def create_run(self, plan: Plan, now: float, *, run_id: str | None = None) -> str:
        """Write a new run down and return its id: the time, and six random digits."""
        run_id = run_id or time.strftime("%Y%m%d-%H%M%S-", time.gmtime(now)) + os.urandom(3).hex()
        with self.transaction() as db:
            db.execute(
                "INSERT INTO runs (id, kind, name, subject, key, status, created, touched)"
                " VALUES (?,?,?,?,?,'running',?,?)",
                (run_id, plan.kind, plan.name, plan.subject, plan.key, now, now),
            )
            # A table of its own: a row is rewritten whole, and this one is long.
            db.execute("INSERT INTO plans (run, plan) VALUES (?,?)", (run_id, plans.to_json(plan).decode()))
            for stage in plan.stages:
                db.execute(
                    "INSERT INTO stages (run, name, status) VALUES (?,?,'pending')", (run_id, stage.name)
                )
                for step in stage.steps:
                    db.execute(
                        "INSERT INTO steps (run, name, status) VALUES (?,?,'pending')", (run_id, step.name)
                    )
            event(db, run_id, now, "run-created", run_id, {"kind": plan.kind, "name": plan.name})
        return run_id

    def run(self, run_id: str) -> sqlite3.Row:
        """The row of a run.

        Raises:
            SeatrialError: there is no such run.
        """
        found = self.rows("SELECT * FROM runs WHERE id=?", run_id)
        if not found:
            raise SeatrialError(f"there is no run {run_id!r}", fix="`seatrial runs list` shows the runs")
        return found[0]

    def find(self, reference: str) -> str:
        """The id of the run that `reference` names: an id, a unique part of one, or `latest`.

        Raises:
            SeatrialError: none or several fit.
        """
        if reference == "latest":
            found = self.rows("SELECT id FROM runs ORDER BY created DESC, id DESC LIMIT 1")
        else:
            found = self.rows("SELECT id FROM runs WHERE id=?", reference) or self.rows(
                "SELECT id FROM runs WHERE instr(id, ?) > 0 LIMIT 2", reference
            )
        if len(found) != 1:
            problem = "there is no run" if not found else "several runs fit"
            raise SeatrialError(f"{problem} {reference!r}", fix="`seatrial runs list` shows the runs")
        return str(found[0]["id"])

    def plan(self, run_id: str) -> Plan:
        """The plan that was frozen with the run."""
        found = self.rows("SELECT plan FROM plans WHERE run=?", self.run(run_id)["id"])
        return plans.from_json(found[0]["plan"])

    def request(self, run_id: str, what: str, now: float) -> None:
        """Ask whoever is in charge of the run to `cancel` or `kill` it. A kill is never softened again."""
        with self.transaction() as db:
            db.execute(
                "UPDATE runs SET request=? WHERE id=? AND ended IS NULL AND request<>'kill'",
                (what, run_id),
            )
            event(db, run_id, now, "requested", run_id, {"what": what})

    def folder(self, run_id: str) -> Path:
        """Where the run keeps its files, 0700."""
        return self.home / "runs" / run_id

    def attempt_folder(self, run_id: str, step: str, attempt: int) -> Path:
        """Where one attempt keeps its log and says who it is and how it ended."""
        return self.folder(run_id) / "steps" / f"{step}.{attempt}"

    def outputs(self, run_id: str) -> dict[str, dict[str, Any]]:
        """What each passed step has put out."""
        found = self.rows("SELECT name, outputs FROM steps WHERE run=? AND status='pass'", run_id)
        return {row["name"]: json.loads(row["outputs"]) for row in found}


def event(
    db: sqlite3.Connection, run_id: str, now: float, kind: str, subject: str, data: dict[str, Any]
) -> None:
    """Append to the run's history, inside the transaction of the change it tells of."""
    db.execute(
        "INSERT INTO events (run, at, type, subject, data) VALUES (?,?,?,?,?)",
        (run_id, now, kind, subject, json.dumps(data, separators=(",", ":"))),
    )


def check_epoch(db: sqlite3.Connection, run_id: str, epoch: int, now: float) -> None:
    """Refuse a write by a supervisor that is no longer in charge, and note when one that is last wrote."""
    if db.execute("UPDATE runs SET touched=? WHERE id=? AND epoch=?", (now, run_id, epoch)).rowcount != 1:
        raise Superseded(f"run {run_id} has been taken over by another process")


def refuse_network(folder: Path) -> None:
    """SQLite's locks and ours do not hold on network file systems.

    Raises:
        SeatrialError: `folder` is on one.
    """
    kind = file_system(folder)
    if kind in _NETWORK:
        raise SeatrialError(
            f"the state folder is on a network file system ({kind})",
            where=str(folder),
            why="locks on network file systems do not hold, so two processes could own one run",
            fix="set SEATRIAL_HOME to a folder on a local disk",
        )


def file_system(folder: Path) -> str:
    """The type of the file system that holds `folder`, as in /proc/self/mountinfo (`ext4`, `nfs4` …), or ''."""
    device = folder.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    for line in lines:
        fields, _, tail = line.partition(" - ")
        if fields.split(" ")[2] == wanted:
            return tail.split(" ")[0]
    return ""


def _unusable(path: Path, error: sqlite3.Error) -> SeatrialError:
    text = str(error)
    if "full" in text:
        fix = "free space on that file system, then run the same command again: it continues"
    elif "locked" in text:
        fix = "another process is writing for a long time; run the same command again"
    elif "readonly" in text or "unable to open" in text:
        fix = "check the permissions of the folder, or set SEATRIAL_HOME"
    else:
        fix = "move the file away to start with an empty state"
    return SeatrialError(f"the journal cannot be used: {text}", where=str(path), fix=fix)
