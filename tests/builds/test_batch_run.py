"""`seatrial build batch` as a command: builds side by side, in order, cut off and continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from support import debian
from support.places import Place
from support.registries import need
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GRAPH = """\
version: 0.2
batch:
  build-graph:
    - {identifier: last, depend-on: [left, right]}
    - {identifier: left, depend-on: [first], env: {variables: {WHO: task, FROM_TASK: "1"}}}
    - {identifier: right, depend-on: [first], buildspec: other.yml, ignore-failure: true}
    - {identifier: first}
env: {variables: {WHO: buildspec}}
phases:
  build:
    commands:
      - echo "$CODEBUILD_BATCH_BUILD_IDENTIFIER $WHO $FROM_TASK" >> "$LOG"
      - echo made by $CODEBUILD_BATCH_BUILD_IDENTIFIER > out-$CODEBUILD_BATCH_BUILD_IDENTIFIER
artifacts: {files: ["out-*"]}
"""
OTHER = 'version: 0.2\nphases: {build: {commands: ["echo right other >> $LOG", "exit 3"]}}\n'
LIST = """\
version: 0.2
batch:
  fast-fail: %s
  build-list: [{identifier: a}, {identifier: b}, {identifier: c}]
phases:
  pre_build: {commands: ["echo begins $CODEBUILD_BATCH_BUILD_IDENTIFIER >> $LOG"]}
  build: {commands: ["echo builds $CODEBUILD_BATCH_BUILD_IDENTIFIER >> $LOG", "%s"]}
  post_build: {commands: ["echo ends $CODEBUILD_BATCH_BUILD_IDENTIFIER >> $LOG"]}
"""
WAITS = "until [ -e $LOG.go ]; do sleep 0.05; done"


class Batch(Place):
    """A source of its own, and the file to which its builds write."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.source = folder / "source"
        self.source.mkdir()
        self.log = folder / "log"

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.source / f"{name}.yml").write_text(text)

    def batch(self, *options: str, source: str = "", **env: str) -> tuple[int, dict[str, Any], str]:
        process = self.begin("--json", *options, source=source, **env)
        out, err = process.communicate(timeout=120)
        return process.returncode, json.loads(out) if out else {}, err.decode()

    def begin(self, *options: str, source: str = "", **env: str) -> Any:
        arguments = ["build", "batch", source or str(self.source), "--env", f"LOG={self.log}", *options]
        return self.start("seatrial", arguments, **env)

    def said(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def nothing_left(self) -> None:
        until(lambda: not self.living(), "all processes of the batch are gone")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Batch]:
    place = Batch(tmp_path / "place")
    yield place
    place.kill_all()


def statuses(run: dict[str, Any]) -> dict[str, str]:
    return {group["identifier"]: group["status"] for group in run["groups"]}


def test_a_graph_is_built_in_order_and_has_one_result(place: Batch) -> None:
    place.write(buildspec=GRAPH, other=OTHER)
    artifacts = place.folder / "artifacts"
    code, run, err = place.batch(
        "--jobs", "2", "--artifacts", str(artifacts), "--combine", "--env", "FROM_TASK=start"
    )
    assert code == 0, err
    said = place.said()
    assert said[0] == "first buildspec start"
    assert sorted(said[1:3]) == ["left task 1", "right other"]
    assert said[3] == "last buildspec start"
    assert run["batch_status"] == "SUCCEEDED"
    assert statuses(run) == {
        "first": "SUCCEEDED",
        "left": "SUCCEEDED",
        "right": "FAILED",
        "last": "SUCCEEDED",
    }
    assert [phase["phase"] for phase in run["phases"]] == [
        *("SUBMITTED", "DOWNLOAD_BATCHSPEC", "IN_PROGRESS", "COMBINE_ARTIFACTS", "SUCCEEDED"),
    ]
    right = run["groups"][2]
    assert (right["phase"], right["ignore_failure"], right["depends_on"]) == ("BUILD", True, ["first"])
    assert "exit status 3" in right["why"]
    for name in ("first", "left", "last"):
        assert (artifacts / name / f"out-{name}").read_text() == f"made by {name}\n"
    assert run["combined"]["files"] == ["out-first", "out-last", "out-left"]
    assert (artifacts / "out-left").exists()
    journal = place.journal()
    kinds = [row["kind"] for row in journal.rows("SELECT kind FROM runs ORDER BY created")]
    journal.close()
    assert sorted(kinds) == ["batch", "build", "build", "build", "build"]
    assert run["held"] == []
    place.nothing_left()


def test_what_depends_on_a_failure_is_not_started_and_the_rest_is_built(place: Batch) -> None:
    place.write(buildspec=GRAPH.replace(", ignore-failure: true", ""), other=OTHER)
    code, run, _ = place.batch()
    assert (code, run["batch_status"]) == (1, "FAILED")
    assert statuses(run) == {
        "first": "SUCCEEDED",
        "left": "SUCCEEDED",
        "right": "FAILED",
        "last": "NOT_STARTED",
    }
    assert not any(line.startswith("last") for line in place.said())
    # What has succeeded is not built again.
    place.write(other=OTHER.replace("exit 3", "true"))
    place.log.unlink()
    code, run, err = place.batch("--retry")
    assert code == 0, err
    assert place.said() == ["right other", "last buildspec "]
    assert [group["earlier"] for group in run["groups"]] == [True, True, False, False]


def test_fast_fail_stops_the_others(place: Batch) -> None:
    place.write(
        buildspec=LIST % ("true", "if [ $CODEBUILD_BATCH_BUILD_IDENTIFIER = b ]; then exit 1; fi; sleep 600")
    )
    code, run, _ = place.batch("--jobs", "2")
    assert (code, run["batch_status"]) == (1, "FAILED")
    assert statuses(run) == {"a": "STOPPED", "b": "FAILED", "c": "STOPPED"}
    assert "begins c" not in place.said()
    place.nothing_left()


def test_without_fast_fail_everything_is_built(place: Batch) -> None:
    place.write(buildspec=LIST % ("false", "[ $CODEBUILD_BATCH_BUILD_IDENTIFIER != a ]"))
    code, run, _ = place.batch("--jobs", "1")
    assert (code, statuses(run)) == (1, {"a": "FAILED", "b": "SUCCEEDED", "c": "SUCCEEDED"})


def test_each_build_of_a_fanout_runs_its_share(place: Batch) -> None:
    place.write(
        buildspec="""\
version: 0.2
batch: {build-fanout: {parallelism: 2}}
phases:
  build:
    commands:
      - codebuild-tests-run --test-command "echo $CODEBUILD_BATCH_BUILD_IDENTIFIER" --files-search "ls t" >> $LOG
"""
    )
    (place.source / "t").mkdir()
    for name in ("a", "b", "c"):
        (place.source / "t" / name).touch()
    code, _, err = place.batch()
    assert code == 0, err
    assert sorted(place.said()) == ["shard_1 a b", "shard_2 c"]


FROM_GIT = """\
version: 0.2
batch: {build-list: [{identifier: a}, {identifier: b}]}
phases:
  build:
    commands:
      - echo builds $CODEBUILD_RESOLVED_SOURCE_VERSION $(cat text) >> "$LOG"
      - if [ "$CODEBUILD_BATCH_BUILD_IDENTIFIER" = b ]; then until [ -e $LOG.go ]; do sleep 0.05; done; fi
"""


def test_a_killed_batch_of_a_repository_goes_on_with_the_same_commit(place: Batch) -> None:
    place.write(buildspec=FROM_GIT)
    git(place.source, "init", "-q", "-b", "main")
    first = commit(place.source, text="one")
    url = f"file://{place.source}"
    process = place.begin("--jobs", "2", "--source-version", first, source=url)
    running(place, 2)
    commit(place.source, text="two")
    process.kill()
    process.communicate()

    place.log.with_name("log.go").touch()
    code, run, err = place.batch("--jobs", "2", "--source-version", first, source=url)

    assert code == 0, (run.get("groups"), err)
    assert run["name"] == "source"
    assert place.said() == [f"builds {first} one"] * 2
    place.nothing_left()


def test_a_batch_of_a_zip(place: Batch, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "source.zip", "w") as archive:
        archive.writestr("buildspec.yml", LIST % ("false", "true"))

    code, run, err = place.batch("--only", "b", source=str(tmp_path / "source.zip"))

    assert code == 0, err
    assert statuses(run) == {"b": "SUCCEEDED"}


def commit(folder: Path, **files: str) -> str:
    for name, text in files.items():
        (folder / name).write_text(text)
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "x")
    return git(folder, "rev-parse", "HEAD")


def git(folder: Path, *arguments: str) -> str:
    argv = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", *arguments]
    return subprocess.run(argv, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def running(place: Batch, count: int) -> None:
    until(
        lambda: sum(line.startswith("builds") for line in place.said()) == count,
        f"{count} builds run",
        seconds=60,
    )


@pytest.mark.parametrize("whole", [False, True], ids=["supervisor", "everything"])
def test_the_same_command_continues_a_killed_batch_and_nothing_runs_twice(
    place: Batch, *, whole: bool
) -> None:
    place.write(buildspec=LIST % ("false", WAITS))
    process = place.begin("--jobs", "2")
    running(place, 2)
    process.kill()
    process.communicate()
    if whole:
        place.kill_all()
    place.log.with_name("log.go").touch()
    code, run, err = place.batch("--jobs", "2")
    assert code == 0, (run.get("groups"), err)
    assert set(statuses(run).values()) == {"SUCCEEDED"}
    # The phase that was cut off with its processes is done again, and no other.
    done = [line for line in place.said() if not (whole and line.startswith("builds"))]
    words = ("begins", "ends") if whole else ("begins", "builds", "ends")
    assert sorted(done) == sorted(f"{word} {name}" for word in words for name in "abc")
    place.nothing_left()


def test_an_interrupt_ends_all_builds(place: Batch) -> None:
    place.write(buildspec=LIST % ("false", WAITS))
    process = place.begin("--jobs", "2", "--json")
    running(place, 2)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    run = json.loads(out)
    assert (run["batch_status"], run["held"]) == ("STOPPED", [])
    assert statuses(run) == {"a": "STOPPED", "b": "STOPPED", "c": "NOT_STARTED"}
    assert run["groups"][0]["run"]
    place.nothing_left()
    assert not any(line.startswith("ends") for line in place.said())


def test_a_killed_batch_can_be_stopped_from_elsewhere(place: Batch) -> None:
    place.write(buildspec=LIST % ("false", WAITS))
    process = place.begin("--jobs", "2")
    running(place, 2)
    process.kill()
    process.communicate()
    journal = place.journal()
    (row,) = journal.rows("SELECT id FROM runs WHERE kind='batch'")
    stop = place.start("seatrial", ["runs", "stop", row["id"]])
    _, err = stop.communicate(timeout=60)
    assert stop.returncode == 0, err
    place.nothing_left()
    assert {row["status"] for row in journal.rows("SELECT status FROM runs")} == {"stopped"}
    journal.close()


def test_an_image_of_a_build_is_the_one_that_stands_for_it_here(place: Batch) -> None:
    need("bwrap")
    place.write(
        buildspec="""\
version: 0.2
batch:
  build-matrix:
    dynamic:
      env: {image: ["aws/codebuild/standard:7.0", "elsewhere/image:1"]}
phases:
  build: {commands: ["echo $CODEBUILD_BUILD_IMAGE $CODEBUILD_SRC_DIR"]}
"""
    )
    code, run, err = place.batch("--image", f"aws/codebuild/standard:7.0={debian.base()}")
    assert code == 0, err
    assert "the image elsewhere/image:1 is not here" in err
    assert "the image aws/codebuild/standard:7.0 is not here" not in err
    logs = [
        place.start("seatrial", ["runs", "logs", group["run"], "build"]).communicate(timeout=60)[0].decode()
        for group in run["groups"]
    ]
    assert "aws/codebuild/standard:7.0 /codebuild/output/src" in logs[0]
    assert "/codebuild/output" not in logs[1].partition("elsewhere/image:1 ")[2].splitlines()[0]


def test_a_secret_reaches_the_builds_and_no_file(place: Batch) -> None:
    place.write(buildspec=LIST % ("false", "test ${#API_TOKEN} -eq 16 && echo $API_TOKEN"))
    secret = "s3cr3t-0123456789"[:16]
    code, _, err = place.batch("--env", "API_TOKEN", API_TOKEN=secret)
    assert code == 0, err
    for path in place.home.rglob("*"):
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("version: 0.2\nphases: {}\n", [], "the buildspec has no batch"),
        (
            "version: 0.2\nphases:\n  build:\n    commands: [a: b]\n",
            [],
            "YAML_FILE_ERROR: Expected Commands[0]",
        ),
        (GRAPH, ["--only", "none"], "no build of the batch is called 'none'"),
        (GRAPH, ["--image", "a=b"], "names the image 'a'"),
        (GRAPH, ["--on", "moon"], "no place to build"),
        (GRAPH, ["--most", "3"], "4 builds, and 3"),
        (
            GRAPH.replace("left, right", "left, wrong"),
            [],
            "buildspec.yml:4:44: build 'last' depends on 'wrong'",
        ),
    ],
)
def test_what_cannot_be_built_is_said_before_anything_starts(
    place: Batch, text: str, options: list[str], message: str
) -> None:
    place.write(buildspec=text)
    code, _, err = place.batch(*options)
    assert code == 2
    assert message in err
    assert not (place.home / "runs").exists()


def test_a_dry_run_lists_the_builds(place: Batch) -> None:
    place.write(buildspec=GRAPH)
    out, _ = place.begin("--dry-run", "--only", "l*").communicate(timeout=60)
    assert out.decode().splitlines() == ["left  buildspec.yml  host", "last  buildspec.yml  host  after left"]
