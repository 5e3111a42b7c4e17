"""Runs of real processes, really killed: what the crash schedules prove in the simulation, on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from seatrial.engine import identity, namespaces
from seatrial.engine.points import ENGINE_POINTS
from seatrial.engine.run import begin, cancel, describe, execute, reap, reopen
from support.places import Place
from support.steps import plan
from support.waiting import remove, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Engine(Place):
    """A place where test plans run."""

    def run_plan(self, name: str, **env: str) -> int:
        process = self.start_plan(name, **env)
        process.communicate(timeout=60)
        return process.returncode

    def start_plan(self, name: str, **env: str) -> subprocess.Popen[bytes]:
        return self.start("support.steps", [name, str(self.traces)], **env)


def gone(place: Place) -> None:
    until(lambda: not place.living(), "all processes are gone")


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    place = Engine(tmp_path)
    place.use(monkeypatch)
    yield place
    place.kill_all()


@pytest.fixture(params=["contained", "subreaper"])
def containment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways to keep a step's processes together; without root there is only the second."""
    if request.param == "contained" and not namespaces.available():
        pytest.skip("this machine lets us make no process namespaces (root is needed)")
    if request.param == "subreaper":
        monkeypatch.setenv("SEATRIAL_NO_NAMESPACES", "1")
    return str(request.param)


def test_a_run_that_is_not_disturbed(place: Engine) -> None:
    (place.traces / "go").touch()
    assert place.run_plan("long") == 0
    assert (place.traces / "work").read_text().count("\n") == 1
    gone(place)
    assert list((place.home / "runs").glob("*/work/*")) == []


def test_a_killed_supervisor_is_succeeded_by_one_that_attaches_to_the_running_step(
    place: Engine, containment: str
) -> None:
    env = {"SEATRIAL_NO_NAMESPACES": "1"} if containment == "subreaper" else {}
    first = place.start_plan("long", **env)
    until((place.traces / "hidden").exists, "hidden is there")
    kill(first)
    shims = place.living()
    second = place.start_plan("long", **env)
    journal = place.journal()
    run = journal.find("latest")
    until(lambda: journal.run(run)["epoch"] == 2, "the second took over")
    (place.traces / "go").touch()
    second.communicate(timeout=60)
    assert second.returncode == 0
    data = describe(journal, run)
    assert [len(step["attempts"]) for stage in data["stages"] for step in stage["steps"]] == [1] * 7
    assert (place.traces / "build").read_text().count("\n") == 1
    assert shims
    gone(place)


def test_killing_everything_and_running_again_completes(place: Engine, containment: str) -> None:
    env = {"SEATRIAL_NO_NAMESPACES": "1"} if containment == "subreaper" else {}
    first = place.start_plan("long", **env)
    until((place.traces / "hidden").exists, "hidden is there")
    (place.traces / "hidden").unlink()
    place.kill_all()
    first.communicate()
    (place.traces / "go").touch()
    assert place.run_plan("long", **env) == 0
    gone(place)
    journal = place.journal()
    lost = journal.rows("SELECT outcome FROM attempts WHERE step='hide' AND n=1")
    assert [row["outcome"] for row in lost] == ["lost"]


@pytest.mark.parametrize("point", ENGINE_POINTS)
def test_a_crash_at_each_named_point_and_the_same_command_again(place: Engine, point: str) -> None:
    plan_name = "cached" if point == "step/cached" else "long"
    (place.traces / "go").touch()
    assert place.run_plan(plan_name, SEATRIAL_CRASH=point) == -signal.SIGKILL, f"{point} was not reached"
    assert place.run_plan(plan_name) == 0
    gone(place)
    assert list((place.home / "runs").glob("*/work/*")) == []


def test_an_interrupt_stops_the_step_and_tears_down(place: Engine) -> None:
    process = place.start_plan("long")
    until((place.traces / "hidden").exists, "hidden is there")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    gone(place)
    journal = place.journal()
    data = describe(journal, journal.find("latest"))
    assert [stage["status"] for stage in data["stages"]] == ["pass", "pass", "stopped", "pass"]
    assert data["held"] == []
    assert list((place.home / "runs").glob("*/work/*")) == []


def test_cancelling_a_run_whose_supervisor_is_dead_tears_it_down(place: Engine) -> None:
    process = place.start_plan("long")
    until((place.traces / "hidden").exists, "hidden is there")
    kill(process)
    journal = place.journal()
    assert cancel(place.home, journal.find("latest")) == "stopped"
    gone(place)
    assert describe(journal, journal.find("latest"))["held"] == []


def test_a_kill_tears_nothing_down_and_the_reaper_does(place: Engine) -> None:
    process = place.start_plan("long")
    until((place.traces / "hidden").exists, "hidden is there")
    journal = place.journal()
    run = journal.find("latest")
    assert cancel(place.home, run, what="kill") == "stopped"
    process.communicate(timeout=120)
    assert describe(journal, run)["held"] == ["process:service.1", "tree:built"]
    assert (journal.folder(run) / "work" / "built" / "file").exists()
    assert reap(journal) == {run: ""}
    gone(place)
    assert not (journal.folder(run) / "work" / "built").exists()


def test_a_run_that_nobody_resumes_is_torn_down_by_its_warden(place: Engine) -> None:
    process = place.start_plan("long", TEST_ABANDON="0.3")
    until((place.traces / "hidden").exists, "hidden is there")
    kill(process)
    gone(place)
    journal = place.journal()
    data = describe(journal, journal.find("latest"))
    assert (data["status"], data["held"]) == ("stopped", [])


def test_a_warden_ends_with_the_state_folder(place: Engine) -> None:
    process = place.start_plan("long")
    until((place.traces / "hidden").exists, "hidden is there")
    warden = identity.read(next((place.home / "runs").glob("*/warden.json")))
    assert warden is not None
    kill(process)
    assert identity.of(warden.pid) == warden
    remove(place.home)
    until(lambda: identity.of(warden.pid) is None, "the warden ended")


def test_without_a_warden_a_service_still_ends_at_its_deadline(place: Engine) -> None:
    process = place.start_plan("long", TEST_LIFETIME="1")
    until((place.traces / "hidden").exists, "hidden is there")
    kill(process)
    warden = identity.read(next((place.home / "runs").glob("*/warden.json")))
    assert warden is not None
    os.kill(warden.pid, signal.SIGKILL)
    journal = place.journal()
    service = journal.attempt_folder(journal.find("latest"), "service", 1)
    until((service / "exit.json").exists, "the service ended")
    assert '"reason": "timeout"' in (service / "exit.json").read_text()


def test_a_step_that_ignores_signals_is_killed_at_its_deadline(place: Engine) -> None:
    assert place.run_plan("slow") == 1
    journal = place.journal()
    [attempt] = describe(journal, journal.find("latest"))["stages"][0]["steps"][0]["attempts"]
    assert attempt["outcome"] == "timeout"
    assert attempt["duration"] < 60  # the step itself would go on for ever
    gone(place)


def test_a_failed_step_skips_later_stages_but_not_the_teardown(place: Engine) -> None:
    assert place.run_plan("failing") == 1
    journal = place.journal()
    data = describe(journal, journal.find("latest"))
    assert [stage["status"] for stage in data["stages"]] == ["fail", "skip", "pass"]
    assert data["status"] == "failed"
    assert "no such thing" in data["error"]
    assert data["held"] == []


def test_a_failed_run_is_resumed_at_the_first_step_that_does_not_stand(place: Engine) -> None:
    place.run_plan("failing")
    journal = place.journal()
    run = journal.find("latest")
    reopen(journal, run)
    assert execute(journal, run) == "failed"
    steps = {
        s["name"]: len(s["attempts"]) for stage in describe(journal, run)["stages"] for s in stage["steps"]
    }
    assert steps == {"tree": 2, "bad": 2, "two": 0, "teardown": 2}  # the tree had been torn down


def test_a_retry_is_data_and_changes_what_it_says(place: Engine) -> None:
    assert place.run_plan("flaky") == 0
    journal = place.journal()
    [step] = describe(journal, journal.find("latest"))["stages"][0]["steps"]
    assert [attempt["status"] for attempt in step["attempts"]] == ["fail", "pass"]
    assert step["attempts"][0]["retry"] == {"reason": "the network hiccuped", "change": {"mode": "good"}}
    assert "reset by peer" in step["attempts"][0]["error"]


def test_the_same_key_is_used_again_while_its_artifact_is_there(place: Engine) -> None:
    made = place.traces / "artifact-made"
    assert place.run_plan("cached") == 0
    assert place.run_plan("cached") == 0
    assert made.read_text().count("\n") == 1
    journal = place.journal()
    again = describe(journal, journal.find("latest"))
    assert again["stages"][0]["steps"][0]["cached"] is True
    assert [artifact["path"] for artifact in again["artifacts"]] == [str(place.traces / "artifact")]
    (place.traces / "artifact").unlink()
    assert place.run_plan("cached") == 0
    assert made.read_text().count("\n") == 2


def test_secrets_reach_the_step_but_no_file(place: Engine, containment: str) -> None:
    token = 's3cr3t-"quoted"-value/with+signs'
    env = {"SEATRIAL_NO_NAMESPACES": "1"} if containment == "subreaper" else {}
    assert place.run_plan("secret", TEST_TOKEN=token, **env) == 0
    found = [
        path for path in place.folder.rglob("*") if path.is_file() and token.encode() in path.read_bytes()
    ]
    assert found == []
    journal = place.journal()
    logs = [path.read_text() for path in journal.folder(journal.find("latest")).rglob("log")]
    assert sorted(log.count("***") for log in logs) == [2, 3]
    assert any("the token is ***." in log for log in logs)


def test_a_missing_secret_is_named_by_its_reference(place: Engine) -> None:
    os.environ.pop("TEST_TOKEN", None)
    assert place.run_plan("secret") == 1
    journal = place.journal()
    assert "TEST_TOKEN is not set" in describe(journal, journal.find("latest"))["error"]


def test_steps_share_a_limited_resource_one_after_the_other(place: Engine) -> None:
    assert place.run_plan("parallel") == 0


@pytest.mark.parametrize("limit", ["steps", "test"])
def test_all_steps_or_those_of_a_kind_can_be_limited(place: Engine, limit: str) -> None:
    assert place.run_plan("unlimited") == 1  # they get into each other's way
    (place.traces / "one").rmdir() if (place.traces / "one").exists() else None
    assert place.run_plan("unlimited", TEST_LIMIT=limit) == 0


def test_logs_are_followed_while_they_are_written_and_complete(place: Engine) -> None:
    process = place.start_plan("talk")
    journal = place.journal()
    until((place.traces / "said").exists, "said is there")
    follower = subprocess.Popen(
        [sys.executable, "-m", "seatrial", "runs", "logs", "-f", "latest", "talk"],
        env=place.env,
        stdout=subprocess.PIPE,
    )
    assert follower.stdout is not None
    lines = [follower.stdout.readline() for _ in range(2000)]
    assert lines[-1] == b"line 1999\n"
    (place.traces / "go").touch()
    assert follower.stdout.read() == b"end\n"
    follower.stdout.close()
    assert follower.wait() == 0
    process.communicate(timeout=120)
    assert journal.run(journal.find("latest"))["status"] == "succeeded"


def test_two_commands_at_once_on_one_subject_are_refused(place: Engine) -> None:
    first = place.start_plan("long")
    until((place.traces / "hidden").exists, "hidden is there")
    second = place.start_plan("long")
    second.communicate(timeout=120)
    assert second.returncode == 1
    (place.traces / "go").touch()
    first.communicate(timeout=120)
    assert first.returncode == 0


def test_a_run_of_another_kind_of_request_first_tears_down_the_unfinished_one(place: Engine) -> None:
    process = place.start_plan("long")
    until((place.traces / "hidden").exists, "hidden is there")
    kill(process)
    journal = place.journal()
    old = journal.find("latest")
    run, continued = begin(journal, plan("cached", place.traces))
    assert not continued
    assert run != old
    assert journal.run(old)["status"] == "stopped"
    gone(place)


def test_what_cannot_be_removed_is_said_and_keeps_nobody_from_going_on(place: Engine) -> None:
    process = place.start_plan("long")
    until((place.traces / "hidden").exists, "hidden is there")
    journal = place.journal()
    run = journal.find("latest")
    cancel(place.home, run, what="kill")
    process.communicate(timeout=120)
    with journal.transaction() as db:
        db.execute("UPDATE ledger SET kind='from-the-future' WHERE kind='tree'")
    problem = reap(journal)[run]
    assert "does not know how to remove a from-the-future" in problem
    gone(place)  # the service could be
    assert describe(journal, run)["held"] == ["from-the-future:built"]
    (place.traces / "go").touch()
    assert place.run_plan("long") == 0


def test_two_commands_started_together_make_one_run(place: Engine) -> None:
    both = [place.start_plan("long"), place.start_plan("long")]
    until(lambda: any(process.poll() is not None for process in both), "one of them gives way")
    (place.traces / "go").touch()
    for process in both:
        process.communicate(timeout=60)
    assert sorted(process.returncode for process in both) == [0, 1]
    assert len(place.journal().rows("SELECT id FROM runs")) == 1
