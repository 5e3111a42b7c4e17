"""Is it up, and does it answer what it should?"""

from __future__ import annotations

import json
import math
import socket
import time
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.transport import Retry, TransportError, connect, excerpt, place, send

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seatrial.clock import Clock
    from seatrial.transport import Link, Method


class Ready(msgspec.Struct, frozen=True, kw_only=True):
    """A server became ready after `waited` seconds and `polls` questions; the last answer took `latency` seconds."""

    waited: float
    polls: int
    latency: float
    status: int


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP answer; `json` is the decoded body or None, `seconds` the time until the whole body was there."""

    status: int
    headers: dict[str, str]
    body: bytes
    json: Any
    seconds: float


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One place where an answer is not what was expected. `path` is a JSON path such as `$.scores[2]`."""

    path: str
    expected: Any
    actual: Any
    why: str


def free_port() -> int:
    """A TCP port on 127.0.0.1 that was free a moment ago.

    Another process may take it before it is used, so the caller must notice that its server did not start and
    ask again. The kernel hands out such ports in random order, which makes a collision rare.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_http(
    url: str,
    *,
    deadline: float,
    clock: Clock,
    expect: int = 200,
    alive: Callable[[], str | None] = lambda: None,
    interval: float = 0.05,
    timeout: float = 2.0,
) -> Ready:
    """Ask `url` until it answers `expect`.

    `deadline` is in the clock's seconds since the epoch. `alive` returns None while the server's process lives,
    else its last words. `interval` is the pause between questions and `timeout` the patience with each, in seconds.

    Raises:
        SeatrialError: the process ended, or the deadline passed; says what was seen last.
    """
    started, polls, seen = clock.now(), 0, "nothing yet"
    with connect(clock=clock, retry=Retry(attempts=1), timeout=timeout) as link:
        while True:
            last_words = alive()
            if last_words is not None:
                raise SeatrialError(
                    "the server ended before it was ready",
                    where=place(url),
                    why=last_words.strip() or "it said nothing",
                )
            polls += 1
            begin = time.perf_counter()
            status, seen = _poll(link, url)
            if status == expect:
                latency = time.perf_counter() - begin
                return Ready(waited=clock.now() - started, polls=polls, latency=latency, status=status)
            if clock.now() >= deadline:
                raise SeatrialError(
                    f"the server was not ready within {deadline - started:.0f} s",
                    where=place(url),
                    why=f"wanted {expect}, last seen: {seen}",
                    fix="look at its log; give it more time if it is only slow",
                )
            clock.sleep(min(interval, max(0.001, deadline - clock.now())))


def _poll(link: Link, url: str) -> tuple[int, str]:
    try:
        response = send(link, "GET", url, limit=1 << 20)
    except TransportError as error:
        return error.status, error.what
    return response.status_code, f"{response.status_code} {excerpt(response.text, 120)}".strip()


def request(
    method: Method,
    url: str,
    *,
    body: Any = None,
    headers: Mapping[str, str] | None = None,
    timeout: float = 60.0,
    clock: Clock | None = None,
) -> Answer:
    """Send one request, once. `body` is sent as it is when bytes or text, else as JSON.

    Raises:
        TransportError: no answer.
    """
    content, kind = _content(body)
    with connect(clock=clock, retry=Retry(attempts=1), timeout=timeout) as link:
        begin = time.perf_counter()
        response = send(
            link, method, url, headers={**kind, **(headers or {})}, content=content, repeatable=False
        )
        seconds = time.perf_counter() - begin
    try:
        decoded = json.loads(response.content)
    except ValueError:
        decoded = None
    return Answer(
        status=response.status_code,
        headers=dict(response.headers),
        body=response.content,
        json=decoded,
        seconds=seconds,
    )


def _content(body: Any) -> tuple[bytes | None, dict[str, str]]:
    if body is None:
        return None, {}
    if isinstance(body, bytes):
        return body, {}
    if isinstance(body, str):
        return body.encode(), {}
    return json.dumps(body).encode(), {"Content-Type": "application/json"}


def compare(expected: Any, actual: Any, tolerance: float = 0.0, *, path: str = "$") -> list[Difference]:
    """Where two JSON values differ.

    Numbers are equal within `tolerance`, relative to the larger one and at least absolutely; 1 equals 1.0, but no
    number equals true or false, and NaN equals NaN. Keys and lengths must be the same.
    """
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _compare_objects(expected, actual, tolerance, path)
    if isinstance(expected, list) and isinstance(actual, list):
        found = [] if len(expected) == len(actual) else [_length(expected, actual, path)]
        for position, (left, right) in enumerate(zip(expected, actual, strict=False)):
            found += compare(left, right, tolerance, path=f"{path}[{position}]")
        return found
    if _is_number(expected) and _is_number(actual):
        return _compare_numbers(expected, actual, tolerance, path)
    if type(expected) is type(actual) and expected == actual:
        return []
    kinds = (_kind(expected), _kind(actual))
    why = "other value" if kinds[0] == kinds[1] else f"expected {kinds[0]}, got {kinds[1]}"
    return [Difference(path=path, expected=expected, actual=actual, why=why)]


def _compare_objects(
    expected: dict[str, Any], actual: dict[str, Any], tolerance: float, path: str
) -> list[Difference]:
    found = []
    for key, value in expected.items():
        place_of_key = _child(path, key)
        if key in actual:
            found += compare(value, actual[key], tolerance, path=place_of_key)
        else:
            found.append(Difference(path=place_of_key, expected=value, actual=None, why="missing"))
    for key in sorted(actual.keys() - expected.keys()):
        found.append(
            Difference(path=_child(path, key), expected=None, actual=actual[key], why="not expected")
        )
    return found


def _compare_numbers(expected: float, actual: float, tolerance: float, path: str) -> list[Difference]:
    if math.isnan(expected) and math.isnan(actual):
        return []
    if expected == actual or math.isclose(expected, actual, rel_tol=tolerance, abs_tol=tolerance):
        return []
    off = abs(expected - actual)
    return [
        Difference(
            path=path, expected=expected, actual=actual, why=f"off by {off:.6g}, allowed {tolerance:g}"
        )
    ]


def _length(expected: list[Any], actual: list[Any], path: str) -> Difference:
    return Difference(
        path=path,
        expected=len(expected),
        actual=len(actual),
        why=f"{len(expected)} elements expected, {len(actual)} found",
    )


def _child(path: str, key: str) -> str:
    return f"{path}.{key}" if key.isidentifier() else f"{path}[{json.dumps(key)}]"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {bool: "a boolean", dict: "an object", list: "an array", str: "a string"}
    return kinds.get(type(value), "a number")
