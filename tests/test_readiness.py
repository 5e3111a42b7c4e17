"""Waiting for a server, asking it, and comparing what it says."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.errors import SeatrialError
from seatrial.readiness import compare, free_port, request, wait_http
from support.backends import backend
from support.clocks import SimulatedClock

if TYPE_CHECKING:
    from collections.abc import Callable


class _Moving(SimulatedClock):
    """Does something when the n-th pause comes."""

    def __init__(self, at: int, action: Callable[[], None]) -> None:
        super().__init__()
        self.at, self.action = at, action

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if len(self.sleeps) == self.at:
            self.action()


def test_it_waits_until_the_server_is_well() -> None:
    with backend("app") as app:
        app.healthy = False
        clock = _Moving(4, lambda: setattr(app, "healthy", True))
        ready = wait_http(
            f"http://127.0.0.1:{app.port}/ping", deadline=clock.now() + 60, clock=clock, interval=0.5
        )
    assert (ready.polls, ready.waited, ready.status) == (5, 2.0, 200)
    assert 0 < ready.latency < 2


def test_a_deadline_tells_what_was_seen_last() -> None:
    clock = SimulatedClock()
    with backend("busy") as app:
        app.healthy = False
        with pytest.raises(SeatrialError, match="not ready within 30 s") as sick:
            wait_http(f"http://127.0.0.1:{app.port}/ping", deadline=clock.now() + 30, clock=clock, interval=1)
    assert sick.value.why == "wanted 200, last seen: 503 busy"
    with pytest.raises(SeatrialError, match="not ready within 30 s") as absent:
        wait_http(f"http://127.0.0.1:{free_port()}/ping", deadline=clock.now() + 30, clock=clock, interval=1)
    assert "refuses the connection" in (absent.value.why or "")


def test_a_dead_process_ends_the_waiting_with_its_last_words() -> None:
    clock = SimulatedClock()
    words = iter([None, None, "ModuleNotFoundError: No module named 'flask'"])
    with pytest.raises(SeatrialError, match="ended before it was ready") as caught:
        wait_http(
            f"http://127.0.0.1:{free_port()}/ping",
            deadline=clock.now() + 900,
            clock=clock,
            alive=lambda: next(words),
        )
    assert caught.value.why == "ModuleNotFoundError: No module named 'flask'"
    assert len(clock.sleeps) == 2


def test_one_request_gives_the_whole_answer() -> None:
    with backend('{"label": [1, 2.5]}') as app:
        answer = request("POST", f"http://127.0.0.1:{app.port}/invocations", body={"x": 1})
        assert (answer.status, answer.json, app.hits) == (200, {"label": [1, 2.5]}, 1)
        assert answer.seconds > 0
    with backend("no json") as app:
        answer = request("GET", f"http://127.0.0.1:{app.port}/")
        assert (answer.json, answer.body) == (None, b"no json")


@pytest.mark.parametrize(
    ("expected", "actual", "tolerance", "differences"),
    [
        ({"a": 1}, {"a": 1.0}, 0, []),
        ({"a": [0.5, 0.25]}, {"a": [0.5000001, 0.25]}, 1e-6, []),
        ({"a": [0.5, 0.25]}, {"a": [0.5, 0.26]}, 1e-3, [("$.a[1]", "off by 0.01, allowed 0.001")]),
        (1e9, 1e9 + 1, 1e-6, []),
        ({"a": 1}, {}, 0, [("$.a", "missing")]),
        ({}, {"b c": 1}, 0, [('$["b c"]', "not expected")]),
        ([1, 2], [1], 0, [("$", "2 elements expected, 1 found")]),
        ([1], [True], 0, [("$[0]", "expected a number, got a boolean")]),
        ("1", 1, 0, [("$", "expected a string, got a number")]),
        (None, None, 0, []),
        (None, {}, 0, [("$", "expected null, got an object")]),
        ("cat", "dog", 1, [("$", "other value")]),
        (math.nan, math.nan, 0, []),
        (math.nan, 1.0, 1, [("$", "off by nan, allowed 1")]),
        ({"x": {"y": [{"z": 1}]}}, {"x": {"y": [{"z": 2}]}}, 0, [("$.x.y[0].z", "off by 1, allowed 0")]),
    ],
)
def test_differences_have_a_path_and_a_reason(
    expected: Any, actual: Any, tolerance: float, differences: list[tuple[str, str]]
) -> None:
    assert [(found.path, found.why) for found in compare(expected, actual, tolerance)] == differences
