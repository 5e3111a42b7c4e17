"""NUnit's result files: version 2 (`test-results`) and version 3 (`test-run`).

Source: https://docs.nunit.org/articles/nunit/technical-notes/usage/Test-Result-XML-Format.html
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

_TWO: dict[str, CaseStatus] = {
    "success": "SUCCEEDED", "failure": "FAILED", "error": "ERROR", "notrunnable": "ERROR", "cancelled": "ERROR",
    "ignored": "SKIPPED", "skipped": "SKIPPED", "inconclusive": "UNKNOWN",
}  # fmt: skip
_THREE: dict[str, CaseStatus] = {
    "passed": "SUCCEEDED", "warning": "SUCCEEDED", "failed": "FAILED", "skipped": "SKIPPED", "inconclusive": "UNKNOWN",
}  # fmt: skip
_ERRORS = frozenset({"error", "invalid", "cancelled"})


def cases(path: Path) -> Iterator[Case]:
    """The test cases of a file of version 2.

    Raises:
        Damaged: it is not one.
    """
    for element, _ in records(path, ("test-results",), ("test-case",)):
        suite, _, name = _split(element.get("name"))
        yield Case(
            name=name, suite=suite, status=_old_status(element), duration=seconds(element.get("time")), message=_message(element)
        )  # fmt: skip


def cases_of_3(path: Path) -> Iterator[Case]:
    """The test cases of a file of version 3.

    Raises:
        Damaged: it is not one.
    """
    for element, _ in records(path, ("test-run",), ("test-case",)):
        status = _THREE.get(element.get("result").lower(), "UNKNOWN")
        if status == "FAILED" and element.get("label").lower() in _ERRORS:
            status = "ERROR"
        suite, _, last = _split(element.get("fullname"))
        yield Case(
            name=element.get("name") or last,
            suite=element.get("classname") or suite,
            status=status,
            duration=seconds(element.get("duration") or element.get("time")),
            message=_message(element),
        )


def _old_status(element: Element) -> CaseStatus:
    result = element.get("result").lower()
    if result:
        return _TWO.get(result, "UNKNOWN")
    # Before 2.5 there was no `result`.
    if element.get("executed").lower() == "false":
        return "SKIPPED"
    return "SUCCEEDED" if element.get("success").lower() == "true" else "FAILED"


def _split(name: str) -> tuple[str, str, str]:
    """Class and method of a full name; the dots of arguments do not count."""
    head, bracket, arguments = name.partition("(")
    suite, dot, last = head.rpartition(".")
    return suite, dot, last + bracket + arguments


def _message(element: Element) -> str:
    for tag in ("failure", "reason"):
        found = element.child(tag)
        if found is not None:
            parts = (found.child("message"), found.child("stack-trace"))
            return joined(*(one.text for one in parts if one is not None))
    return ""
