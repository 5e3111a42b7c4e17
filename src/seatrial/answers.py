"""Requests that a project describes, and whether the answers are the expected ones."""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, NamedTuple

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.config import Call

_SHOWN = 300


class Asked(NamedTuple):
    """What came of one request: `what` it was, the answer's status, its time in seconds, and what was wrong."""

    what: str
    status: int
    seconds: float
    problems: list[str]


def ask(url: str, call: Call, folder: Path) -> Asked:
    """Send `call` to the server at `url` and compare; its files are relative to `folder`.

    Raises:
        TransportError: no answer.
        SeatrialError: a file of the call cannot be read.
    """
    from seatrial.readiness import request

    body = _read(folder, call.request) if call.request else None
    method = call.method or ("POST" if body is not None else "GET")
    headers = {"Content-Type": call.content_type} if body is not None else {}
    headers |= {"Accept": call.accept} if call.accept else {}
    what = f"{method} {call.path}" + (f" with {call.request}" if call.request else "")
    answer = request(method, url + call.path, body=body, headers=headers, timeout=call.timeout)
    if answer.status != call.status:
        problem = f"answered {answer.status} instead of {call.status}: {excerpt(answer.body)}"
        return Asked(what, answer.status, answer.seconds, [problem])
    problems: list[str] = []
    if call.expect:
        problems = list(differences(_read(folder, call.expect), answer.body, call))
    return Asked(what, answer.status, answer.seconds, problems)


def differences(expected: bytes, actual: bytes, call: Call) -> Iterator[str]:
    """Where two bodies differ: JSON and CSV are compared by value within the call's tolerance, the rest by text."""
    from seatrial.readiness import compare

    left, right = _decoded(expected, call), _decoded(actual, call)
    if left is None or right is None:
        if expected.strip() != actual.strip():
            yield f"expected {excerpt(expected)!r}, got {excerpt(actual)!r}"
        return
    for one in compare(left[0], right[0], call.tolerance):
        yield f"{one.path}: expected {one.expected!r}, got {one.actual!r} ({one.why})"


def excerpt(body: bytes) -> str:
    """The beginning of a body, for a message."""
    text = body[:_SHOWN].decode(errors="replace").strip()
    return text + ("…" if len(body) > _SHOWN else "") if text else "an empty body"


def _decoded(content: bytes, call: Call) -> tuple[object] | None:
    if str(call.expect).endswith(".csv"):
        rows = csv.reader(content.decode(errors="replace").splitlines())
        return ([[_number(cell) for cell in row] for row in rows if row],)
    try:
        return (json.loads(content),)
    except ValueError:
        return None


def _number(cell: str) -> object:
    try:
        return float(cell)
    except ValueError:
        return cell.strip()


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise SeatrialError(f"cannot read: {error.strerror}", where=name) from error
