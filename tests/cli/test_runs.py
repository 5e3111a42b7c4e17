"""`seatrial runs` on real runs, as a command."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.places import Place

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A state with one run that failed and, after it, one that succeeded."""
    place = Place(tmp_path_factory.mktemp("runs"))
    for plan, code in (("failing", 1), ("flaky", 0)):
        process = place.start("support.steps", [plan, str(place.traces)])
        process.communicate(timeout=60)
        assert process.returncode == code
    return place


def runs(place: Place, *arguments: str) -> tuple[int, str, str]:
    process = place.start("seatrial", ["runs", *arguments])
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


def test_list_is_newest_first_and_can_be_narrowed(place: Place) -> None:
    _, out, _ = runs(place, "list", "--json")
    assert [(run["name"], run["status"]) for run in json.loads(out)] == [
        ("flaky", "succeeded"),
        ("failing", "failed"),
    ]
    _, out, _ = runs(place, "list", "--status", "failed", "--json")
    assert [run["name"] for run in json.loads(out)] == ["failing"]
    _, out, _ = runs(place, "list", "-n", "1")
    assert len(out.splitlines()) == 1


def test_an_empty_state_lists_nothing(tmp_path: Path) -> None:
    code, out, err = runs(Place(tmp_path), "list", "--json")
    assert (code, json.loads(out), err) == (0, [], "")


def test_show_is_the_published_shape(place: Place) -> None:
    _, out, _ = runs(place, "show", "latest", "--json")
    run = json.loads(out)
    assert {"id", "kind", "name", "status", "started", "ended", "duration", "stages", "outputs"} <= set(run)
    [stage] = run["stages"]
    assert {"name", "status", "started", "duration", "cached", "error", "steps"} <= set(stage)
    assert stage["steps"][0]["attempts"][0]["retry"]["reason"] == "the network hiccuped"
    assert run["started"].endswith("Z")


def test_show_explains_attempts_to_a_person(place: Place) -> None:
    _, out, _ = runs(place, "show", "latest")
    assert "flaky attempt 1: " in out
    assert "connection reset by peer" in out
    assert "tried again (the network hiccuped)" in out


def test_logs_of_all_steps_and_of_one(place: Place) -> None:
    code, out, _ = runs(place, "list", "--status", "failed", "--json")
    failed = json.loads(out)[0]["id"]
    code, out, _ = runs(place, "logs", failed)
    assert code == 0
    assert [line for line in out.splitlines() if line.startswith("──")] == [
        "── bad",
        "── teardown",
    ]
    assert "ValueError: no such thing" in out
    _, out, _ = runs(place, "logs", failed, "teardown")
    assert out == "removed tree t\n"


def test_timeline_as_data(place: Place) -> None:
    _, out, _ = runs(place, "timeline", "latest", "--json")
    rows = json.loads(out)
    assert [(row["name"], row["depth"]) for row in rows] == [("ONE", 0), ("flaky", 1)]
    assert all(row["duration"] > 0 for row in rows)


@pytest.mark.parametrize(
    "arguments", [("show", "nothing"), ("logs", "nothing"), ("stop", "nothing"), ("resume", "nothing")]
)
def test_an_unknown_run_is_named(place: Place, arguments: tuple[str, str]) -> None:
    code, out, err = runs(place, *arguments)
    assert (code, out) == (1, "")
    assert "there is no run 'nothing'" in err
    assert "seatrial runs list" in err


def test_an_unknown_step_is_a_usage_error_that_lists_the_steps(place: Place) -> None:
    code, _, err = runs(place, "logs", "latest", "flacky")
    assert code == 2
    assert "its steps are flaky" in err


def test_a_part_of_an_id_must_be_unique(place: Place) -> None:
    code, _, err = runs(place, "show", "20")
    assert code == 1
    assert "several runs fit '20'" in err


def test_resuming_what_has_succeeded_says_so(place: Place) -> None:
    code, out, err = runs(place, "resume", "latest")
    assert (code, out) == (0, "")
    assert "nothing to resume" in err


def test_a_reader_that_goes_away_is_no_error(place: Place) -> None:
    command = f'"{sys.executable}" -m seatrial runs list | true; echo "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", command], env=place.env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("0", "141")
    assert done.stderr == ""


def test_progress_shows_states_in_words_and_no_colour_when_asked(place: Place) -> None:
    screens = {}
    for name, env in (
        ("colour", {"TERM": "xterm"}),
        ("plain", {"TERM": "xterm", "NO_COLOR": "1"}),
        ("dumb", {"TERM": "dumb"}),
    ):
        master, slave = pty.openpty()
        _, out, _ = runs(place, "list", "--status", "failed", "--json")
        process = subprocess.Popen(
            [sys.executable, "-m", "seatrial", "runs", "resume", json.loads(out)[0]["id"]],
            env=place.env | env,
            stderr=slave,
            stdout=subprocess.DEVNULL,
        )
        os.close(slave)
        screens[name] = b""
        while chunk := _read(master):
            screens[name] += chunk
        assert process.wait() == 1
        os.close(master)
    assert "✗ bad" in screens["dumb"].decode()
    assert "failed" in screens["dumb"].decode()
    assert b"\x1b[31m" in screens["colour"]
    assert b"\x1b[31m" not in screens["plain"]
    assert b"\x1b" not in screens["dumb"]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end of a terminal was closed
        return b""
