"""Requests that a project describes, and whether the answers are the expected ones."""

from __future__ import annotations

import json
from csv import Error, reader
from typing import TYPE_CHECKING, Any, NamedTuple

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
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
    """Where the answer to a call differs from the expected one, within the call's tolerance."""
    return compared(expected, actual, csv=str(call.expect).endswith(".csv"), tolerance=call.tolerance)


def compared(
    expected: bytes, actual: bytes, *, csv: bool = False, tolerance: float = 0.0, ignore: Sequence[str] = ()
) -> Iterator[str]:
    """Where two bodies differ: JSON and CSV are compared by value within the tolerance, the rest by text.

    `ignore` names parts of JSON that do not count, such as `meta.time`; lists are passed through (`items.time` is the
    time of every item), and `*` is any name or place.
    """
    from seatrial.readiness import compare

    left, right = _decoded(expected, csv=csv), _decoded(actual, csv=csv)
    if left is None or right is None:
        if expected.strip() != actual.strip():
            yield f"expected {excerpt(expected)!r}, got {excerpt(actual)!r}"
        return
    paths = [part.split(".") for part in ignore]
    for one in compare(_without(left[0], paths), _without(right[0], paths), tolerance):
        yield f"{one.path}: expected {one.expected!r}, got {one.actual!r} ({one.why})"


def _without(value: Any, paths: Sequence[Sequence[str]]) -> Any:
    """A JSON value without the parts that the paths lead to."""
    if not paths:
        return value
    if isinstance(value, list):
        return [_without(one, _inside(paths, str(place))) for place, one in enumerate(value)]
    if not isinstance(value, dict):
        return value
    gone = {path[0] for path in paths if len(path) == 1}
    return {
        name: _without(one, [path[1:] for path in paths if len(path) > 1 and path[0] in (name, "*")])
        for name, one in value.items()
        if name not in gone and "*" not in gone
    }


def _inside(paths: Sequence[Sequence[str]], place: str) -> list[Sequence[str]]:
    """The paths that go on in an element of a list: those that name its place, and those that name none."""
    found = [path[1:] for path in paths if len(path) > 1 and path[0] in (place, "*")]
    return found + [path for path in paths if path[0] != "*" and not path[0].isdecimal()]


def excerpt(body: bytes) -> str:
    """The beginning of a body, for a message."""
    text = body[:_SHOWN].decode(errors="replace").strip()
    return text + ("…" if len(body) > _SHOWN else "") if text else "an empty body"


def _decoded(content: bytes, *, csv: bool) -> tuple[object] | None:
    if csv:
        try:
            rows = list(reader(content.decode(errors="replace").splitlines()))
        except Error:  # a cell that is larger than any table's
            return None
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
