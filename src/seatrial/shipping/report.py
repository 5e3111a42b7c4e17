"""The last screen of a shipment: what was found, fixed, built, tested, pushed, served and removed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping  # noqa: TC003 - the annotation of a module value is evaluated
from typing import Any

from seatrial.reports import timeline
from seatrial.reports.units import megabytes


def text(run: Mapping[str, Any]) -> str:
    """The report for a terminal; `run` is a run as printed by `--json`."""
    lines = [f"{label:<8} {value}" for label, value in _rows(run)]
    state = "interrupted" if run["interrupted"] else run["status"]
    took = f" in {run['duration']:.1f} s" if run["duration"] is not None else ""
    lines += ["", f"{run['kind']} {run['name']}: {state}{took}"]
    if run["error"]:
        lines += [f"error: {run['error'].strip()}"]
    lines += [f"still held: {thing}" for thing in run["held"]]
    lines += [
        f"reports of the tests: {made['path']}" for made in run["artifacts"] if made["name"] == "test-reports"
    ]
    lines += [f"look at it: seatrial runs show {run['id']} · seatrial runs logs {run['id']}"]
    return "\n" + timeline.text(run) + "\n" + "\n".join(lines) + "\n"


def _rows(run: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    out = run["outputs"]
    for step, rows in _ROWS.items():
        if step in out:
            yield from rows(out[step])
    if "teardown" in out:
        yield "removed", f"{out['teardown']['removed']} entries of the ledger, {len(run['held'])} left"


def _found(check: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for finding in check["findings"]:
        if finding["severity"] != "note":
            place = f"{finding['path']}:{finding['line']}"
            yield "found", f"{place} {finding['severity']}[{finding['rule']}] {finding['message']}"
    for title in check["applied"]:
        yield "fixed", title


def _built(built: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    reused = sum(layer["reused"] for layer in built["layers"])
    size = f"{megabytes(built['size'])} in {len(built['layers'])} layers, {reused} of them reused"
    yield "built", f"{built['digest']} ({size})"


def _pushed(pushed: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for reference in pushed["references"]:
        yield "pushed", f"{reference} ({megabytes(pushed['pushed_bytes'])} sent)"


_ROWS: dict[str, Callable[[Mapping[str, Any]], Iterator[tuple[str, str]]]] = {
    "check": _found,
    "assemble": _built,
    "test": lambda tested: iter([("tested", tested["summary"])]),
    "secrets": lambda tested: iter([("tested", f"secrets in the layers: {tested['summary']}")]),
    "push": _pushed,
    "ready": lambda ready: iter([("served", ready["summary"])]),
    "verify": lambda verified: iter([("verified", verified["summary"])]),
}
