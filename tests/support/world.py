"""A simulated world: processes that advance one effect at a time, and a clock that only moves when asked.

The journal, the ledger, the scheduler and the supervisor in it are the real ones. A crash is an exception
raised at a named point: it unwinds the supervisor as SIGKILL would stop it, before anything else happens.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from seatrial.engine import ledger
from seatrial.engine.launch import Ended

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from seatrial.engine.journal import Journal
    from seatrial.engine.launch import Launch


class Crash(BaseException):
    """The supervisor, and the process that reached the point, are gone."""


@dataclass
class Process:
    """A simulated process: the operations it still has to do."""

    step: str
    run: str
    attempt: int
    operations: list[tuple[str, ...]]
    deadline: float
    service: bool = False
    state: str = "running"  # running, ended, vanished
    code: int = 0
    reason: str = "exit"
    ended: float = 0
    stopping: bool = False
    slots: tuple[str, ...] = ()


@dataclass
class World:
    """What exists outside: processes, resources, and effects that can be counted."""

    journal: Journal
    programs: dict[str, list[tuple[str, ...]]]
    now_: float = 1000.0
    processes: dict[Path, Process] = field(default_factory=dict)
    resources: set[str] = field(default_factory=set)
    effects: dict[str, int] = field(default_factory=dict)
    crash_at: int = -1
    reached: int = 0
    names: list[str] = field(default_factory=list)

    # The clock

    def now(self) -> float:
        return self.now_

    def sleep(self, seconds: float) -> None:
        self.now_ += seconds

    # Crash points

    def reach(self, name: str) -> None:
        index = self.reached
        self.reached += 1
        self.names.append(name)
        if index == self.crash_at:
            raise Crash(name)

    # The executor

    def start(self, launch: Launch, slots: object) -> None:
        kind = launch.what["type"]
        operations = list(self.programs.get(launch.step, []))
        if kind == "teardown":
            operations = [("release",)]
        self.processes[launch.folder] = Process(
            launch.step,
            launch.run,
            launch.attempt,
            operations,
            launch.deadline,
            service=kind == "service",
            slots=tuple(slots) if isinstance(slots, list) else (),
        )
        self.effects[f"start:{launch.step}"] = self.effects.get(f"start:{launch.step}", 0) + 1
        self.reach("world/started")

    def probe(self, folder: Path) -> Ended | bool:
        process = self.processes.get(folder)
        if process is None or process.state == "vanished":
            return False
        if process.state == "running":
            return True
        error = "the step failed" if process.code else ""
        return Ended(process.code, process.reason, process.ended, error, {"done": True}, [], "")

    def halt(self, folder: Path, *, hard: bool) -> bool:
        process = self.processes[folder]
        process.stopping = True
        if hard:
            self._end(process, -9, "stopped")
        return True

    def wait(self, folders: Iterable[Path], seconds: float) -> None:
        running = [p for p in map(self.processes.__getitem__, folders) if p.state == "running"]
        if running:
            self.advance(running[0])
        self.now_ += 0.01 if running else seconds

    def slots(self, names: Iterable[str], capacity: Mapping[str, int]) -> object | None:
        wanted = list(names)
        taken = [slot for p in self.processes.values() if p.state == "running" for slot in p.slots]
        if any(taken.count(name) >= capacity.get(name, 1) for name in wanted):
            return None
        return wanted

    def guard(self, run: str) -> None:
        """Wardens are processes of the real world."""

    def close(self) -> None:
        """Nothing to close."""

    # Processes

    def advance(self, process: Process) -> None:
        """Let a process do its next operation, or end."""
        if process.stopping:
            self._end(process, -2, "stopped")
        elif self.now_ >= process.deadline:
            self._end(process, -15, "timeout")
        elif not process.operations:
            if not process.service:
                self._end(process, 0, "exit")
        else:
            try:
                self._do(process, process.operations.pop(0))
            except Crash:
                process.state = "vanished"
                raise

    def _do(self, process: Process, operation: tuple[str, ...]) -> None:
        verb, *names = operation
        if verb == "create":  # as steps must do it: ledger first
            self._intend(process, names[0])
            self.reach("world/create")
            self.resources.add(names[0])
            self.reach("world/created")
        elif verb == "create-first":  # the mutant
            self.resources.add(names[0])
            self.reach("world/created")
            self._intend(process, names[0])
        elif verb == "effect":
            self.effects[names[0]] = self.effects.get(names[0], 0) + 1
            self.reach("world/effect")
        elif verb == "fail":
            self._end(process, 1, "exit")
        elif verb == "release":
            removers: dict[str, Any] = {"resource": self._remove, "process": self._remove_process}
            ledger.release(self.journal, process.run, self, removers=removers, reach=self.reach)

    def _intend(self, process: Process, name: str) -> None:
        ledger.intend(
            self.journal, process.run, process.step, process.attempt, "resource", name, {}, self.now_
        )
        self.reach("ledger/intended")

    def _remove(self, journal: Journal, run_id: str, name: str, data: dict[str, Any]) -> None:
        self.resources.discard(name)
        self.reach("world/removed")

    def _remove_process(self, journal: Journal, run_id: str, name: str, data: dict[str, Any]) -> None:
        process = self.processes.get(journal.folder(run_id) / "steps" / name)
        if process is not None and process.state == "running":
            self._end(process, -15, "stopped")
        self.reach("world/removed")

    def _end(self, process: Process, code: int, reason: str) -> None:
        process.state, process.code, process.reason, process.ended = "ended", code, reason, self.now_

    def meanwhile(self, how: str) -> None:
        """What processes do while nobody supervises them: nothing, everything they can, or die."""
        for process in self.processes.values():
            while (
                process.state == "running" and how == "finish" and (process.operations or not process.service)
            ):
                self.advance(process)
            if process.state == "running" and how == "die":
                process.state = "vanished"
        self.now_ += 1
