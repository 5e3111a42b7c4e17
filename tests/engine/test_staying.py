"""Quick steps of one run share a process, as long as none of them shows in the next."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from seatrial.engine import identity
from seatrial.engine.plan import Plan, Stage, Step
from seatrial.engine.run import begin, describe, execute
from seatrial.engine.transitions import silent
from support.places import Place
from support.steps import call
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.engine.transitions import Watch


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    place = Place(tmp_path)
    place.use(monkeypatch)
    yield place
    place.kill_all()


def done(place: Place, *steps: Step, watch: Watch = silent) -> dict[str, Path]:
    """Run the steps one after the other; returns the folder of each one's first attempt."""
    journal = place.journal()
    plan = Plan(kind="test", name="x", subject="x", key="x", stages=(Stage(name="ALL", steps=steps),))
    run, _ = begin(journal, plan)
    status = execute(journal, run, watch=watch)
    assert status == "succeeded", describe(journal, run)["error"]
    return {step.name: journal.attempt_folder(run, step.name, 1) for step in steps}


def quick(place: Place, name: str, what: str = "", **fields: object) -> Step:
    inputs = {"folder": str(place.traces), "what": what}
    return call(name, "leave", inputs=inputs, contained=False, **fields)


def processes(place: Place, *names: str) -> set[str]:
    """The processes that the steps ran in, each with the one that looks after it."""
    return {(place.traces / name).read_text() for name in names}


def test_steps_that_leave_nothing_behind_share_a_process(place: Place) -> None:
    done(place, quick(place, "first"), quick(place, "second"), quick(place, "third"))

    assert len(processes(place, "first", "second", "third")) == 1


@pytest.mark.parametrize(
    "what",
    [
        "a process",
        "a process of its own session",
        "a thread",
        "an open file",
        "a variable",
        "another folder",
    ],
)
def test_a_step_that_leaves_something_behind_is_the_last_of_its_process(place: Place, what: str) -> None:
    done(place, quick(place, "first", what), quick(place, "second"))

    assert len(processes(place, "first", "second")) == 2
    until(lambda: not place.living(), "what was left behind is gone")


def test_a_contained_step_has_a_process_of_its_own(place: Place) -> None:
    own = call("second", "leave", inputs={"folder": str(place.traces)})

    done(place, quick(place, "first"), own, quick(place, "third"))

    first, second, third = ((place.traces / name).read_text() for name in ("first", "second", "third"))
    assert first == third
    assert second != first


def test_each_step_has_its_own_log_secrets_and_record(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_TOKEN", "horse-battery")

    folders = done(
        place,
        quick(place, "first", secrets={"TOKEN": "env:TEST_TOKEN"}),
        quick(place, "second"),
        quick(place, "third", secrets={"TOKEN": "env:TEST_TOKEN"}),
    )

    assert len(processes(place, *folders)) == 1
    assert {name: (folder / "log").read_text() for name, folder in folders.items()} == {
        "first": "this is first with ***\n",
        "second": "this is second with \n",
        "third": "this is third with ***\n",
    }
    records = [json.loads((folder / "exit.json").read_bytes()) for folder in folders.values()]
    assert [(one["code"], one["reason"], one["stderr"]) for one in records] == [(0, "exit", "")] * 3
    assert all(one["peak_memory"] > 1 << 20 for one in records)


@pytest.mark.parametrize("which", [0, 1], ids=["the program", "the shim"])
def test_a_shared_process_that_is_killed_while_it_waits_is_replaced(place: Place, which: int) -> None:
    def watch(kind: str, subject: str, _data: object) -> None:
        if (kind, subject) == ("step-ended", "first"):
            pid = int((place.traces / "first").read_text().split()[which])
            os.kill(pid, signal.SIGKILL)
            until(lambda: identity.of(pid) is None, "it is gone")

    done(place, quick(place, "first"), quick(place, "second"), watch=watch)

    assert len(processes(place, "first", "second")) == 2


def test_a_step_that_fails_is_tried_again_in_a_new_process(place: Place) -> None:
    journal = place.journal()
    plan = Plan(
        kind="test",
        name="x",
        subject="x",
        key="x",
        stages=(
            Stage(name="ONE", steps=(quick(place, "first"), quick(place, "bad", "a failure"))),
            Stage(name="TWO", steps=(quick(place, "after"),), always=True),
        ),
    )
    run, _ = begin(journal, plan)

    assert execute(journal, run) == "failed"

    assert "no such thing" in describe(journal, run)["error"]
    assert processes(place, "first") == processes(place, "bad")
    assert processes(place, "bad") != processes(place, "after")
