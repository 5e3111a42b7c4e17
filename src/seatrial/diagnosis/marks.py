"""What any log says about itself: phases, exit codes, whether it went well, and which lines are worth reading."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from seatrial.diagnosis.matching import Hit, Hits
    from seatrial.diagnosis.model import Outcome

ENTERING = r"^Entering phase (?P<phase>[A-Z_]+)"
ENDED = r"^Phase complete: (?P<phase>[A-Z_]+) State: (?P<state>[A-Z_]+)"
EXITS = (
    r"(?i)exit(?:ed with)? (?:status|code)[:= ]{1,3}(?P<code>\d{1,3})\b",
    r"(?i)returned (?:a )?non-zero (?:exit (?:status|code)|code)[:= ]{1,3}(?P<code>\d{1,3})\b",
    r"(?i)failed with (?:error )?code (?P<code>\d{1,3})\b",
    r"exit-code[:= ]{1,3}(?P<code>\d{1,3})\b",
    r"exitcode *[:=] *-?(?P<code>\d{1,3})\b",
    r"^make: \*\*\* .*Error (?P<code>\d{1,3})\b",
    r"did not complete successfully: exit code: (?P<code>\d{1,3})\b",
    r"executor failed running .{0,400}exit code: (?P<code>\d{1,3})\b",
)
FAILED = (
    r"^Phase complete: [A-Z_]+ State: (?:FAILED|FAULT|TIMED_OUT|CLIENT_ERROR|STOPPED)",
    r"^Phase context status code: (?!\s)\w+_ERROR",
    r"Command did not (?:execute|exit) successfully",
    r"^(?:Error: )?Process completed with exit code [1-9]",
    r"^(?:BUILD FAILED|Build FAILED|FAILURE: Build failed)",
    r"^(?:Finished: FAILURE|Job failed|ERROR: Job failed)",
    r"^ERROR: failed to (?:solve|build)",
    r"^make: \*\*\* ",
    r"[1-9]\d* (?:failed|errors?)\b.* in \d+\.\d+s",
    r"did not complete successfully: exit code: [1-9]",
    r"executor failed running .{0,400}exit code: [1-9]",
    r"returned a non-zero code: [1-9]",
    r"^npm (?:ERR!|error) ",
    r"^ChildFailedError|ChildFailedError: *$",
    r"(?i)^(?:script|command|build|job|step|deployment|task|container|process)\b.{0,80}\b(?:failed|exited) with (?:exit )?(?:code|status)[: ]+[1-9]",
    r"^The overall deployment failed",
    r"failed=[1-9]\d* +skipped=",
    r"^exit status [1-9]",
)
SUCCEEDED = (
    r"^Phase complete: (?:POST_BUILD|UPLOAD_ARTIFACTS|FINALIZING) State: SUCCEEDED",
    r"^(?:BUILD SUCCESS|BUILD SUCCESSFUL|Build succeeded)",
    r"^(?:Finished: SUCCESS|Job succeeded)",
    r"(?i)exit(?:ed with)? (?:status|code)[:= ]{1,3}0\b",
    r"^=+ \d+ passed\b.* in \d",
    r"^Successfully (?:installed|built|tagged|pushed|deployed|uploaded|completed)",
    r"^(?:Build|Deployment|Training|Job|Run|Push|Upload|Installation|Provisioning) (?:has )?(?:complete|completed|finished|succeeded)\b",
    r"failed=0 +skipped=",
    r"^Apply complete!",
    r"^found 0 vulnerabilities",
    r"^Test Suites: \d+ passed, \d+ total",
)
CLOSING = re.compile(
    r"(?i)^(?!.*\b(?:not?|never|nothing|without|cannot|can't|couldn't|fail\w*|error\w*|unable|refused|denied|aborted|killed|invalid|missing|"
    r"time(?:d|out)|waiting|until|before|unless|to|must|should|expected)\b)"
    r"(?:.{0,60}\b)?(?:done|ok|success|successful|successfully|succeeded|passed|ready|healthy|connected|complete|completed|"
    r"finished|saved|built|rendered|deployed|installed|published|uploaded|pushed)[.!]?$"
)
"""A last line by which a program says in its own words that it went well."""
TELLING = (
    (5, r"^[A-Za-z_][\w.]*(?:Error|Exception|Fault|Denied)\b(?:: |$)"),
    (5, r"^(?:\S+: )?(?i:fatal|panic|fatal error|critical)\b[: ]"),
    (4, r"^(?:\[?(?:ERROR|Error|error|ERR|npm ERR!|npm error)\]?)[: ]"),
    (4, r"\b(?:error|Error|ERROR)(?:\[\w+\])?: \S"),
    (3, r"(?i)\b(?:cannot|can't|could not|couldn't|unable to|failed to|refused|denied|forbidden|unauthorized|not found|no such|not permitted|invalid|unexpected|undefined|unrecognized|timed out|killed|aborted|core dumped|segmentation|out of memory)\b"),
    (2, r"(?i)\b(?:failed|failure|exception)\b"),
)  # fmt: skip
"""How much a line tells, and the expressions of such lines."""

HANDLED = r"(?i)^falling back to |\(ignored\)$|\btrying again\b|\bcontinuing (?:without|anyway)\b"
"""The program says that it goes on by another way after what it printed just before."""
PASSED_LINE = re.compile(
    r"(?:^|\s)PASSED\s*(?:\[ *\d+%\])?$|^\[ +OK \] |^ok \d+ |^\s*[\u2713\u2714\u221a] |\.\.\. ok$"
)
"""A line by which a test runner says that one test passed: an error in it is part of the test's name."""
INFORMING = re.compile(r"(?:^|\s)(?:level|lvl)=\"?(?:info|debug|trace)\b|^(?:DEBUG|TRACE)\b")
"""A line of which its own program says that it is no failure."""
TEST_STARTS = r"^=== RUN\s"
TEST_PASSED = r"^\s*--- PASS: "
TEST_FAILED = r"^\s*--- FAIL: "

ALL = (ENTERING, ENDED, *EXITS, *FAILED, *SUCCEEDED, HANDLED, TEST_STARTS, TEST_PASSED, TEST_FAILED)


class Course(NamedTuple):
    """How the log went. `phases`: first line and name; `failing`: the first line that says that it failed."""

    outcome: Outcome
    phases: tuple[tuple[int, str], ...]
    states: dict[str, str]
    failing: int | None
    exit_code: int | None
    codes: frozenset[int]

    def phase(self, number: int) -> str:
        """The phase that a line belongs to, "" when none is known."""
        found = ""
        for start, name in self.phases:
            if start <= number:
                found = name
        return found

    @property
    def failed_phase(self) -> str:
        """The first phase that failed."""
        return next((name for name, state in self.states.items() if state not in _FINE), "")


_FINE = ("SUCCEEDED", "")
_SOON = 3
"""So many lines after a failure a program says that it goes on."""
_END = 12
"""A log says how it ended in this many last lines."""


def course(hits: dict[str, Hits], total: int, exit_code: int | None, last: str = "") -> Course:
    """How a log went, from its marks, its `last` line and what is known besides."""
    phases = tuple((hit.number, hit.captures["phase"]) for hit in hits.get(ENTERING, ()))
    states: dict[str, str] = {}
    for hit in hits.get(ENDED, ()):
        states.setdefault(hit.captures["phase"], hit.captures["state"])
    codes = sorted(
        (hit.number, int(hit.captures["code"])) for pattern in EXITS for hit in hits.get(pattern, ())
    )
    failing = _numbers(hits, FAILED)
    worst = exit_code if exit_code is not None else next((code for _, code in codes if code), None)
    outcome = _outcome(hits, total, exit_code, failing, states, last)
    known = frozenset((*(code for _, code in codes), *(() if exit_code is None else (exit_code,))))
    return Course(outcome, phases, states, failing[0] if failing else None, worst, known)


def _outcome(
    hits: dict[str, Hits],
    total: int,
    exit_code: int | None,
    failing: list[int],
    states: dict[str, str],
    last: str,
) -> Outcome:
    if exit_code is not None:
        return "failed" if exit_code else "succeeded"
    if states:
        if not all(state in _FINE for state in states.values()):
            return "failed"
        # A failure after the last phase that is told of belongs to a phase whose end is not in the log.
        told = max(hit.number for hit in hits.get(ENDED, ()))
        return "failed" if any(number > told for number in failing) else "succeeded"
    fine = [number for number in _numbers(hits, SUCCEEDED) if number > total - _END]
    fine += [total] if CLOSING.search(last) else []
    if fine and not any(number > fine[-1] - _END for number in failing):
        return "succeeded"
    return "failed" if failing else "unknown"


def overcome(hits: dict[str, Hits], number: int) -> bool:
    """Whether what a line says was got over: the program says so, or it is the output of a test that passed."""
    if any(number < hit.number <= number + _SOON for hit in hits.get(HANDLED, ())):
        return True
    starts = [hit.number for hit in hits.get(TEST_STARTS, ()) if hit.number < number]
    if not starts:
        return False
    passed, failed = (
        min((hit.number for hit in hits.get(mark, ()) if hit.number > starts[-1]), default=0)
        for mark in (TEST_PASSED, TEST_FAILED)
    )
    return number < passed and not (failed and failed < passed)


def in_passing(text: str) -> bool:
    """Whether a line names a test that passed, or is for information by its own words."""
    return bool(PASSED_LINE.search(text) or INFORMING.search(text))


def _numbers(hits: dict[str, Hits], patterns: tuple[str, ...]) -> list[int]:
    return sorted(hit.number for pattern in patterns for hit in hits.get(pattern, ()))


def telling(hits: dict[str, Hits]) -> list[tuple[int, Hit]]:
    """The lines worth reading with how much each tells; a line is there once."""
    best: dict[int, tuple[int, Hit]] = {}
    for weight, pattern in TELLING:
        for hit in hits.get(pattern, ()):
            if hit.number not in best:
                best[hit.number] = (weight, hit)
    return [best[number] for number in sorted(best)]
