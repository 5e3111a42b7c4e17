"""What a batch comes to, from what the file says; and how tests are shared out."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from seatrial.builds import sharding
from seatrial.builds.batch import Expansion, Restrictions, choose, expand, obstacle, verdict
from seatrial.builds.reading import read
from seatrial.errors import UsageError
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from pathlib import Path


def expanded(text: str, **restrictions: object) -> Expansion:
    reading = read(
        Source("buildspec.yml", f"version: 0.2\nbatch:\n{text}phases: {{build: {{commands: [true]}}}}\n")
    )
    assert reading.spec is not None, reading.refusals
    assert reading.spec.batch is not None
    return expand(reading.spec.batch, Restrictions(**restrictions) if restrictions else None)  # type: ignore[arg-type]


GRAPH = """\
  fast-fail: true
  build-graph:
    - {identifier: last, depend-on: [left, right]}
    - identifier: left
      depend-on: [first]
      ignore-failure: true
      buildspec: left.yml
      debug-session: true
      env: {image: "debian:12", privileged-mode: true, variables: {SIDE: left, MODE: 0644}}
    - {identifier: right, depend-on: [first]}
    - {identifier: first}
"""


def test_a_graph_is_put_into_an_order_in_which_it_can_be_built() -> None:
    found = expanded(GRAPH)
    assert (found.kind, found.fast_fail) == ("graph", True)
    assert [build.identifier for build in found.builds] == ["first", "left", "right", "last"]
    left = found.builds[1]
    assert (left.buildspec, left.ignore_failure, left.debug_session) == ("left.yml", True, True)
    assert left.env == {"image": "debian:12", "privileged-mode": "true"}
    assert left.variables == {"SIDE": "left", "MODE": "0644"}
    assert found.builds[3].depend_on == ("left", "right")


def test_a_matrix_has_the_builds_of_the_user_guide_in_its_order() -> None:
    found = expanded("""\
  build-matrix:
    static:
      ignore-failure: true
      env: {type: LINUX_CONTAINER, privileged-mode: true, variables: {SAME: "1"}}
    dynamic:
      buildspec: [matrix1.yml, matrix2.yml]
      env: {image: ["aws/codebuild/standard:7.0"], variables: {MY_VAR: [VALUE1, VALUE2, VALUE3]}}
""")
    assert [(build.buildspec, build.variables["MY_VAR"]) for build in found.builds] == [
        (name, value) for name in ("matrix1.yml", "matrix2.yml") for value in ("VALUE1", "VALUE2", "VALUE3")
    ]
    for build in found.builds:
        assert build.ignore_failure
        assert build.variables["SAME"] == "1"
        assert build.env == {
            "type": "LINUX_CONTAINER",
            "privileged-mode": "true",
            "image": "aws/codebuild/standard:7.0",
        }
        assert re.fullmatch("[A-Za-z0-9_]+", build.identifier)
    names = [build.identifier for build in found.builds]
    assert names[0] == "matrix1_aws_codebuild_standard_7_0_VALUE1"
    assert len(set(names)) == 6


def test_values_that_read_the_same_have_identifiers_of_their_own() -> None:
    found = expanded("  build-matrix: {dynamic: {env: {variables: {V: [a-b, a_b, a.b]}}}}\n")
    names = [build.identifier for build in found.builds]
    assert len(set(names)) == 3
    assert names[0] == "a_b"
    long = expanded(f"  build-matrix: {{dynamic: {{env: {{variables: {{V: [{'x' * 300}]}}}}}}}}\n")
    assert len(long.builds[0].identifier) <= 100


def test_a_fanout_is_the_same_build_with_a_share_each() -> None:
    found = expanded("  build-fanout: {parallelism: 3, ignore-failure: true, env: {variables: {A: b}}}\n")
    assert [build.shard for build in found.builds] == [(1, 3), (2, 3), (3, 3)]
    assert all(build.ignore_failure and build.variables == {"A": "b"} for build in found.builds)
    assert len({build.identifier for build in found.builds}) == 3


BAD = {
    "circle": (
        "  build-graph:\n    - {identifier: a, depend-on: [b]}\n    - {identifier: b, depend-on: [a]}\n",
        5,
        "wait for each other: a -> b -> a",
    ),
    "itself": ("  build-graph:\n    - {identifier: a, depend-on: [a]}\n", 4, "a -> a"),
    "unknown": ("  build-graph:\n    - {identifier: a, depend-on: [c]}\n", 4, "'c', which is no build"),
    "twice": ("  build-list:\n    - identifier: a\n    - identifier: a\n", 5, "two builds of the batch"),
    "nameless": ("  build-list:\n    - buildspec: a.yml\n", 4, "no identifier"),
    "waiting list": (
        "  build-list:\n    - identifier: a\n    - {identifier: b, depend-on: [a]}\n",
        5,
        "of a build-list has depend-on",
    ),
    "empty": ("  build-list: []\n", 2, "no build"),
    "none": ("  build-fanout: {parallelism: 0}\n", 3, "parallelism is 0"),
    "wide": ("  build-fanout: {parallelism: 101}\n", 3, "101 builds, and 100"),
    "huge": (
        "  build-matrix: {dynamic: {env: {variables: {"
        + ", ".join(f"V{n}: [a, b, c, d, e, f, g, h, i]" for n in range(12))
        + "}}}}\n",
        3,
        f"{9**12} builds, and 100",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_built_is_refused_at_its_place(name: str) -> None:
    text, line, message = BAD[name]
    with pytest.raises(UsageError) as caught:
        expanded(text)
    assert message in caught.value.what
    assert caught.value.where is not None
    assert caught.value.where.startswith(f"buildspec.yml:{line}:")


@pytest.mark.parametrize(
    ("restrictions", "message"),
    [
        ({"maximum_builds": 3}, "4 builds, and 3"),
        ({"compute_types": ("BUILD_GENERAL1_SMALL",)}, "compute-type BUILD_GENERAL1_LARGE"),
        ({"fleets": ("mine",)}, "fleet theirs"),
    ],
)
def test_a_projects_restrictions_hold(restrictions: dict[str, object], message: str) -> None:
    text = """\
  build-list:
    - {identifier: a, env: {compute-type: BUILD_GENERAL1_SMALL}}
    - {identifier: b, env: {compute-type: BUILD_GENERAL1_LARGE}}
    - {identifier: c, env: {fleet: theirs}}
    - {identifier: d}
"""
    assert len(expanded(text, maximum_builds=4).builds) == 4
    with pytest.raises(UsageError, match=message):
        expanded(text, **restrictions)


def test_choosing_leaves_out_what_the_chosen_ones_wait_for() -> None:
    found = choose(expanded(GRAPH), ["l*"])
    assert [(build.identifier, build.depend_on) for build in found.builds] == [
        ("left", ()),
        ("last", ("left",)),
    ]
    with pytest.raises(UsageError, match="'nothing'"):
        choose(found, ["nothing"])


@pytest.mark.parametrize(
    ("statuses", "whole", "kept_by"),
    [
        (
            {"first": "SUCCEEDED", "left": "SUCCEEDED", "right": "SUCCEEDED", "last": "SUCCEEDED"},
            "SUCCEEDED",
            "",
        ),
        (
            {"first": "SUCCEEDED", "left": "FAILED", "right": "SUCCEEDED", "last": "SUCCEEDED"},
            "SUCCEEDED",
            "",
        ),
        ({"first": "SUCCEEDED", "left": "SUCCEEDED", "right": "FAILED"}, "FAILED", "right"),
        ({"first": "SUCCEEDED", "left": "NOT_STARTED", "right": "SUCCEEDED"}, "FAILED", "left"),
        ({"first": "SUCCEEDED", "left": "SUCCEEDED", "right": "STOPPED"}, "STOPPED", "right"),
        ({"first": "SUCCEEDED", "left": "SUCCEEDED", "right": "TIMED_OUT"}, "FAILED", "right"),
    ],
)
def test_the_whole_succeeds_when_everything_does_whose_failure_counts(
    statuses: dict[str, str], whole: str, kept_by: str
) -> None:
    found = expanded(GRAPH)
    assert verdict(found, statuses) == whole
    assert obstacle(found.builds[-1], found.builds, statuses) == kept_by


class Suite:
    """A folder of test files, and the programs that share them out."""

    def __init__(self, folder: Path, names: list[str]) -> None:
        self.work = folder / "work"
        for name in names:
            (self.work / name).parent.mkdir(parents=True, exist_ok=True)
            (self.work / name).touch()
        sharding.write(folder / "bin")
        self.path = f"{folder / 'bin'}:{os.environ['PATH']}"

    def run(self, *arguments: str, shard: int = 1, shards: int = 1) -> subprocess.CompletedProcess[str]:
        env = {"PATH": self.path, sharding.SHARD: str(shard), sharding.SHARDS: str(shards)}
        return subprocess.run(
            arguments, cwd=self.work, env=env, capture_output=True, text=True, timeout=30, check=False
        )

    def share(self, shard: int, shards: int, strategy: str) -> list[str]:
        done = self.run(
            "codebuild-tests-run",
            *("--test-command", "printf '%s\\n'", "--files-search", "codebuild-glob-search '**/test_*.py'"),
            *("--sharding-strategy", strategy),
            shard=shard,
            shards=shards,
        )
        assert done.returncode == 0, done.stderr
        return [line for line in done.stdout.splitlines() if not line.startswith("codebuild-tests-run")]


ODD = [
    "test_a.py",
    "deep/er/test_b.py",
    "a b/test_it's.py",
    "ü/test_$x.py",
    "test_(1).py",
    "test_c.py",
    "test_d.py",
]


@pytest.mark.parametrize("strategy", ["equal-distribution", "stability"])
def test_every_test_file_is_in_exactly_one_share(tmp_path: Path, strategy: str) -> None:
    tests = Suite(tmp_path, [*ODD, "test_not.txt", "deep/other.py"])
    shares = [tests.share(number, 3, strategy) for number in (1, 2, 3)]
    assert sorted(name for share in shares for name in share) == sorted(ODD)
    if strategy == "equal-distribution":
        assert sorted(map(len, shares)) == [2, 2, 3]
        in_order = [name for share in shares for name in share]
        assert in_order == sorted(ODD, key=os.fsencode)


def test_stable_shares_stay_when_files_come(tmp_path: Path) -> None:
    names = [f"test_{number}.py" for number in range(60)]
    before = Suite(tmp_path / "before", names)
    after = Suite(tmp_path / "after", [*names, "test_0a.py", "test_new.py"])
    for number in (1, 2, 3, 4):
        share = before.share(number, 4, "stability")
        assert len(share) > 3
        assert set(share) <= set(after.share(number, 4, "stability"))


def test_a_share_of_nothing_runs_nothing(tmp_path: Path) -> None:
    tests = Suite(tmp_path, ["test_a.py"])
    command = ("codebuild-tests-run", "--test-command", "echo ran", "--files-search", "ls")
    assert tests.run(*command, shard=1, shards=2).stdout == "ran test_a.py\n"
    done = tests.run(*command, shard=2, shards=2)
    assert (done.returncode, done.stdout) == (0, "codebuild-tests-run: no test file for shard 2 of 2\n")


def test_a_command_may_take_its_files_from_the_variable(tmp_path: Path) -> None:
    tests = Suite(tmp_path, ["a/test_b.py", "test_c.py"])
    command = 'for f in $CODEBUILD_CURRENT_SHARD_FILES; do echo "[$f]"; done; exit 7'
    done = tests.run(
        "codebuild-tests-run", f"--test-command={command}", "--files-search=codebuild-glob-search '**'"
    )
    assert (done.returncode, done.stdout) == (7, "[a/test_b.py]\n[test_c.py]\n")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--files-search", "ls"], 2, "--test-command is missing"),
        (["--test-command", "true", "--files-search", "ls", "--sharding-strategy", "random"], 2, "random"),
        (["--test-command", "true", "--files-search", "exit 9"], 9, "ended with 9"),
        (["--tests"], 2, "no option --tests"),
    ],
)
def test_wrong_use_is_said(tmp_path: Path, arguments: list[str], code: int, said: str) -> None:
    done = Suite(tmp_path, ["test_a.py"]).run("codebuild-tests-run", *arguments)
    assert done.returncode == code
    assert said in done.stderr
