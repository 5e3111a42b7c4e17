"""JUnit's XML, as Ant, Maven, Gradle, pytest, Jest, Mocha, GoogleTest and others write it.

Source: https://github.com/testmoapp/junitxml
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.builds.test_reports.model import Case, CaseStatus
from seatrial.builds.test_reports.values import joined, seconds
from seatrial.builds.test_reports.xml import records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.builds.test_reports.xml import Element

_SAYS: dict[str, CaseStatus] = {"error": "ERROR", "failure": "FAILED", "skipped": "SKIPPED"}


def cases(path: Path) -> Iterator[Case]:
    """The test cases of a file.

    Raises:
        Damaged: it is not one.
    """
    for element, around in records(path, ("testsuites", "testsuite"), ("testcase",)):
        suites = [attributes.get("name", "") for tag, attributes in around if tag == "testsuite"]
        status, message = _outcome(element)
        yield Case(
            name=element.get("name"),
            suite=element.get("classname") or element.get("class") or (suites[-1] if suites else ""),
            status=status,
            duration=seconds(element.get("time")),
            message=message,
        )


def _outcome(element: Element) -> tuple[CaseStatus, str]:
    # The worst of them counts: a test may fail and its teardown err.
    for tag, status in _SAYS.items():
        found = element.child(tag)
        if found is not None:
            return status, joined(found.get("message"), found.text)
    # GoogleTest says `status="notrun"` of disabled tests, others `result="skipped"` or `status="skipped"`.
    if (
        element.get("status").lower() in ("notrun", "skipped", "disabled")
        or element.get("result") == "skipped"
    ):
        return "SKIPPED", ""
    return "SUCCEEDED", ""
