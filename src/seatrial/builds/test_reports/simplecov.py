"""SimpleCov's JSON: its own `.resultset.json`, its JSON formatter's `coverage.json`, and simplecov-json's.

Source: https://github.com/simplecov-ruby/simplecov (README, lib/simplecov/result_merger.rb)
"""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from seatrial.builds.test_reports import json_files
from seatrial.builds.test_reports.model import Damaged, FileCoverage
from seatrial.builds.test_reports.values import hit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_Hits = dict[str, tuple[list[Any], list[Any]]]
"""A file's lines and its branches, each with how often it ran; a line that is no code has None."""


def coverage(path: Path) -> Iterator[FileCoverage]:
    """The source files of a report; what several commands have run is added up.

    Raises:
        Damaged: it is not one.
    """
    content = json_files.load(path)
    if not isinstance(content, dict):
        raise Damaged("this is not SimpleCov's JSON: an object is expected")
    files: _Hits = {}
    for name, held in _files(content):
        lines, branches = files.get(name, ([], []))
        files[name] = (_sum(lines, _lines(held)), _sum(branches, _branches(held)))
    for name, (lines, branches) in files.items():
        counted = [one for one in lines if isinstance(one, int)]
        yield FileCoverage(
            path=name,
            lines=len(counted),
            lines_covered=hit(counted),
            branches=len(branches),
            branches_covered=hit(branches),
        )


def _files(content: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if isinstance(content.get("files"), list):  # simplecov-json
        for one in content["files"]:
            if isinstance(one, dict):
                yield str(one.get("filename", "")), one.get("coverage")
        return
    if isinstance(content.get("coverage"), dict):  # the JSON formatter
        yield from content["coverage"].items()
        return
    commands = [
        one["coverage"]
        for one in content.values()
        if isinstance(one, dict) and isinstance(one.get("coverage"), dict)
    ]
    if not commands:
        raise Damaged(
            "this is not SimpleCov's JSON: it has no coverage", fix="name .resultset.json or coverage.json"
        )
    for one in commands:
        yield from one.items()


def _lines(held: Any) -> list[Any]:
    lines = held.get("lines") if isinstance(held, dict) else held
    return lines if isinstance(lines, list) else []


def _branches(held: Any) -> list[Any]:
    """A list of branches, or conditions that each have a mapping of branches to counts."""
    found = held.get("branches") if isinstance(held, dict) else None
    if isinstance(found, list):
        return [one.get("coverage") for one in found if isinstance(one, dict)]
    if isinstance(found, dict):
        return [count for ways in found.values() if isinstance(ways, dict) for count in ways.values()]
    return []


def _sum(before: list[Any], new: list[Any]) -> list[Any]:
    def add(one: Any, other: Any) -> Any:
        if isinstance(one, int) and isinstance(other, int):
            return one + other
        return one if isinstance(one, int) else other

    return [add(one, other) for one, other in zip_longest(before, new)]
