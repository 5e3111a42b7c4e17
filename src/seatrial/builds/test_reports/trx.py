"""Visual Studio's test results (.trx), as `dotnet test --logger trx` writes them.

Source: the schema vstst.xsd that comes with Visual Studio (namespace microsoft.com/schemas/VisualStudio/TeamTest/2010).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.builds.test_reports.model import Case, CaseStatus
from seatrial.builds.test_reports.values import clock, joined
from seatrial.builds.test_reports.xml import records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.builds.test_reports.xml import Element

_STATUS: dict[str, CaseStatus] = {
    "passed": "SUCCEEDED", "passedbutrunaborted": "SUCCEEDED", "warning": "SUCCEEDED", "completed": "SUCCEEDED",
    "failed": "FAILED", "error": "ERROR", "timeout": "ERROR", "aborted": "ERROR", "notrunnable": "ERROR",
    "disconnected": "ERROR", "notexecuted": "SKIPPED", "pending": "UNKNOWN", "inprogress": "UNKNOWN", "inconclusive": "UNKNOWN",
}  # fmt: skip
_RESULTS = ("UnitTestResult", "TestResultAggregation", "TestResult", "GenericTestResult", "WebTestResult")


def cases(path: Path) -> Iterator[Case]:
    """The test cases of a file; the rows of a data-driven test are one each.

    Raises:
        Damaged: it is not one.
    """
    # The definitions, which know the classes, come after the results: results wait here for them.
    found: list[tuple[str, Case]] = []
    classes: dict[str, str] = {}
    for element, _ in records(path, ("TestRun",), (*_RESULTS, "UnitTest")):
        if element.tag == "UnitTest":
            method = element.child("TestMethod")
            # `Some.Class, Assembly, Version=…` in older files.
            classes[element.get("id")] = method.get("className").split(",")[0] if method is not None else ""
        else:
            found += ((one.get("testId"), _case(one)) for one in _leaves(element))
    for identifier, case in found:
        yield msgspec.structs.replace(case, suite=classes.get(identifier, ""))


def _leaves(element: Element) -> Iterator[Element]:
    inner = element.child("InnerResults")
    if inner is None or not inner.children:
        yield element
        return
    for one in inner.children:
        yield from _leaves(one)


def _case(element: Element) -> Case:
    output = element.child("Output")
    parts: list[Element | None] = []
    if output is not None:
        parts = [output.find("ErrorInfo", "Message"), output.find("ErrorInfo", "StackTrace")]
    outcome = element.get("outcome")
    return Case(
        name=element.get("testName"),
        # vstst.xsd: an outcome that is not written is "Error".
        status=_STATUS.get(outcome.lower(), "UNKNOWN") if outcome else "ERROR",
        duration=clock(element.get("duration")),
        message=joined(*(one.text for one in parts if one is not None)),
    )
