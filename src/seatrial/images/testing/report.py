"""Reports of an image's test: JSON for programs, JUnit for CI systems, HTML for people."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import msgspec

from seatrial.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.images.testing.model import Check, Edit, Verdict

NAME = "image-tests"


def write_reports(verdict: Verdict, folder: Path) -> None:
    """Write `image-tests.json`, `.xml` and `.html` into `folder`, made when absent.

    Raises:
        SeatrialError: a file cannot be written.
    """
    from seatrial.reports.html import Row, image_tests_page

    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / f"{NAME}.json", msgspec.json.format(msgspec.json.encode(verdict), indent=2) + b"\n")
    write_atomic(folder / f"{NAME}.xml", junit(verdict))
    rows = [
        Row(c.id, c.status, c.message, c.fix, c.details, c.seconds, _shown(c.edit), c.ran)
        for c in verdict.checks
    ]
    page = image_tests_page(verdict.digest, verdict.verdict, verdict.level, f"{verdict.seconds:.1f}", rows)
    write_atomic(folder / f"{NAME}.html", page)


def _shown(edit: Edit | None) -> tuple[str, str, str] | None:
    if edit is None:
        return None
    return (f"{edit.file}:{edit.line}" if edit.line else f"mode of {edit.file}", edit.old, edit.new)


def edit_lines(edit: Edit) -> list[str]:
    """An edit as people read it: the place, then what goes and what comes."""
    if not edit.line:
        return [f"{edit.file}: mode {edit.old} → {edit.new}"]
    gone = [f"- {edit.old}"] if edit.old else []
    return [f"{edit.file}:{edit.line}", *gone, f"+ {edit.new}"]


def junit(verdict: Verdict) -> bytes:
    """One test suite with a test case for each check."""
    counts = {status: sum(c.status == status for c in verdict.checks) for status in ("fail", "skip")}
    suite = ET.Element(
        "testsuite", name="seatrial image test", tests=str(len(verdict.checks)), failures=str(counts["fail"]),
        skipped=str(counts["skip"]), errors="0", time=f"{verdict.seconds:.3f}",
    )  # fmt: skip
    for check in verdict.checks:
        suite.append(_case(check))
    root = ET.Element("testsuites")
    root.append(suite)
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'.encode()


def _case(check: Check) -> ET.Element:
    case = ET.Element("testcase", classname="image", name=check.id, time=f"{check.seconds:.3f}")
    fix = ["fix: " + check.fix] if check.fix else []
    edit = edit_lines(check.edit) if check.edit else []
    before = [f"answered from memory, as on {check.ran}"] if check.ran else []
    text = "\n".join([check.message, *fix, *edit, *before, *check.details])
    if check.status == "fail":
        ET.SubElement(case, "failure", message=_clean(check.message)).text = _clean(text)
    elif check.status == "skip":
        ET.SubElement(case, "skipped", message=_clean(check.message))
    else:
        ET.SubElement(case, "system-out").text = _clean(text)
    return case


def _clean(text: str) -> str:
    """XML 1.0 has no control characters but tab and line ends; programs print them."""
    return "".join(
        c if c in "\t\n\r" or " " <= c < "\ud800" or "\ue000" <= c < "\ufffe" or c > "\uffff" else "�"
        for c in text
    )
