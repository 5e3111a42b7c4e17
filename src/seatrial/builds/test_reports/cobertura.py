"""Cobertura's XML, as coverage.py, Istanbul, gcovr, coverlet and others write it.

Source: http://cobertura.sourceforge.net/xml/coverage-04.dtd
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.builds.test_reports.lines import Lines
from seatrial.builds.test_reports.model import Damaged
from seatrial.builds.test_reports.values import whole
from seatrial.builds.test_reports.xml import records

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.builds.test_reports.model import FileCoverage
    from seatrial.builds.test_reports.xml import Element

_PART = re.compile(r"\((\d+)\s*/\s*(\d+)\)")


def coverage(path: Path) -> Iterator[FileCoverage]:
    """The source files of a report; the classes of one file are taken together.

    Raises:
        Damaged: it is not one.
    """
    files: dict[str, Lines] = {}
    for record in records(path, ("coverage",), ("class", "project")):
        element = record.element
        if element.tag == "project":
            raise Damaged(
                "this is Clover's XML", line=element.line, column=1, fix="file-format: CLOVERXML reads it"
            )
        lines = files.setdefault(element.get("filename") or element.get("name"), Lines())
        for line in _lines(element):
            part = (
                _PART.search(line.get("condition-coverage")) if line.get("branch").lower() == "true" else None
            )
            have, of = (int(part[1]), int(part[2])) if part else (0, 0)
            lines.add(whole(line.get("number")), whole(line.get("hits")), of, min(have, of))
    for name, lines in files.items():
        yield lines.file(name)


def _lines(element: Element) -> list[Element]:
    """Those of the class; where it has none of its own, those of its methods."""
    own = element.child("lines")
    if own is not None and own.children:
        return own.children
    methods = element.child("methods")
    if methods is None:
        return []
    return [line for method in methods.children if (held := method.child("lines")) for line in held.children]
