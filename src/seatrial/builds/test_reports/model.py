"""Reports as CodeBuild keeps them: test cases with their status, or files with their coverage.

Source of statuses and limits: AWS CodeBuild user guide, "Test reports" and "Quotas for AWS CodeBuild".
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

CaseStatus = Literal["SUCCEEDED", "FAILED", "ERROR", "SKIPPED", "UNKNOWN"]
CASE_STATUSES: tuple[CaseStatus, ...] = ("SUCCEEDED", "FAILED", "ERROR", "SKIPPED", "UNKNOWN")
ReportStatus = Literal["GENERATING", "SUCCEEDED", "FAILED", "INCOMPLETE"]
ReportType = Literal["TEST", "CODE_COVERAGE"]

MOST_CASES = 500
LONGEST_NAME = 1000
LONGEST_MESSAGE = 5000


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One test. `duration` is in seconds, None when the file does not say; `file` is the report file that told of it."""

    name: str
    status: CaseStatus
    suite: str = ""
    duration: float | None = None
    message: str = ""
    file: str = ""


class FileCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one source file ran. `branches` is 0 where the producer counts none."""

    path: str
    lines: int
    lines_covered: int
    branches: int = 0
    branches_covered: int = 0


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a file could not be taken: what, where (line and column are 0 where there is no place) and what to do."""

    path: str
    message: str
    line: int = 0
    column: int = 0
    fix: str = ""

    def __str__(self) -> str:
        place = (
            f"{self.path}:{self.line}:{self.column}: " if self.line else f"{self.path}: " if self.path else ""
        )
        return f"{place}{self.message}"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One report group's result in one build.

    `counts` and `duration` tell of all cases that were read; `cases` has the first 500, as many as CodeBuild keeps,
    and `beyond` those of the others that did not succeed. `notes` say what was cut.
    """

    name: str
    format: str
    type: ReportType
    status: ReportStatus
    files: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    duration: float = 0.0
    cases: tuple[Case, ...] = ()
    beyond: tuple[Case, ...] = ()
    truncated: bool = False
    coverage: tuple[FileCoverage, ...] = ()
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    log: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """How many test cases there were."""
        return sum(self.counts.values())


class Covered(NamedTuple):
    """Sums over files."""

    lines: int
    lines_covered: int
    branches: int
    branches_covered: int


def covered(files: tuple[FileCoverage, ...]) -> Covered:
    """What all files together have."""
    return Covered(
        sum(one.lines for one in files),
        sum(one.lines_covered for one in files),
        sum(one.branches for one in files),
        sum(one.branches_covered for one in files),
    )


def percent(part: int, whole: int) -> float | None:
    """Two digits, or None when there is nothing to have a part of."""
    return round(100 * part / whole, 2) if whole else None


def pass_rate(counts: dict[str, int]) -> float | None:
    """Succeeded cases in percent of those that ran; skipped ones did not. None when none ran."""
    ran = sum(number for status, number in counts.items() if status != "SKIPPED")
    return percent(counts.get("SUCCEEDED", 0), ran)


class Damaged(Exception):  # noqa: N818 - what is said of a file, not a mistake of ours
    """A file that is not what it should be; `line` and `column` are 0 when there is no place."""

    def __init__(self, message: str, *, line: int = 0, column: int = 0, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.fix = fix
