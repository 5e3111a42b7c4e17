"""Findings as JUnit XML: one suite, one test case for each file.

An error or warning is a failure of its file's case; notes are its output.
Source: https://github.com/testmoapp/junitxml
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.findings import Finding

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(findings: Sequence[Finding], checked: Sequence[tuple[str, str]]) -> str:
    """A `<testsuites>` document. Characters that XML cannot hold become `?`."""
    kinds = dict(checked)
    paths = dict.fromkeys([*kinds, *(one.path for one in findings)])
    cases = [
        _case(path, kinds.get(path, ""), [one for one in findings if one.path == path]) for path in paths
    ]
    failures = sum(1 for one in findings if one.severity != "note")
    totals = f'tests="{len(cases)}" failures="{failures}" errors="0" skipped="0" time="0"'
    body = "".join(cases)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f'<testsuites name="seatrial check" {totals}>\n'
        f'  <testsuite name="seatrial check" {totals}>\n{body}  </testsuite>\n</testsuites>\n'
    )


def _case(path: str, kind: str, findings: Sequence[Finding]) -> str:
    opening = f"    <testcase name={_attribute(path)} classname={_attribute(f'check.{kind}')} file={_attribute(path)}"
    if not findings:
        return f'{opening} time="0"/>\n'
    failures = "".join(_failure(one) for one in findings if one.severity != "note")
    notes = "\n".join(_words(one) for one in findings if one.severity == "note")
    output = f"      <system-out>{_text(notes)}</system-out>\n" if notes else ""
    return f'{opening} time="0">\n{failures}{output}    </testcase>\n'


def _failure(one: Finding) -> str:
    attributes = f"type={_attribute(f'{one.severity}: {one.rule}')} message={_attribute(one.message)}"
    return f"      <failure {attributes}>{_text(_words(one))}</failure>\n"


def _words(one: Finding) -> str:
    lines = [f"{one.path}:{one.line}:{one.column}: {one.severity}[{one.rule}] {one.message}"]
    lines += [f"cause: {one.cause}"] if one.cause else []
    lines += [f"fix: {one.fix.title}"] if one.fix else []
    return "\n".join(lines)


def _attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("?", text))


def _text(text: str) -> str:
    return escape(_NOT_XML.sub("?", text))
