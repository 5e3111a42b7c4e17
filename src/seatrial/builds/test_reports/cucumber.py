"""Cucumber's JSON: features with scenarios with steps. A scenario is one case.

Source: https://github.com/cucumber/cucumber-json-schema
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.builds.test_reports import json_files
from seatrial.builds.test_reports.model import Case, CaseStatus, Damaged
from seatrial.builds.test_reports.values import joined

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Worst first; a step that nobody has written is an error, one that says it is not finished is neither.
_STATUS: tuple[tuple[str, CaseStatus], ...] = (
    ("failed", "FAILED"),
    ("ambiguous", "ERROR"),
    ("undefined", "ERROR"),
    ("pending", "UNKNOWN"),
    ("unknown", "UNKNOWN"),
    ("skipped", "SKIPPED"),
)


def cases(path: Path) -> Iterator[Case]:
    """The scenarios of a file.

    Raises:
        Damaged: it is not one.
    """
    content = json_files.load(path)
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise Damaged("this is not Cucumber's JSON: a list of features is expected")
    for feature in content:
        name = str(feature.get("name") or feature.get("uri") or "")
        background: list[dict[str, Any]] = []
        for element in _dicts(feature.get("elements")):
            if element.get("type") == "background":
                background = _steps(element)
                continue
            yield _case(name, element, [*background, *_steps(element)])
            background = []


def _case(feature: str, element: dict[str, Any], steps: list[dict[str, Any]]) -> Case:
    results = [one["result"] for one in steps if isinstance(one.get("result"), dict)]
    said = {str(one.get("status", "")).lower() for one in results}
    status = next((status for word, status in _STATUS if word in said), None)
    if status is None:
        status = "SUCCEEDED" if said <= {"passed"} and said else "UNKNOWN"
    bad = [
        joined(_title(one), str(one["result"].get("error_message") or ""))
        for one in steps
        if isinstance(one.get("result"), dict) and one["result"].get("status") not in ("passed", "skipped")
    ]
    # Nanoseconds, whatever the language.
    spent = sum(one["duration"] for one in results if isinstance(one.get("duration"), int | float))
    return Case(
        name=str(element.get("name") or element.get("id") or ""),
        suite=feature,
        status=status,
        duration=round(spent / 1e9, 9),
        message=joined(*bad),
    )


def _title(step: dict[str, Any]) -> str:
    words = f"{step.get('keyword', '')}{step.get('name', '')}".strip() or "hook"
    return f"{words}: {step['result'].get('status')}"


def _steps(element: dict[str, Any]) -> list[dict[str, Any]]:
    """Hooks before, steps with the hooks around them, hooks after: wherever the language puts them."""
    found = _dicts(element.get("before"))
    for step in _dicts(element.get("steps")):
        found += [*_dicts(step.get("before")), step, *_dicts(step.get("after"))]
    return found + _dicts(element.get("after"))


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
