"""Test and coverage reports of a build, read as CodeBuild reads them."""

from __future__ import annotations

from seatrial.builds.test_reports.group import COVERAGE, FORMATS, TESTS, read, read_files
from seatrial.builds.test_reports.model import (
    CASE_STATUSES,
    Case,
    FileCoverage,
    Problem,
    Report,
    covered,
    pass_rate,
    percent,
)
from seatrial.builds.test_reports.render import data, from_data, text
from seatrial.builds.test_reports.trends import Point, trend

__all__ = [
    "CASE_STATUSES",
    "COVERAGE",
    "FORMATS",
    "TESTS",
    "Case",
    "FileCoverage",
    "Point",
    "Problem",
    "Report",
    "covered",
    "data",
    "from_data",
    "pass_rate",
    "percent",
    "read",
    "read_files",
    "text",
    "trend",
]
