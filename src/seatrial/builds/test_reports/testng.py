"""TestNG's `testng-results.xml`. Methods that only prepare or clean up are no tests, except when they fail.

Source: https://testng.org/#_test_results
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

_STATUS: dict[str, CaseStatus] = {"PASS": "SUCCEEDED", "FAIL": "FAILED", "SKIP": "SKIPPED"}


def cases(path: Path) -> Iterator[Case]:
    """The test cases of a file.

    Raises:
        Damaged: it is not one.
    """
    for record in records(path, ("testng-results",), ("test-method",)):
        element = record.element
        status = _STATUS.get(element.get("status").upper(), "UNKNOWN")
        if element.get("is-config").lower() == "true":
            if status != "FAILED":
                continue
            status = "ERROR"
        milliseconds = seconds(element.get("duration-ms"))
        yield Case(
            name=element.get("name") + _arguments(element),
            suite=record.within("class").get("name", ""),
            status=status,
            duration=None if milliseconds is None else milliseconds / 1000,
            message=_message(element),
        )


def _arguments(element: Element) -> str:
    params = element.child("params")
    if params is None:
        return ""
    values = [value.text if (value := param.child("value")) else "" for param in params.children]
    return f"({', '.join(values)})"


def _message(element: Element) -> str:
    found = element.child("exception")
    if found is None:
        return ""
    parts = (found.child("message"), found.child("full-stacktrace") or found.child("short-stacktrace"))
    return joined(*(one.text for one in parts if one is not None)) or found.get("class")
