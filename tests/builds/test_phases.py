"""What follows what: the transitions between phases, retries and `finally`, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from seatrial.builds.model import OnFailure
from seatrial.builds.phases import Does, Work, follows, run
from support.built import build, context, log, phases, statuses, write

if TYPE_CHECKING:
    from pathlib import Path

ABORT, CONTINUE = OnFailure(action="ABORT"), OnFailure(action="CONTINUE")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ({"INSTALL": None}, {}),
        ({"PRE_BUILD": None}, {}),
        ({"BUILD": None}, {"POST_BUILD": ("BUILD",), "UPLOAD_ARTIFACTS": ("BUILD", "POST_BUILD")}),
        ({"BUILD": ABORT}, {"UPLOAD_ARTIFACTS": ("POST_BUILD",)}),
        ({"POST_BUILD": ABORT}, {"POST_BUILD": ("BUILD",), "UPLOAD_ARTIFACTS": ("BUILD",)}),
        (
            {"INSTALL": CONTINUE},
            {
                "PRE_BUILD": ("INSTALL",),
                "BUILD": ("INSTALL",),
                "POST_BUILD": ("INSTALL", "BUILD"),
                "UPLOAD_ARTIFACTS": ("INSTALL", "BUILD", "POST_BUILD"),
            },
        ),
    ],
)
def test_which_failures_a_phase_runs_despite(
    rules: dict[str, OnFailure | None], expected: dict[str, tuple[str, ...]]
) -> None:
    usual = {"POST_BUILD": ("BUILD",), "UPLOAD_ARTIFACTS": ("BUILD", "POST_BUILD")}
    assert follows(rules) == (expected or usual)


@pytest.mark.parametrize(
    ("rule", "statuses", "ran", "fails"),
    [
        (None, [1], ["a", "end"], True),
        (OnFailure(action="RETRY", times=3), [1, 0, 1, 0, 0, 0, 0], ["a", "end", "a", "end", "a", "b", "end"], False),
        (OnFailure(action="RETRY", times=1), [1, 0, 1, 0], ["a", "end", "a", "end"], True),
        (OnFailure(action="RETRY", times=0), [1, 0], ["a", "end"], True),
        (OnFailure(action="RETRY", times=3, pattern="exit status 7"), [1, 0], ["a", "end"], True),
        (OnFailure(action="RETRY", times=3, pattern="exit status [78]"), [7, 0, 0, 0, 0], ["a", "end", "a", "b", "end"], False),
        (CONTINUE, [1], ["a", "end"], True),
        (None, [0, 0, 4], ["a", "b", "end"], True),
    ],
)  # fmt: skip
def test_commands_of_a_phase(
    rule: OnFailure | None, statuses: list[int], ran: list[str], fails: bool
) -> None:
    left, done = list(statuses), list[str]()
    marks: list[bool] = []

    def one(command: str, _user: str) -> int:
        done.append(command)
        return left.pop(0) if left else 0

    work = Work(name="BUILD", commands=("a", "b"), finally_=("end",), on_failure=rule)
    failure = run(work, Does(one, lambda _: None, marks.append))
    assert done == ran
    assert (failure is not None) is fails
    assert (marks[-1] is False if marks else False) is fails


def test_the_message_is_of_the_first_command_that_failed() -> None:
    said: list[str] = []
    work = Work(name="BUILD", commands=("a",), finally_=("b",))
    failure = run(work, Does(lambda *_: 3, said.append, lambda _: None))
    assert failure == ("COMMAND_EXECUTION_ERROR", "Error while executing command: a. Reason: exit status 3")
    assert said == [
        "Entering phase BUILD",
        "Running command a",
        "Command did not exit successfully a exit status 3",
        "Running command b",
        "Command did not exit successfully b exit status 3",
        "Phase complete: BUILD State: FAILED",
        (
            "Phase context status code: COMMAND_EXECUTION_ERROR"
            " Message: Error while executing command: a. Reason: exit status 3"
        ),
    ]


def test_a_failed_build_is_followed_by_post_build_and_upload(tmp_path: Path) -> None:
    spec = phases(build=["false"], post_build=["echo s$CODEBUILD_BUILD_SUCCEEDING; echo x > left"])
    folder = write(tmp_path / "demo", f"{spec}artifacts: {{files: [left]}}\n")
    found = build(folder)
    assert statuses(found)["BUILD"] == "FAILED"
    assert statuses(found)["POST_BUILD"] == statuses(found)["UPLOAD_ARTIFACTS"] == "SUCCEEDED"
    assert list(found["outputs"]["artifacts"].values()) == [["left"]]
    assert "s0" in log(folder, found, "post_build").splitlines()
    assert context(found, "BUILD")[0] == "COMMAND_EXECUTION_ERROR"


def test_continue_goes_on_and_the_build_still_fails(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "demo",
        phases(
            install="on-failure: CONTINUE\ncommands: ['exit 3']",
            build="on-failure: ABORT\ncommands: ['false']",
            post_build=["echo never"],
        ),
    )
    found = build(folder)
    assert {name: status for name, status in statuses(found).items() if status == "FAILED"} == {
        "INSTALL": "FAILED",
        "BUILD": "FAILED",
    }
    assert statuses(found)["POST_BUILD"] is None
    assert found["build_status"] == "FAILED"


def test_version_01_starts_each_command_afresh(tmp_path: Path) -> None:
    spec = phases(build=["X=1; mkdir d; cd d", 'echo "x$X $(basename $PWD)"']).replace("0.2", "0.1")
    folder = write(tmp_path / "demo", spec)
    found = build(folder, "--no-check")
    assert "x src" in log(folder, found, "build").splitlines()


def test_bash_when_the_buildspec_says_so(tmp_path: Path) -> None:
    spec = phases(build=["A=(1 2); echo n${#A[@]}", "foo"]).replace("phases:", "env: {shell: bash}\nphases:")
    folder = write(tmp_path / "demo", spec)
    found = build(folder, "--no-check")
    text = log(folder, found, "build")
    assert "n2" in text.splitlines()
    assert "script.sh: line 4: foo: command not found" in text
