"""Crash the engine at every commit and every effect, then once more, then resume or cancel: nothing may leak.

A schedule is: the point of the first crash, what the orphaned processes do meanwhile (nothing, finish, die),
what the operator does next (run the same command, cancel, kill and let the reaper come), and the point of
a second crash during that, followed by the same again.
"""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from seatrial import locks
from seatrial.engine import ledger
from seatrial.engine.journal import Journal
from seatrial.engine.plan import Call, Plan, Ref, Retry, Service, Stage, Step, Teardown
from seatrial.engine.supervise import Supervisor
from support.world import Crash, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.engine.launch import Launch

MEANWHILE = ("nothing", "finish", "die")
NEXT = ("resume", "cancel", "kill")
TEARDOWN = Stage(name="TEARDOWN", always=True, steps=(Step(name="teardown", action=Teardown()),))


def call(name: str, **fields: Any) -> Step:
    return Step(name=name, action=Call(target="x:y", inputs=fields.pop("inputs", {})), **fields)


PLAN = Plan(
    kind="test",
    name="test",
    subject="s",
    key="k",
    stages=(
        Stage(name="BUILD", steps=(call("tree"), call("image", inputs={"after": Ref("tree", "done")}))),
        Stage(name="SERVE", steps=(Step(name="server", action=Service(argv=["x"])), call("ready"))),
        Stage(name="PUSH", steps=(call("push", needs=()), call("sign", needs=(), retries=(Retry(times=1),)))),
        TEARDOWN,
    ),
)
PROGRAMS: dict[str, list[tuple[str, ...]]] = {
    "tree": [("create", "tree")],
    "image": [("create", "layers"), ("effect", "image")],
    "ready": [("effect", "ready")],
    "push": [("effect", "push")],
    "sign": [("create", "key"), ("effect", "sign")],
}


class LedgerAfterCreating(Supervisor):
    """Mutant: the service exists before anything says so."""

    def _create(self, step: Step, launch: Launch, slots: object) -> None:
        self.executor.start(launch, slots)
        self.reach("step/forked")
        self.write.attempt(step, launch)


class ResultBeforeEffect(Supervisor):
    """Mutant: the step counts as passed before it has done anything."""

    def _create(self, step: Step, launch: Launch, slots: object) -> None:
        self.write.attempt(step, launch)
        if not isinstance(step.action, Service):
            self.write.settle(step, "pass", "", {"done": True})
        self.executor.start(launch, slots)


class Schedules:
    """One journal for many runs in many worlds: what a schedule may leave behind is counted per run."""

    def __init__(self, journal: Journal, supervisor: type[Supervisor], programs: dict[str, Any]) -> None:
        self.journal = journal
        self.kind = supervisor
        self.programs = programs
        self.numbers = itertools.count()
        self.passed: set[str] = set()
        self.problems: list[str] = []

    def world(self, crash_at: int) -> tuple[World, str]:
        self.passed = set()
        world = World(self.journal, self.programs, crash_at=crash_at)
        return world, self.journal.create_run(PLAN, world.now(), run_id=f"r{next(self.numbers)}")

    def supervise(self, world: World, run: str) -> bool:
        """Run until the end (True) or a crash (False)."""
        supervisor = self.kind(
            self.journal,
            run,
            world,
            world,
            cache_folder=Path("/nonexistent"),
            watch=self.watch,
            reach=world.reach,
        )
        try:
            supervisor.run()
        except Crash:
            return False
        return True

    def watch(self, kind: str, subject: str, data: dict[str, Any]) -> None:
        if kind == "step-ended" and data["status"] == "pass":
            self.passed.add(subject)
        if kind == "service-lost":
            self.passed.discard(subject)
        if kind == "step-started" and subject in self.passed and subject not in ("server", "ready"):
            self.problems.append(f"{subject} ran again after it had passed")

    def go_on(self, world: World, run: str, operator: str) -> bool:
        if operator != "resume":
            self.journal.request(run, operator, world.now())
        if not self.supervise(world, run):
            return False
        if operator == "kill":  # nothing was torn down; the reaper does it from the ledger
            removers: dict[str, Any] = {"resource": world._remove, "process": world._remove_process}
            try:
                ledger.release(self.journal, run, world, removers=removers, reach=world.reach)
            except Crash:
                return False
        return True

    def points(self) -> int:
        world, run = self.world(-1)
        assert self.supervise(world, run)
        self.judge(world, run, "clean")
        return world.reached

    def play(self, first: int, meanwhile: str, operator: str, second: int) -> int:
        """Play one schedule; returns how many points were passed after the first crash."""
        world, run = self.world(first)
        label = f"crash {first}, {meanwhile}, {operator}, crash {second}"
        if not self.supervise(world, run):
            world.crash_at = -1
            world.meanwhile(meanwhile)
            world.reached, world.crash_at = 0, second
            if not self.go_on(world, run, operator):
                world.crash_at = -1
                world.meanwhile("nothing")
                assert self.go_on(world, run, operator)
        after = world.reached
        self.judge(world, run, label)
        return after

    def judge(self, world: World, run: str, label: str) -> None:
        row = self.journal.run(run)
        problems = self.problems + [f"left behind: {name}" for name in sorted(world.resources)]
        problems += [f"still running: {p.step}" for p in world.processes.values() if p.state == "running"]
        problems += [f"ledger still holds {entry['name']}" for entry in ledger.held(self.journal, run)]
        if row["ended"] is None:
            problems.append("the run did not end")
        steps = self.journal.rows("SELECT name, status FROM steps WHERE run=?", run)
        problems += [f"{s['name']} is {s['status']}" for s in steps if s["status"] in ("pending", "running")]
        for step in steps:
            wanted = [op[1] for op in PROGRAMS.get(step["name"], []) if op[0] == "effect"]
            if step["status"] == "pass" and any(effect not in world.effects for effect in wanted):
                problems.append(f"{step['name']} passed without its effect")
        self.problems = []
        if problems:
            raise LeakError(f"{label}: {'; '.join(problems)}")


class LeakError(AssertionError):
    """A schedule that ends badly."""


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    # In memory where there is any: these crashes are of processes, not of the machine.
    base = "/dev/shm" if Path("/dev/shm").is_dir() else str(tmp_path)
    with tempfile.TemporaryDirectory(dir=base) as folder:
        journal = Journal(Path(folder), durable=False)
        yield journal
        journal.close()


def every_schedule(schedules: Schedules, operators: tuple[str, ...], *, seconds: bool) -> int:
    count = 0
    for first in range(schedules.points()):
        for meanwhile, operator in itertools.product(MEANWHILE, operators):
            after = schedules.play(first, meanwhile, operator, -1)
            count += 1
            # A second crash at every fourth point keeps this short; the offset differs per first crash,
            # so that together all pairs of kinds of points occur.
            for second in range(first % 4, after, 4) if seconds else ():
                schedules.play(first, meanwhile, operator, second)
                count += 1
    return count


def test_every_crash_then_resume_cancel_or_kill_leaks_nothing(journal: Journal) -> None:
    count = every_schedule(Schedules(journal, Supervisor, PROGRAMS), NEXT, seconds=True)
    print(f"{count} schedules")
    assert count > 2000


def test_the_suite_catches_a_ledger_written_after_creating_a_service(journal: Journal) -> None:
    with pytest.raises(LeakError, match="still running"):
        every_schedule(Schedules(journal, LedgerAfterCreating, PROGRAMS), NEXT, seconds=False)


def test_the_suite_catches_a_step_that_creates_before_it_writes_down(journal: Journal) -> None:
    careless = PROGRAMS | {"image": [("create-first", "layers"), ("effect", "image")]}
    with pytest.raises(LeakError, match="left behind: layers"):
        every_schedule(Schedules(journal, Supervisor, careless), ("cancel",), seconds=False)


def test_a_suite_that_only_resumes_would_miss_the_ledger_mutant(journal: Journal) -> None:
    """Why cancelling belongs to the schedules: a resumed step creates the same thing again and then owns it."""
    careless = PROGRAMS | {"image": [("create-first", "layers"), ("effect", "image")]}
    assert every_schedule(Schedules(journal, Supervisor, careless), ("resume",), seconds=False) > 100


def test_the_suite_catches_a_result_journalled_before_the_effect(journal: Journal) -> None:
    with pytest.raises(LeakError, match=r"passed without its effect|still running"):
        every_schedule(Schedules(journal, ResultBeforeEffect, PROGRAMS), NEXT, seconds=False)


def test_an_operator_who_cancels_at_any_point_gets_a_stopped_run_with_nothing_left(journal: Journal) -> None:
    schedules = Schedules(journal, Supervisor, PROGRAMS)
    for point in range(schedules.points()):
        world, run = schedules.world(-1)
        reach = world.reach

        def cancel_there(
            name: str, *, at: int = point, world: World = world, run: str = run, reach: Any = reach
        ) -> None:
            if world.reached == at:
                schedules.journal.request(run, "cancel", world.now())
            reach(name)

        world.reach = cancel_there  # type: ignore[method-assign]
        assert schedules.supervise(world, run)
        schedules.judge(world, run, f"cancel at {point} ({world.names[point]})")


def test_a_living_supervisor_keeps_others_out(journal: Journal) -> None:
    schedules = Schedules(journal, Supervisor, PROGRAMS)
    world, run = schedules.world(-1)
    folder = journal.folder(run)
    folder.mkdir(parents=True)
    with locks.locked(folder / "lock"), pytest.raises(Exception, match="in progress"):
        schedules.supervise(world, run)
