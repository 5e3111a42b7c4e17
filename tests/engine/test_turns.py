"""Steps that wait for one resource get it in the order of the plan."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.clock import SystemClock
from seatrial.engine.journal import Journal
from seatrial.engine.plan import Call, Plan, Stage, Step
from seatrial.engine.run import begin
from seatrial.engine.supervise import Supervisor
from support.executors import Instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from seatrial.engine.launch import Launch


class OneSlot(Instant):
    """The one slot is free again only after somebody has asked for it in vain."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.free = True

    def start(self, launch: Launch, slots: object) -> None:
        self.started.append(launch.step)
        self.free = False

    def slots(self, names: Iterable[str], capacity: Mapping[str, int]) -> object | None:
        free, self.free = self.free, True
        return [] if free else None


def test_a_slot_that_gets_free_meanwhile_is_not_taken_by_a_later_step(tmp_path: Path) -> None:
    names = ("a", "b", "c", "d")
    steps = tuple(Step(name=name, action=Call(target="x:y"), needs=(), limits=("one",)) for name in names)
    plan = Plan(
        kind="test", name="x", subject="x", key="x", stages=(Stage(name="S", steps=steps),), limits={"one": 1}
    )
    journal, executor = Journal(tmp_path, durable=False), OneSlot()
    run, _ = begin(journal, plan)

    status = Supervisor(journal, run, executor, SystemClock(), cache_folder=tmp_path / "cache").run()

    assert status == "succeeded"
    assert executor.started == list(names)
