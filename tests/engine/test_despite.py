"""A stage runs despite the failure of those that it names, and a reopened run goes on at the first failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.engine.journal import Journal
from seatrial.engine.plan import Call, Plan, Service, Stage, Step, Teardown, check
from seatrial.engine.run import reopen
from seatrial.engine.supervise import Supervisor
from seatrial.errors import UsageError
from support.world import World

if TYPE_CHECKING:
    from pathlib import Path


def step(name: str) -> Step:
    return Step(name=name, action=Call(target="x:y"))


PLAN = Plan(
    kind="test",
    name="test",
    subject="s",
    key="k",
    stages=(
        Stage(
            name="PROVISION",
            steps=(step("prepare"), Step(name="container", action=Service(argv=["x"]))),
            renewed=True,
        ),
        Stage(name="FETCH", steps=(step("fetch"),)),
        Stage(name="BUILD", steps=(step("build"),)),
        Stage(name="AFTER", steps=(step("after"),), despite=("BUILD",)),
        Stage(name="UPLOAD", steps=(step("upload"),), despite=("BUILD",)),
        Stage(name="TEARDOWN", always=True, steps=(Step(name="teardown", action=Teardown()),)),
    ),
)
SERVICE: dict[str, list[tuple[str, ...]]] = {"prepare": [("create", "folder")]}


def run(folder: Path, journal: Journal, run_id: str, **programs: list[tuple[str, ...]]) -> World:
    world = World(journal, {**SERVICE, **programs})
    Supervisor(journal, run_id, world, world, cache_folder=folder / "cache", reach=world.reach).run()
    return world


def statuses(journal: Journal, run_id: str) -> dict[str, str]:
    return {row["name"]: row["status"] for row in journal.rows("SELECT * FROM stages WHERE run=?", run_id)}


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path, durable=False)


def test_stages_after_a_failure(tmp_path: Path, journal: Journal) -> None:
    run_id = journal.create_run(check(PLAN), 1.0)
    run(tmp_path, journal, run_id, build=[("fail",)])
    assert statuses(journal, run_id) == {
        **dict.fromkeys(("PROVISION", "FETCH", "AFTER", "UPLOAD", "TEARDOWN"), "pass"),
        "BUILD": "fail",
    }
    assert journal.run(run_id)["status"] == "failed"


def test_a_failure_that_is_not_named_skips(tmp_path: Path, journal: Journal) -> None:
    run_id = journal.create_run(check(PLAN), 1.0)
    run(tmp_path, journal, run_id, build=[("fail",)], after=[("fail",)])
    assert statuses(journal, run_id)["AFTER"] == "fail"
    assert statuses(journal, run_id)["UPLOAD"] == "skip"


def test_a_reopened_run_renews_what_is_gone_and_repeats_what_ran_despite_the_failure(
    tmp_path: Path, journal: Journal
) -> None:
    run_id = journal.create_run(check(PLAN), 1.0)
    run(tmp_path, journal, run_id, build=[("fail",)])
    reopen(journal, run_id)
    again = run(tmp_path, journal, run_id)
    assert again.effects == {
        f"start:{name}": 1 for name in ("prepare", "container", "build", "after", "upload", "teardown")
    }
    assert journal.run(run_id)["status"] == "succeeded"
    assert not again.resources


def test_a_stage_can_only_run_despite_an_earlier_one() -> None:
    wrong = Plan(
        kind="t", name="t", subject="s", key="k", stages=(Stage(name="A", steps=(), despite=("B",)),)
    )
    with pytest.raises(UsageError, match="does not come before it"):
        check(wrong)
