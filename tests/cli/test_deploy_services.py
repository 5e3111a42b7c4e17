"""Services are deployed, watched, decided about and taken down by the command line."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from seatrial.cli.deploy import deploy
from seatrial.errors import SeatrialError, UsageError
from seatrial.services import records, written
from seatrial.services.model import folder
from support.commands import seatrial
from support.load import load
from support.registries import need
from support.standing import PROGRAM, ask, every_process
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

SETTINGS = """\
services:
  svc:
    command: [{python}, answer.py, {version}]
    deploy: {{strategy: "{strategy}", analysis: null, keep_old: 600}}
"""


class Project:
    """A folder with a service whose answers are its version, and the commands run there."""

    def __init__(self, place: Path) -> None:
        self.place, self.home = place, place.parent / "home"
        place.mkdir()
        (place / "answer.py").write_text(PROGRAM.read_text())

    def version(self, name: str, strategy: str = "canary:20%:1s") -> None:
        text = SETTINGS.format(python=sys.executable, version=name, strategy=strategy)
        (self.place / "seatrial.yaml").write_text(text)

    def run(self, *arguments: str, code: int = 0) -> Result:
        """Run a command in this process, which is what a person's shell would run in another."""
        runner = CliRunner(
            env={"SEATRIAL_HOME": str(self.home), "SEATRIAL_CACHE": str(self.home.parent / "cache")}
        )
        done = runner.invoke(deploy, [*arguments], standalone_mode=False)
        error = done.exception
        ended = (
            error.exit_code if isinstance(error, SeatrialError) else done.exit_code or done.return_value or 0
        )
        assert ended == code, f"{arguments}: {ended} {error!r}\n{done.output}"
        return done

    def refused(self, *arguments: str, code: int = 2) -> str:
        """What a command says that does nothing."""
        return str(self.run(*arguments, code=code).exception)

    def data(self, *arguments: str, code: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    @contextmanager
    def going(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on beside the block."""
        environ = {
            **os.environ,
            "SEATRIAL_HOME": str(self.home),
            "SEATRIAL_CACHE": str(self.home.parent / "cache"),
        }
        with subprocess.Popen(
            [sys.executable, "-m", "seatrial", "deploy", *arguments],
            cwd=self.place, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            try:
                yield process
            finally:
                process.kill()

    @property
    def port(self) -> int:
        return written.wanted(self.home, "svc").listening.port

    def has_share(self, share: float) -> None:
        """Wait until the new version is asked to have so much."""

        def has() -> bool:
            shift = records.shift_of(self.home, records.every(self.home)[0].id)
            return shift is not None and shift.share == share

        until(has, f"{share} % are asked for")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    need("haproxy")
    found = Project(tmp_path / "project")
    monkeypatch.chdir(found.place)
    try:
        yield found
    finally:
        with suppress(AssertionError):
            found.run("stop", "svc")
        with suppress(AssertionError):
            found.run("down", "--all")
        left = every_process(folder(found.home, "svc"))
    assert not left


def test_a_canary_is_deployed_shown_rolled_back_and_taken_down(project: Project, tmp_path: Path) -> None:
    project.version("one")
    first = project.run("run", ".")
    assert "✓ d-" in first.stdout
    assert "is the first version" in first.stderr
    project.version("two")
    with load(project.port, clients=3) as clients:
        clients.take(20)
        run = project.data("run", ".")
        clients.take(50)
        services = project.data("services")
        undone = project.data("rollback", "svc")
        clients.take(20)
        assert set(clients.take(50)) == {"one"}
    assert clients.failures == []

    assert (run["kind"], run["status"]) == ("service-deployment", "succeeded")
    outputs = run["outputs"]
    assert outputs["requests"] > 100
    assert outputs["failures"] == 0
    assert outputs["verdicts"] == []
    assert [split["asked"] for split in outputs["split"] if split["requests"] > 20] == [20.0, 100.0]
    (service,) = services
    shares = {one["id"]: one["share"] for one in service["revisions"]}
    before, after = run["deployment"]["services"][0]["before"], run["deployment"]["services"][0]["after"]
    assert shares == {before: 0, after: 100}
    assert [one["state"] for one in service["revisions"][0]["instances"]] == ["ready"]
    assert undone["deployment"]["rollback"]["of"] == run["deployment"]["id"]

    listed = project.data("list")
    assert [(one["kind"], one["status"]) for one in listed] == [("services", "Succeeded")] * 3
    assert [line.split()[0] for line in project.run("list", "--service", "svc").stdout.splitlines()] == [
        one["id"] for one in listed
    ]
    shown = project.data("show", run["deployment"]["id"])
    chart = shown["picture"]["charts"][0]
    assert chart["totals"]["new"]["requests"] + chart["totals"]["old"]["requests"] == outputs["requests"]
    assert shown["outputs"] == outputs
    assert "20 % of" not in project.run("show", run["deployment"]["id"]).stderr
    project.run("show", run["deployment"]["id"], "--svg", "d.svg", "--html", "d.html")
    assert (project.place / "d.svg").read_text().startswith("<svg ")
    assert (project.place / "d.svg").read_text().rstrip() in (project.place / "d.html").read_text()
    assert seatrial(project.place, "runs", "timeline", run["id"], "--html", "t.html").returncode == 0
    assert (project.place / "t.html").read_text() == (project.place / "d.html").read_text()

    assert "svc is down" in project.run("down", "svc").stderr
    assert project.data("services") == []
    assert len(project.data("list")) == 3  # what was deployed is still known


def test_a_detached_deployment_is_watched_held_continued_and_promoted_by_hand(project: Project) -> None:
    project.version("one", "linear:10%:1h")
    project.run("run", ".")
    project.version("two", "linear:10%:1h")
    started = project.data("run", ".", "--detach")
    assert started["status"] in ("Created", "InProgress")
    project.has_share(10)
    again = project.refused("run", ".", "--strategy", "all-at-once", code=1)
    assert "already has an active deployment" in again
    assert "is being deployed by" in project.refused("down", "svc")
    with project.going("watch", "svc", "--json") as watching:
        assert "held by hand" in project.run("hold", "latest").stdout
        assert "continued by hand" in project.run("continue", "svc").stdout
        promoted = project.data("promote", started["id"])
        out, _ = watching.communicate(timeout=120)
    assert promoted["heard"]
    assert watching.returncode == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert {"created", "shift", "request", "held", "ended", "traffic"} <= {line["kind"] for line in lines}
    assert [line["text"] for line in lines if line["kind"] == "held"] == ["held at 10 %: held by hand"]
    assert ask(project.port)[1] == "two"
    piped = project.run("watch", started["id"]).stdout
    assert "→ promoted: promoted by hand" in piped
    assert piped.splitlines()[-1] == f"{started['id']}: Succeeded"
    assert "\x1b" not in piped
    for verb in ("promote", "hold", "continue"):
        assert "has ended" in project.refused(verb, started["id"])


def test_a_terminal_shows_both_versions_and_ctrl_c_brings_the_old_one_back(project: Project) -> None:
    project.version("one", "canary:20%:1h")
    project.run("run", ".")
    project.version("two", "canary:20%:1h")
    master, slave = pty.openpty()
    environ = {
        **os.environ,
        "SEATRIAL_HOME": str(project.home),
        "TERM": "xterm",
        "COLUMNS": "100",
        "LINES": "30",
    }
    with load(project.port, clients=2) as clients, subprocess.Popen(
        [sys.executable, "-m", "seatrial", "deploy", "run", "."],
        cwd=project.place, env=environ, stdin=slave, stdout=subprocess.PIPE, stderr=slave, text=True,
    ) as process:  # fmt: skip
        os.close(slave)
        shown = read_until(master, " 20.")
        process.send_signal(signal.SIGINT)
        shown += read_until(master, None)
        out, _ = process.communicate(timeout=120)
        clients.take(10)
        assert set(clients.take(50)) == {"one"}
    os.close(master)
    assert clients.failures == []
    assert process.returncode == 130
    assert "step 1 of 2: 20 % asked" in shown
    assert "requests/s" in shown
    assert shown.count("→ canary:20%:1h: 20 %") == 1
    assert all(len(line) < 140 for line in shown.splitlines() if " asked, " in line)
    assert "■ stopping" in shown
    assert "Stopped" in out


def read_until(terminal: int, words: str | None) -> str:
    """What a terminal shows until the words are there, or until its last writer is gone."""
    shown = b""
    while words is None or words.encode() not in shown:
        try:
            shown += os.read(terminal, 65_536)
        except OSError:
            break
    return shown.decode(errors="replace")


def test_a_version_that_does_not_start_fails_and_one_that_is_stopped_or_rolled_back_ends(
    project: Project,
) -> None:
    project.version("one", "canary:10%:1h")
    project.run("run", ".")
    program = project.place / "answer.py"
    works = program.read_text()
    program.write_text("raise SystemExit('no model here')\n")
    failed = project.run("run", ".", code=1)
    assert "✗ d-" in failed.stdout
    assert "no model here" in failed.stdout + failed.stderr
    program.write_text(works)
    project.version("two", "canary:10%:1h")
    for how, status in (("stop", "Stopped"), ("rollback", "Failed")):
        started = project.data("run", ".", "--detach")
        project.has_share(10)
        ended = project.data(how, started["id"])
        assert (ended["id"], ended["status"]) == (started["id"], status)
        assert ended["rollback"]["by"]
        assert ask(project.port)[1] == "one"
    assert (
        project.run("watch", started["id"], code=1)
        .stdout.splitlines()[-1]
        .startswith(f"{started['id']}: Failed")
    )


REFUSED = [
    (["run", "nowhere"], "no such folder"),
    (["run", "."], "has no services"),
    (["run", ".", "--kind", "zip"], "No such option"),
    (["run", ".", "--type", "zip"], "--type is for groups of hosts"),
    (["run", ".", "--group", "a/b", "--strategy", "all-at-once"], "--strategy is for services"),
    (["run", "served", "--service", "scv"], "did you mean svc?"),
    (["run", "served", "--strategy", "canary"], "no percentage"),
    (["run", "served", "--bake", "soon"], "no length of time"),
    (
        ["run", "served", "--image", "nowhere/at/all", "--service", "two", "--service", "svc"],
        "does not say whose",
    ),
    (["run", "imaged"], "nothing says which"),
    (["run", "served", "--revision", "r-0"], "one service"),
    (["run", "served", "--service", "svc", "--revision", "r-0"], "no revision"),
    (["watch"], "no deployment"),
    (["show", "d-0"], "no deployment"),
    (["promote", "svc"], "no deployment"),
    (["hold"], "no deployment"),
    (["continue"], "no deployment"),
    (["stop"], "no deployment"),
    (["rollback", "svc"], "no deployment"),
    (["down"], "say which services"),
    (["down", "svc"], "no service 'svc'"),
    (["services", "svc"], "no service 'svc'"),
    (["list", "--service", "a", "--group", "b/c"], "give --group or --service"),
]


def test_what_cannot_be_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in (
        ("served", "services: {svc: {command: [python3, a.py]}, two: {command: [python3, a.py]}}\n"),
        ("imaged", "images: {svc: {base: 'debian:bookworm'}}\nservices: {svc: {image: svc}}\n"),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "seatrial.yaml").write_text(text)
        (tmp_path / name / "a.py").write_text("")
    monkeypatch.chdir(tmp_path)
    runner = CliRunner(env={"SEATRIAL_HOME": str(tmp_path / "home")})
    for arguments, says in REFUSED:
        error = runner.invoke(deploy, arguments, standalone_mode=False).exception
        assert isinstance(error, UsageError | click.UsageError), (arguments, error)
        assert says in str(error), arguments
        assert error.exit_code == 2
    assert not (tmp_path / "home/deployments").exists()
