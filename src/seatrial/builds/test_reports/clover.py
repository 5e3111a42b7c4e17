"""Clover's XML, as OpenClover, Istanbul and PHPUnit write it.

Lines are counted from the lines themselves; branches from a file's metrics, since producers differ in what the
`truecount` of a line means. Source: https://openclover.org/doc/manual/latest/general--about-code-coverage.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.builds.test_reports.lines import Lines
from seatrial.builds.test_reports.model import Damaged, FileCoverage
from seatrial.builds.test_reports.values import whole
from seatrial.builds.test_reports.xml import records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.builds.test_reports.xml import Element


def coverage(path: Path) -> Iterator[FileCoverage]:
    """The source files of a report.

    Raises:
        Damaged: it is not one.
    """
    for record in records(path, ("coverage",), ("file", "packages")):
        element = record.element
        if element.tag == "packages":
            raise Damaged(
                "this is Cobertura's XML",
                line=element.line,
                column=1,
                fix="file-format: COBERTURAXML reads it",
            )
        # Test code is listed beside the project, and is no part of it.
        if not any(tag == "testproject" for tag, _ in record.around):
            yield _file(element)


def _file(element: Element) -> FileCoverage:
    lines = Lines()
    for line in element.children:
        if line.tag == "line":
            true, false = whole(line.get("truecount")), whole(line.get("falsecount"))
            both = (2, (true > 0) + (false > 0)) if line.get("type") == "cond" else (0, 0)
            # A condition of Clover's own has no `count`: it ran when it was either true or false.
            lines.add(whole(line.get("num")), whole(line.get("count", str(true + false))), *both)
    found = lines.file(element.get("path") or element.get("name"))
    metrics = element.child("metrics")
    if metrics is None:
        return found
    if "conditionals" in metrics.attributes:
        of = whole(metrics.get("conditionals"))
        have = min(of, whole(metrics.get("coveredconditionals")))
        found = msgspec.structs.replace(found, branches=of, branches_covered=have)
    if not found.lines:
        of = whole(metrics.get("statements"))
        have = min(of, whole(metrics.get("coveredstatements")))
        found = msgspec.structs.replace(found, lines=of, lines_covered=have)
    return found
