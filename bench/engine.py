"""What the engine costs: bookkeeping of one durable step, a real process behind its shim, following a log.

Budgets: 0.5 ms median for bookkeeping, 100 MB/s for a followed log. Bookkeeping is measured with the real
journal (WAL, synchronous=FULL) and an executor whose processes end at once; processes are compared, pair by
pair, with starting the same program by `subprocess`.
"""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from seatrial.clock import SystemClock
from seatrial.engine.journal import Journal
from seatrial.engine.plan import Call, Command, Plan, Stage, Step
from seatrial.engine.run import begin, execute
from seatrial.engine.supervise import Supervisor
from support.executors import Instant

STEPS = 300


def plan(steps: int, *, real: bool) -> Plan:
    action = Command(argv=["true"]) if real else Call(target="x:y")
    made = tuple(Step(name=f"s{number}", action=action) for number in range(steps))
    return Plan(
        kind="bench", name="bench", subject=f"bench-{real}", key="k", stages=(Stage(name="ONE", steps=made),)
    )


def bookkeeping(home: Path) -> list[float]:
    """Milliseconds for each step, from being started to the next one's start."""
    journal = Journal(home)
    moments: list[float] = []

    def watch(kind: str, _subject: str, _data: object) -> None:
        if kind == "step-ended":
            moments.append(time.perf_counter())

    run = journal.create_run(plan(STEPS, real=False), time.time())
    Supervisor(journal, run, Instant(), SystemClock(), cache_folder=home, watch=watch).run()
    journal.close()
    return [(later - earlier) * 1000 for earlier, later in itertools.pairwise(moments)]


def commits(home: Path) -> list[float]:
    """Milliseconds for two bare transactions of one row each: what a durable step cannot go below."""
    import sqlite3

    db = sqlite3.connect(home / "bare.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE t (x)")
    found = []
    for number in range(STEPS):
        start = time.perf_counter()
        for _ in range(2):
            db.execute("BEGIN IMMEDIATE")
            db.execute("INSERT INTO t VALUES (?)", (number,))
            db.execute("COMMIT")
        found.append((time.perf_counter() - start) * 1000)
    db.close()
    return found


def processes(home: Path, steps: int) -> tuple[list[float], list[float]]:
    """Milliseconds for `true` as a step, and by subprocess right after each run of steps."""
    journal = Journal(home)
    moments: list[float] = []
    run, _ = begin(journal, plan(steps, real=True))
    execute(
        journal,
        run,
        watch=lambda kind, _s, _d: moments.append(time.perf_counter()) if kind == "step-ended" else None,
    )
    journal.close()
    plain = []
    for _ in range(steps):
        start = time.perf_counter()
        subprocess.run(["true"], check=True)
        plain.append((time.perf_counter() - start) * 1000)
    return [(b - a) * 1000 for a, b in itertools.pairwise(moments)], plain


def follow(home: Path, megabytes: int) -> float:
    """MB/s of `seatrial runs logs` for one step's log, with the interpreter's start included."""
    journal = Journal(home)
    line = "x" * 99
    script = f"yes {line} | head -c {megabytes * 1_000_000}"
    step = Step(name="talk", action=Command(argv=["sh", "-c", script]))
    talk = Plan(
        kind="bench", name="talk", subject="talk", key="k", stages=(Stage(name="ONE", steps=(step,)),)
    )
    run, _ = begin(journal, talk)
    execute(journal, run)
    journal.close()
    start = time.perf_counter()
    command = [sys.executable, "-m", "seatrial", "runs", "logs", "-f", run, "talk"]
    done = subprocess.run(command, env={"SEATRIAL_HOME": str(home)}, stdout=subprocess.PIPE, check=True)
    assert len(done.stdout) == megabytes * 1_000_000
    return megabytes / (time.perf_counter() - start)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        bare, book = commits(home), bookkeeping(home)
        steps, plain = processes(home, 60)
        speed = follow(home, 200)
    print(f"{'bookkeeping per durable step':40} {statistics.median(book):8.2f} ms   budget 0.50 ms")
    print(f"{'two bare commits, the floor of it':40} {statistics.median(bare):8.2f} ms")
    print(f"{'`true` as a step (shim, log, journal)':40} {statistics.median(steps):8.2f} ms")
    print(f"{'`true` by subprocess':40} {statistics.median(plain):8.2f} ms")
    print(f"{'a followed log of 200 MB':40} {speed:8.0f} MB/s budget 100 MB/s")


if __name__ == "__main__":
    main()
