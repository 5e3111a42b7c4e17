"""`seatrial ship` as a command: the whole way, and every way in which it can be cut off."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from seatrial.engine.points import ENGINE_POINTS
from seatrial.processes import find
from seatrial.shipping.points import SHIP_POINTS
from support import projects
from support.places import Place
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20240607


class Shipyard(NamedTuple):
    """What all tests here share: a project, its wheels, and a cache that is warm after the first shipment."""

    folder: Path
    project: Path
    env: dict[str, str]
    cold: Path
    warm: Path


class Ship(Place):
    """A state of its own on a shared cache; the step cache is its own as well, so that tests are run."""

    def __init__(self, folder: Path, yard: Shipyard, cache: Path) -> None:
        super().__init__(folder, cache=cache)
        self.project = yard.project
        self.env |= yard.env

    def begin(self, *arguments: str, **env: str) -> subprocess.Popen[bytes]:
        return self.start("seatrial", ["ship", str(self.project), "--fix", *arguments], **env)

    def ship(self, *arguments: str, **env: str) -> tuple[int, str, str]:
        process = self.begin(*arguments, **env)
        out, err = process.communicate(timeout=120)
        return process.returncode, out.decode(), err.decode()

    def nothing_left(self) -> None:
        until(lambda: not self.living(), "all processes of the run are gone")
        assert self.trees() == []


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Shipyard:
    for program in ("docker-registry", "haproxy", "bwrap"):
        try:
            find(program)
        except Exception as error:  # noqa: BLE001
            pytest.skip(f"{program} is not installed: {error}")
    folder = tmp_path_factory.mktemp("yard")
    env = dict(projects.wheels(folder / "wheels"))
    yard = Shipyard(folder, projects.sums(folder), env, folder / "cold", folder / "warm")
    warm = Ship(folder / "first", yard, yard.warm)
    code, _, err = warm.ship()
    assert code == 0, err
    return yard


@pytest.fixture
def ship(yard: Shipyard, tmp_path: Path) -> Iterator[Ship]:
    ship = Ship(tmp_path, yard, yard.warm)
    yield ship
    ship.kill_all()


@pytest.fixture
def cold(yard: Shipyard, tmp_path: Path) -> Iterator[Ship]:
    """A cache in which nothing has been made yet."""
    ship = Ship(tmp_path / "cold", yard, tmp_path / "cache")
    yield ship
    ship.kill_all()


def stages(run: dict[str, Any]) -> dict[str, str]:
    return {stage["name"]: stage["status"] for stage in run["stages"]}


def test_the_whole_way(cold: Ship) -> None:
    before = {path: path.read_bytes() for path in cold.project.iterdir()}
    code, out, err = cold.ship("--json")
    assert code == 0, err
    run = json.loads(out)
    assert set(stages(run).values()) == {"pass"}
    outputs = run["outputs"]
    assert [finding["rule"] for finding in outputs["check"]["findings"]] == ["image/numpy-abi"]
    assert "+numpy==1.26.4" in outputs["check"]["diff"]
    assert outputs["resolve"]["versions"] == {"numpy": "1.26.4", "onnxruntime": "1.17.3"}
    assert outputs["test"]["verdict"] == "pass"
    assert outputs["push"]["reference"].endswith(outputs["assemble"]["digest"])
    assert outputs["verify"]["answers"] == 1
    assert run["held"] == []
    assert [artifact["name"] for artifact in run["artifacts"]] == ["test-reports"]
    assert (Path(run["artifacts"][0]["path"]) / "image-tests.xml").exists()
    assert {path: path.read_bytes() for path in cold.project.iterdir()} == before
    cold.nothing_left()


def test_a_second_shipment_uses_what_the_first_has_made(ship: Ship) -> None:
    code, out, _ = ship.ship("--json")
    assert code == 0
    run = json.loads(out)
    assert all(layer["reused"] for layer in run["outputs"]["assemble"]["layers"])
    steps = {step["name"]: step["cached"] for stage in run["stages"] for step in stage["steps"]}
    assert steps["test"]
    assert not steps["secrets"]
    assert not steps["verify"]


def test_without_fix_the_conflict_stops_it_and_the_edit_is_shown(ship: Ship) -> None:
    process = ship.start("seatrial", ["ship", str(ship.project)])
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "requirements.txt:1:1: error[image/numpy-abi]" in err.decode()
    assert "+numpy==1.26.4" in err.decode()
    assert "`--fix` applies the safe fixes" in out.decode()
    ship.nothing_left()


def test_write_applies_the_fix_to_the_project_as_well(ship: Ship, yard: Shipyard, tmp_path: Path) -> None:
    ship.project = tmp_path / "mine"
    shutil.copytree(yard.project, ship.project)
    code, _, err = ship.ship("--write")
    assert code == 0, err
    assert (ship.project / "requirements.txt").read_text() == "onnxruntime==1.17.3\nnumpy==1.26.4\n"


def test_a_dry_run_prints_the_plan_and_does_nothing(ship: Ship) -> None:
    code, out, _ = ship.ship("--dry-run")
    assert code == 0
    assert [line for line in out.splitlines() if not line.startswith(" ")] == [
        "plan of ship sums",
        *("CHECK", "BUILD", "TEST", "REGISTRY", "PUSH", "DEPLOY", "VERIFY", "TEARDOWN (always)"),
    ]
    assert not (ship.home / "runs").exists()


def test_the_points_are_the_ones_that_are_passed(cold: Ship) -> None:
    trace = cold.folder / "points"
    code, _, err = cold.ship(SEATRIAL_POINTS=str(trace))
    assert code == 0, err
    assert sorted(set(trace.read_text().split())) == sorted({*ENGINE_POINTS, *SHIP_POINTS})


# The first step, stage, shim or ledger entry is not more telling than a later one.
LATER = {"step": 7, "stage": 4, "shim": 6, "ledger": 3, "registry.push.blob": 3, "step/cached": 1}


@pytest.mark.parametrize("first", [0, 1])
def test_killed_at_every_named_point_in_turn_the_same_command_completes(cold: Ship, first: int) -> None:
    """Each shipment goes on where the one before was killed, with half of the points still ahead."""
    trace = cold.folder / "points"
    ahead = {
        point: LATER.get(point, LATER.get(point.partition("/")[0], 1))
        for point in (*ENGINE_POINTS, *SHIP_POINTS)[first::2]
    }
    while ahead:
        crash = ",".join(f"{point}:{number}" for point, number in ahead.items())
        code, out, err = cold.ship(SEATRIAL_CRASH=crash, SEATRIAL_POINTS=str(trace))
        assert code == -signal.SIGKILL, f"{sorted(ahead)} were not passed: {err}{out}"
        passed = Counter(trace.read_text().split())
        died = {point for point, number in ahead.items() if passed[point] >= number}
        assert died, "it died somewhere else"
        ahead = {point: number for point, number in ahead.items() if point not in died}
    code, out, err = cold.ship("--json")
    assert code == 0, err
    assert set(stages(json.loads(out)).values()) == {"pass"}
    cold.nothing_left()


def test_a_shipment_that_was_killed_still_says_what_it_found_and_fixed(ship: Ship) -> None:
    code, _, err = ship.ship(SEATRIAL_CRASH="ship/fixed")
    assert code == -signal.SIGKILL, err
    code, out, err = ship.ship("--json")
    assert code == 0, err
    check = json.loads(out)["outputs"]["check"]
    assert [finding["rule"] for finding in check["findings"]] == ["image/numpy-abi"]
    assert check["applied"] == ["Pin numpy to 1.26.4"]
    assert check["left"] == []


@pytest.mark.parametrize("whole", [False, True], ids=["supervisor", "everything"])
def test_killed_at_random_moments_in_turn_the_same_command_completes(ship: Ship, *, whole: bool) -> None:
    choice = random.Random(SEED + whole)
    for _ in range(5):
        process = ship.begin()
        try:  # one that was nearly done may be faster, and the next begins anew
            _, said = process.communicate(timeout=choice.uniform(0.2, 3))
            assert process.returncode == 0, said
        except subprocess.TimeoutExpired:
            if whole:
                ship.kill_all()
            process.kill()
            process.communicate()
    code, _, err = ship.ship()
    assert code == 0, err
    ship.nothing_left()


@pytest.mark.parametrize("step", ["resolve", "push", "ready"])
def test_an_interrupt_tears_everything_down(ship: Ship, step: str) -> None:
    process = ship.begin()
    until(lambda: started(ship, step), f"{step} has started", seconds=60)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    ship.nothing_left()
    code, _, err = ship.ship()
    assert code == 0, err


def test_a_killed_shipment_is_cancelled_from_another_terminal(ship: Ship) -> None:
    process = ship.begin()
    until(lambda: started(ship, "ready"), "ready has started", seconds=60)
    process.kill()
    process.communicate()
    stop = ship.start("seatrial", ["runs", "stop", "latest", "--json"])
    out, err = stop.communicate(timeout=60)
    assert stop.returncode == 0, err
    run = json.loads(out)
    assert (run["status"], run["held"]) == ("stopped", [])
    ship.nothing_left()


def started(ship: Ship, step: str) -> bool:
    if not (ship.home / "seatrial.db").exists():
        return False
    journal = ship.journal()
    try:
        return bool(journal.rows("SELECT 1 FROM attempts WHERE step=?", step))
    finally:
        journal.close()


def test_an_unreachable_registry_is_named_and_the_same_command_continues(ship: Ship) -> None:
    code, out, _err = ship.ship("--to", "127.0.0.1:9/nobody", "--json")
    assert code == 1
    run = json.loads(out)
    assert stages(run)["PUSH"] == "fail"
    assert "127.0.0.1:9" in run["error"]
    assert "refuses the connection" in run["error"]
    ship.nothing_left()


_FULL_DISK = """
mount -t tmpfs -o size="$1" seatrial "$SEATRIAL_HOME" || exit 99
"$2" -m seatrial ship "$3" --fix; echo "first $?"
ls -A "$SEATRIAL_HOME"/runs/*/work
mount -o remount,size=400m "$SEATRIAL_HOME" || exit 99
exec "$2" -m seatrial ship "$3" --fix
"""


@pytest.mark.parametrize("size", ["64k", "160k", "2m"])
def test_a_full_disk_is_named_and_the_same_command_continues(ship: Ship, size: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("making a small file system needs root")
    (ship.home / "probe").touch()
    arguments = ["unshare", "-m", "sh", "-c", _FULL_DISK, "full", size, sys.executable, str(ship.project)]
    done = subprocess.run(arguments, env=ship.env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "first 1" in done.stdout
    assert "free space" in done.stderr
    assert "Traceback" not in done.stderr
    until(lambda: not ship.living(), "all processes of the run are gone")


def test_a_wrong_answer_fails_the_verification_and_says_where(
    ship: Ship, yard: Shipyard, tmp_path: Path
) -> None:
    ship.project = tmp_path / "wrong"
    shutil.copytree(yard.project, ship.project)
    (ship.project / "sum.json").write_text('{"sum": 7, "numpy": "1.26.4"}')
    code, out, _ = ship.ship("--json")
    assert code == 1
    run = json.loads(out)
    assert stages(run)["VERIFY"] == "fail"
    assert "$.sum: expected 7, got 6.5" in run["error"]
    ship.nothing_left()


@pytest.mark.parametrize(
    ("text", "where", "what"),
    [
        ("images: {sums: {bass: debian:bookworm}}", "seatrial.yaml:1:17", "base"),
        ("images: [", "seatrial.yaml:1", ""),
        ("services: {sums: {port: many}}", "seatrial.yaml:1:25", "port"),
    ],
)
def test_a_malformed_file_is_a_usage_error_with_its_place(
    ship: Ship, tmp_path: Path, text: str, where: str, what: str
) -> None:
    ship.project = tmp_path / "bad"
    ship.project.mkdir()
    (ship.project / "seatrial.yaml").write_text(text)
    code, out, err = ship.ship()
    assert (code, out) == (2, "")
    assert where in err
    assert what in err


def test_a_missing_folder_is_a_usage_error(ship: Ship, tmp_path: Path) -> None:
    ship.project = tmp_path / "nothing"
    code, _, err = ship.ship()
    assert code == 2
    assert "nothing" in err


def test_a_missing_program_is_named_before_anything_starts(ship: Ship, tmp_path: Path) -> None:
    code, _, err = ship.ship(PATH=str(tmp_path))
    if find("haproxy").startswith("/usr/sbin"):  # sbin is looked at whatever PATH says
        assert code == 3
        assert "bwrap" in err
        assert "seatrial doctor" in err
        assert not (ship.home / "runs").exists()
