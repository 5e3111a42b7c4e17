"""What happens in a phase: commands until one fails, then `finally`, then perhaps all of it again.

Source: AWS CodeBuild user guide, "Build specification reference" and "Build phase transitions"; the wording of the
log and of the contexts is that of builds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.builds.model import OnFailure, Phase  # noqa: TC001 - msgspec reads them

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

NAMES = (
    "SUBMITTED",
    "QUEUED",
    "PROVISIONING",
    "DOWNLOAD_SOURCE",
    "INSTALL",
    "PRE_BUILD",
    "BUILD",
    "POST_BUILD",
    "UPLOAD_ARTIFACTS",
    "FINALIZING",
    "COMPLETED",
)
COMMANDS = ("INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD")
FAILED_COMMAND = "COMMAND_EXECUTION_ERROR"
TIMED_OUT = "BUILD_TIMED_OUT"


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A phase as a step is given it. `name` is upper case."""

    name: str
    commands: tuple[str, ...] = ()
    finally_: tuple[str, ...] = ()
    run_as: str = ""
    on_failure: OnFailure | None = None


class Context(NamedTuple):
    """Why a phase did not succeed, as CodeBuild shows it."""

    status_code: str
    message: str

    def __str__(self) -> str:
        return f"{self.status_code}: {self.message}"


class Does(NamedTuple):
    """What a phase needs from the world.

    `run` runs one command as a user and returns its exit status; `say` writes a line of the build's log;
    `mark` says from now on whether the build is succeeding.
    """

    run: Callable[[str, str], int]
    say: Callable[[str], None]
    mark: Callable[[bool], None]


def work(name: str, phase: Phase | None, run_as: str) -> Work:
    """What a phase has to do; `run_as` is the whole file's."""
    if phase is None:
        return Work(name=name)
    return Work(
        name=name,
        commands=tuple(command.value for command in phase.commands),
        finally_=tuple(command.value for command in phase.finally_),
        run_as=phase.run_as or run_as,
        on_failure=phase.on_failure,
    )


def run(phase: Work, does: Does) -> Context | None:
    """Run a phase to its end and return why it failed, or None."""
    does.say(f"Entering phase {phase.name}")
    tries = 0
    while True:
        failure = _once(phase, does)
        if failure is None or not again(phase.on_failure, tries, failure):
            break
        tries += 1
        most = phase.on_failure.times if phase.on_failure else 0
        does.say(f"Retrying phase {phase.name}: retry {tries} of {most}")
        does.mark(True)
    for line in completion(phase.name, failure):
        does.say(line)
    return failure


def completion(name: str, failure: Context | None, state: str = "") -> tuple[str, str]:
    """The two lines with which a phase ends in the log."""
    code, message = failure or ("", "")
    state = state or ("FAILED" if failure else "SUCCEEDED")
    return (
        f"Phase complete: {name} State: {state}",
        f"Phase context status code: {code} Message: {message}",
    )


def again(rule: OnFailure | None, tries: int, failure: Context) -> bool:
    """Whether a phase that has been retried `tries` times is tried once more."""
    if rule is None or rule.action != "RETRY" or tries >= rule.times:
        return False
    if not rule.pattern:
        return True
    try:
        return re.search(rule.pattern, failure.message) is not None
    except re.error:
        return rule.pattern in failure.message


def follows(phases: Mapping[str, OnFailure | None]) -> dict[str, tuple[str, ...]]:
    """For each later phase, which failures do not keep it from running. `phases` are those with commands.

    A failed BUILD is followed by POST_BUILD and the upload, a failed POST_BUILD by the upload; CONTINUE goes on
    after any phase, ABORT after none.
    """
    usual = {"BUILD": ("POST_BUILD", "UPLOAD_ARTIFACTS"), "POST_BUILD": ("UPLOAD_ARTIFACTS",)}
    after: dict[str, tuple[str, ...]] = {}
    later = [*COMMANDS, "UPLOAD_ARTIFACTS"]
    for name in COMMANDS:
        rule = phases.get(name)
        goes = usual.get(name, ())
        if rule is not None and rule.action == "CONTINUE":
            goes = tuple(later[later.index(name) + 1 :])
        elif rule is not None and rule.action == "ABORT":
            goes = ()
        for follower in goes:
            after[follower] = (*after.get(follower, ()), name)
    return after


def _once(phase: Work, does: Does) -> Context | None:
    failure: Context | None = None
    for command in phase.commands:
        failure = _command(command, phase.run_as, does)
        if failure is not None:
            does.mark(False)
            break
    for command in phase.finally_:
        late = _command(command, phase.run_as, does)
        if late is not None:
            does.mark(False)
            return failure or late
    return failure


def _command(command: str, user: str, does: Does) -> Context | None:
    does.say(f"Running command {command}")
    status = does.run(command, user)
    if status == 0:
        return None
    does.say(f"Command did not exit successfully {command} exit status {status}")
    return Context(FAILED_COMMAND, f"Error while executing command: {command}. Reason: exit status {status}")
