"""JaCoCo's XML report. Source: https://www.jacoco.org/jacoco/trunk/coverage/report.dtd"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.builds.test_reports.model import FileCoverage
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
    for record in records(path, ("report",), ("sourcefile",)):
        element = record.element
        package = record.within("package").get("name", "")
        lines, branches = _counter(element, "LINE"), _counter(element, "BRANCH")
        yield FileCoverage(
            path=f"{package}/{element.get('name')}" if package else element.get("name"),
            lines=sum(lines),
            lines_covered=lines[1],
            branches=sum(branches),
            branches_covered=branches[1],
        )


def _counter(element: Element, kind: str) -> tuple[int, int]:
    """Missed and covered."""
    for one in element.children:
        if one.tag == "counter" and one.get("type") == kind:
            return whole(one.get("missed")), whole(one.get("covered"))
    return 0, 0
