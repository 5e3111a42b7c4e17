"""A report group of a buildspec becomes a report: its files are found, read, and held to CodeBuild's limits."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.builds import patterns
from seatrial.builds.test_reports.model import (
    CASE_STATUSES,
    LONGEST_MESSAGE,
    LONGEST_NAME,
    MOST_CASES,
    Case,
    Damaged,
    FileCoverage,
    Problem,
    Report,
)
from seatrial.builds.view import below
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from seatrial.builds.model import ReportGroup
    from seatrial.builds.test_reports.model import ReportStatus, ReportType
    from seatrial.builds.view import View

# Each format's module here, and its function.
TESTS: dict[str, tuple[str, str]] = {
    "CUCUMBERJSON": ("cucumber", "cases"),
    "JUNITXML": ("junit", "cases"),
    "NUNITXML": ("nunit", "cases"),
    "NUNIT3XML": ("nunit", "cases_of_3"),
    "TESTNGXML": ("testng", "cases"),
    "VISUALSTUDIOTRX": ("trx", "cases"),
}
COVERAGE: dict[str, tuple[str, str]] = {
    "CLOVERXML": ("clover", "coverage"),
    "COBERTURAXML": ("cobertura", "coverage"),
    "JACOCOXML": ("jacoco", "coverage"),
    "SIMPLECOV": ("simplecov", "coverage"),
}
FORMATS = (*TESTS, *COVERAGE)
_MOST_FILES = 100_000
"""Source files of a coverage report that are kept."""


def read(
    group: ReportGroup, root: Path, *, group_type: ReportType | None = None, view: View | None = None
) -> Report:
    """The report that the files of `group` below `root` make; a file that cannot be read fails it.

    `view` is what the build sees of this machine, by default `root` alone, and `root` is then as the build sees it.
    `group_type` is the type of a report group that exists already: one for tests takes no coverage, and the other way.
    Statuses: SUCCEEDED when every case did, FAILED when one did not or a file is damaged, INCOMPLETE when there is
    no file or nothing in the files.
    """
    kind: ReportType = "CODE_COVERAGE" if group.file_format in COVERAGE else "TEST"
    if group.file_format not in FORMATS:
        fix = f"use one of {', '.join(FORMATS)}"
        return _refused(group, kind, f"{group.file_format} is not a file format of reports", fix)
    if group_type is not None and group_type != kind:
        held = "code coverage" if group_type == "CODE_COVERAGE" else "test results"
        return _refused(
            group,
            kind,
            f"the report group {group.name} is of type {group_type} and cannot take {group.file_format}",
            f"it takes {held}; name another report group for this format",
        )
    root = root.resolve() if view is None else root
    found = _find(group, root, below(root) if view is None else view)
    report = read_files(group.name, group.file_format, tuple(found.files), root=root, called=found.files)
    if found.problem is not None:
        report = msgspec.structs.replace(report, status="FAILED", problems=(found.problem, *report.problems))
    return msgspec.structs.replace(report, log=found.log, notes=(*found.notes, *report.notes))


def read_files(
    name: str,
    file_format: str,
    files: Sequence[Path],
    *,
    root: Path | None = None,
    called: Mapping[Path, str] | None = None,
) -> Report:
    """The report that `files` make, whatever found them; paths in it are relative to `root` where they are below it.

    `file_format` is one of FORMATS. `called` has other names for files than where they lie.
    """
    shown = {file: (called or {}).get(file) or _relative(file, root) for file in files}
    problems: list[Problem] = []
    if file_format in COVERAGE:
        report = _coverage(name, file_format, shown, root, problems)
    else:
        report = _tests(name, file_format, shown, problems)
    notes = list(report.notes)
    if not files:
        notes.append("no file matches the patterns of this report group")
    elif not problems and not report.total and not report.coverage:
        what = "source file" if file_format in COVERAGE else "test case"
        notes.append(f"the {'file holds' if len(files) == 1 else 'files hold'} no {what}")
    return msgspec.structs.replace(
        report,
        status=_status(report, problems),
        files=tuple(shown.values()),
        problems=tuple(problems),
        notes=tuple(notes),
    )


def _status(report: Report, problems: Sequence[Problem]) -> ReportStatus:
    if problems or report.counts.get("FAILED", 0) or report.counts.get("ERROR", 0):
        return "FAILED"
    return "SUCCEEDED" if report.total or report.coverage else "INCOMPLETE"


def _tests(name: str, file_format: str, files: Mapping[Path, str], problems: list[Problem]) -> Report:
    counts: dict[str, int] = dict.fromkeys(CASE_STATUSES, 0)
    duration, cut = 0.0, 0
    kept: list[Case] = []
    beyond: list[Case] = []
    for case in _each(TESTS[file_format], files, problems):
        counts[case.status] += 1
        duration += case.duration or 0.0
        bounded = _bounded(case)
        cut += bounded is not case
        if len(kept) < MOST_CASES:
            kept.append(bounded)
        elif case.status in ("FAILED", "ERROR") and len(beyond) < MOST_CASES:
            beyond.append(bounded)
    total = sum(counts.values())
    notes = []
    if total > MOST_CASES:
        notes.append(f"CodeBuild keeps the first {MOST_CASES} of these {total} test cases")
    if cut:
        cases = "1 case has" if cut == 1 else f"{cut} cases have"
        notes.append(
            f"{cases} a name over {LONGEST_NAME} or a message over {LONGEST_MESSAGE} characters, which are cut there"
        )
    return Report(
        name=name,
        format=file_format,
        type="TEST",
        status="GENERATING",
        counts=counts,
        duration=round(duration, 6),
        cases=tuple(kept),
        beyond=tuple(beyond),
        truncated=total > MOST_CASES or bool(cut),
        notes=tuple(notes),
    )


def _coverage(
    name: str, file_format: str, files: Mapping[Path, str], root: Path | None, problems: list[Problem]
) -> Report:
    held: dict[str, FileCoverage] = {}
    dropped = 0
    for one in _each(COVERAGE[file_format], files, problems):
        path = _relative(Path(one.path), root) if one.path.startswith("/") else one.path
        before = held.get(path)
        if before is None and len(held) >= _MOST_FILES:
            dropped += 1
        # The same source file in two reports: lines cannot be matched up any more, so the better one stands.
        elif before is None or before.lines_covered < one.lines_covered:
            held[path] = msgspec.structs.replace(one, path=path)
    notes = (f"{dropped} source files over {_MOST_FILES} are left out",) if dropped else ()
    return Report(
        name=name,
        format=file_format,
        type="CODE_COVERAGE",
        status="GENERATING",
        coverage=tuple(held[path] for path in sorted(held)),
        truncated=bool(dropped),
        notes=notes,
    )


def _each(reader: tuple[str, str], files: Mapping[Path, str], problems: list[Problem]) -> Iterator[Any]:
    """What each file holds; what was read before the damage counts as well."""
    module, function = reader
    parse: Callable[[Path], Iterator[Any]] = getattr(
        importlib.import_module(f"seatrial.builds.test_reports.{module}"), function
    )
    for file, shown in files.items():
        try:
            for one in parse(file):
                yield msgspec.structs.replace(one, file=shown) if isinstance(one, Case) else one
        except Damaged as error:
            problems.append(
                Problem(
                    path=shown, message=error.message, line=error.line, column=error.column, fix=error.fix
                )
            )
        except OSError as error:
            problems.append(Problem(path=shown, message=f"the file cannot be read: {error.strerror}"))


def _bounded(case: Case) -> Case:
    if len(case.name) <= LONGEST_NAME and len(case.message) <= LONGEST_MESSAGE:
        return case
    return msgspec.structs.replace(
        case, name=case.name[:LONGEST_NAME], message=case.message[:LONGEST_MESSAGE]
    )


class _Found(msgspec.Struct, frozen=True):
    """Files with their names below the root, what CodeBuild logs for them, and why the search ended early."""

    files: dict[Path, str]
    log: tuple[str, ...]
    notes: tuple[str, ...]
    problem: Problem | None = None


def _find(group: ReportGroup, root: Path, view: View) -> _Found:
    """The files of a group, each once, in the order of its patterns."""
    shown = group.base_directory or "."
    log = [f"Expanding base directory path: {shown}", "Assembling file list", f"Expanding {shown}"]
    files: dict[Path, str] = {}
    notes: list[str] = []
    try:
        bases = _bases(shown, root, view)
        if not bases:
            log.append(f"no matching base directory path found for {shown}")
            return _Found(files, tuple(log), (f"no folder matches the base-directory {shown}",))
        log += [f"Expanding file paths for base directory {shown}", "Assembling file list"]
        for pattern in group.files:
            before = len(files)
            log.append(f"Expanding {pattern.value}")
            for base in bases:
                for one in patterns.find(view, base, pattern.value):
                    place = one.name if one.name.startswith("/") else f"{base}/{one.name}"
                    files.setdefault(Path(one.place), _relative(Path(place), root))
            if len(files) == before:
                log.append(f"Skipping invalid file path {pattern.value}")
                notes.append(f"{pattern.value} matches no file")
    except (OSError, SeatrialError) as error:
        said = error.what if isinstance(error, SeatrialError) else str(error)
        problem = Problem(path=shown, message=f"the files cannot be searched for: {said}")
        return _Found(files, tuple(log), tuple(notes), problem)
    log.append(f"Found {len(files)} file(s)")
    return _Found(files, tuple(log), tuple(notes))


def _bases(shown: str, root: Path, view: View) -> list[str]:
    """The folders that patterns start from, as the build sees them; what is relative is below the root."""
    if patterns.clean(shown) == ".":
        return [str(root)]
    found = patterns.find(view, str(root), shown, folders=True)
    return [one.name if one.name.startswith("/") else f"{root}/{one.name}" for one in found]


def _relative(file: Path, root: Path | None) -> str:
    if root is not None and file.is_relative_to(root):
        return file.relative_to(root).as_posix()
    return str(file)


def _refused(group: ReportGroup, kind: ReportType, message: str, fix: str) -> Report:
    problem = Problem(
        path=group.place.path, line=group.place.line, column=group.place.column, message=message, fix=fix
    )
    return Report(name=group.name, format=group.file_format, type=kind, status="FAILED", problems=(problem,))
