"""Build, and when it fails: find the cause, change as little as removes it, and build again. At most three times.

The user's files are not touched here. What was changed is built from a copy, shown as a diff, and written by
`repairs.project.write` when the user asks for it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING

import msgspec

from seatrial.diagnosis.explain import explain
from seatrial.diagnosis.loading import builtin
from seatrial.diagnosis.model import Cause, Context, Evidence
from seatrial.files import remove_tree
from seatrial.images.builders.build import Order, Outcome, Watching, build
from seatrial.images.builders.model import Built, Ended, Step
from seatrial.images.builders.repairs import actions
from seatrial.images.builders.repairs.case import Case, Fix
from seatrial.images.builders.repairs.project import Project, difference, materialise
from seatrial.sources.dockerfile import read
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seatrial.images.assemble.store import Use
    from seatrial.images.builders.model import Builder

# That a step failed is known anyway.
_VAGUE = ("docker-build-step-failed",)
MOST = 3
"""Attempts to repair; so a build runs at most one time more."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One failure and what was done about it.

    `line` is that of the Dockerfile's step, `evidence` of the log. `fix` and `diff` are empty for a failure that is
    tried again as it is, because its cause passes by itself. `helped`: the next build did not fail of the same cause.
    """

    number: int
    cause: str
    title: str
    explanation: str
    evidence: Evidence
    step: str = ""
    line: int = 0
    fix: str = ""
    diff: str = ""
    helped: bool = False


class Repaired(msgspec.Struct, frozen=True, kw_only=True):
    """The image, or the last failure; the attempts in between, and all that was changed as one diff.

    `cause` is what stopped the build when there is no image, with the advice that goes with it; None when the log
    says nothing that is known.
    """

    built: Built | None
    ended: Ended
    attempts: tuple[Attempt, ...]
    project: Project
    diff: str
    cause: Cause | None = None
    telling: tuple[Evidence, ...] = ()


class _Failure(msgspec.Struct, frozen=True):
    cause: Cause
    step: Step | None
    line: int

    @property
    def key(self) -> tuple[str, str, str]:
        """By this two failures are the same one."""
        return (self.cause.id, self.cause.evidence.text, self.step.instruction if self.step else "")


def repair(
    order: Order,
    project: Project,
    builder: Builder,
    out: Path,
    work: Path,
    use: Use,
    *,
    most: int = MOST,
    watching: Watching = Watching(),  # noqa: B008 - frozen
    told: Callable[[Attempt], None] = lambda _attempt: None,
    conflict: Callable[[Case], Iterator[Fix]] = lambda _case: iter(()),
) -> Repaired:
    """Build `project`, repairing what fails. `out` is the place of the layout, `work` an empty folder.

    `told` hears of each attempt before its build. `conflict` gives fixes for requirements that contradict each other.

    Raises:
        SeatrialError: the build cannot be started, or its image holds what must not leave this machine.
    """
    start, tried = project, set[str]()
    attempts: list[Attempt] = []
    kept = project  # what the last build was made of, before the newest fix
    before: _Failure | None = None
    number = 0
    while True:
        outcome = _try(order, project, builder, out, work / str(number), use, watching)
        if outcome.built is not None:
            attempts = _judged(attempts, helped=True)
            return _result(outcome, attempts, start, project)
        failure, explanation = _why(outcome)
        same = before is not None and failure is not None and failure.key == before.key
        attempts = _judged(attempts, helped=not same)
        if same:
            project = kept  # it did not help, so it is taken back
        if failure is None or number >= most:
            cause = failure.cause if failure else None
            return _result(outcome, attempts, start, project, cause, explanation)
        fix = next(
            (one for one in _fixes(project, failure, outcome, conflict) if _new(one, failure, tried)), None
        )
        passing = fix is None and failure.cause.retry == "transient" and not same
        if fix is None and not passing:
            return _result(outcome, attempts, start, project, failure.cause)
        kept = project
        project = project.with_changes(fix.changes) if fix else project
        number += 1
        attempts.append(_attempt(number, failure, fix, difference(kept, project)))
        told(attempts[-1])
        before = failure


def _try(
    order: Order, project: Project, builder: Builder, out: Path, work: Path, use: Use, watching: Watching
) -> Outcome:
    work.mkdir()
    source = project.source(project.dockerfile) or Source(project.dockerfile, "")
    wrong = read(source).findings
    if wrong:
        # What every builder refuses needs no builder to say so, and some run the steps before it first.
        lines = [
            f"{one.path}:{one.line}: dockerfile parse error on line {one.line}: {one.message}"
            for one in wrong
        ]
        ended = Ended(code=1, steps=(), log="\n".join(lines) + "\n", seconds=0.0)
        for line in lines:
            watching.line(line)
        return Outcome(ended=ended)
    try:
        context = materialise(project, work)
        return build(
            msgspec.structs.replace(order, context=context), source, builder, out, _made(work / "build"), use,
            watching=watching,
        )  # fmt: skip
    finally:
        remove_tree(work)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _why(outcome: Outcome) -> tuple[_Failure | None, tuple[Evidence, ...]]:
    """The best cause with the step that failed, and the lines that tell most when no cause is known."""
    found = explain(outcome.ended.log, context=Context(exit_code=outcome.ended.code or 1))
    step = next((one for one in reversed(outcome.ended.steps) if one.state == "failed"), None)
    telling = [one for one in found.causes if one.id not in _VAGUE]
    if telling or found.causes:
        return _Failure((telling or found.causes)[0], step, step.line if step else 0), found.lines
    if step is None:
        return None, found.lines
    return _Failure(_unknown(step, found.lines, outcome.ended.log), step, step.line), found.lines


def _unknown(step: Step, lines: tuple[Evidence, ...], log: str) -> Cause:
    """The cause of a log that says nothing known: a step failed, and this is the line that tells most of it."""
    said = [line for line in log.splitlines() if line.strip()]
    last = Evidence(line=len(log.splitlines()), text=said[-1] if said else "")
    return Cause(
        id=_VAGUE[0],
        service="docker",
        title="A step of the Dockerfile failed",
        cause=f"`{step.instruction}` ended with an error that is not known.",
        fix="Read the lines above: the program in this step says what it wants.",
        confidence="low",
        evidence=lines[0] if lines else last,
    )


def _fixes(
    project: Project, failure: _Failure, outcome: Outcome, conflict: Callable[[Case], Iterator[Fix]]
) -> Iterator[Fix]:
    source = project.source(project.dockerfile)
    if source is None:
        return
    dockerfile = read(source)
    failed = next(
        (
            one
            for one in dockerfile.instructions
            if failure.line and source.position(one.start)[0] == failure.line
        ),
        None,
    )
    found = explain(outcome.ended.log, context=Context(exit_code=outcome.ended.code or 1))
    for cause in (failure.cause, *(one for one in found.causes[1:] if one.rank != "consequence")):
        case = Case(project, dockerfile, cause, failed, outcome.ended.log)
        yield from actions.propose(case, conflict)


def _new(fix: Fix, failure: _Failure, tried: set[str]) -> bool:
    """Whether this very change was not tried yet; from now on it was."""
    key = hashlib.sha256(repr((failure.cause.id, fix.changes)).encode()).hexdigest()
    if key in tried:
        return False
    tried.add(key)
    return True


def _judged(attempts: list[Attempt], *, helped: bool) -> list[Attempt]:
    return [*attempts[:-1], msgspec.structs.replace(attempts[-1], helped=helped)] if attempts else attempts


def _attempt(number: int, failure: _Failure, fix: Fix | None, diff: str) -> Attempt:
    shown = next((one for one in builtin() if fix and one.id == fix.cause), None)
    return Attempt(
        number=number,
        cause=shown.id if shown else failure.cause.id,
        title=shown.title if shown else failure.cause.title,
        explanation=shown.title if shown else failure.cause.cause,
        evidence=failure.cause.evidence,
        step=failure.step.instruction if failure.step else "",
        line=failure.line,
        fix=fix.title if fix else "",
        diff=diff,
    )


def _result(
    outcome: Outcome,
    attempts: list[Attempt],
    start: Project,
    project: Project,
    cause: Cause | None = None,
    telling: tuple[Evidence, ...] = (),
) -> Repaired:
    return Repaired(
        built=outcome.built,
        ended=outcome.ended,
        attempts=tuple(attempts),
        project=project,
        diff=difference(start, project),
        cause=cause,
        telling=telling,
    )
