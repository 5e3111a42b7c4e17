"""Traffic moves between slots of a real HAProxy without one lost request."""

from __future__ import annotations

import http.client
import random
import signal
import socket
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from seatrial.clock import SystemClock
from seatrial.deployments import haproxy
from seatrial.deployments.haproxy import Options
from seatrial.deployments.proxy import Slot, weights
from seatrial.errors import SeatrialError
from seatrial.readiness import free_port
from support.backends import backend
from support.clocks import SimulatedClock
from support.load import load
from support.registries import need
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.backends import Backend


@contextmanager
def running(
    folder: Path, *, slots: tuple[str, ...] = ("blue", "green"), options: Options | None = None
) -> Iterator[int]:
    """Run HAProxy in `folder`; yields the port of its listener."""
    need("haproxy")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    (folder / haproxy.CONFIG).write_text(
        haproxy.config(port, slots, options=options or Options(interval=0.05))
    )
    haproxy.check(folder)
    with started(folder):
        yield port


@contextmanager
def started(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(haproxy.argv(folder, program=need("haproxy")), stdout=log, stderr=log)
    try:
        said = folder / "log"
        haproxy.wait_started(
            folder,
            deadline=time.time() + 60,
            clock=SystemClock(),
            alive=lambda: None if process.poll() is None else said.read_text(),
        )
        yield process
    finally:
        process.kill()
        process.wait()


def _split(folder: Path, blue: Backend, green: Backend, share: int) -> None:
    given = weights({"blue": 100 - share, "green": share})
    haproxy.apply(
        folder,
        [
            Slot(name="blue", port=blue.port, weight=given["blue"], mode="ready"),
            Slot(name="green", port=green.port, weight=given["green"], mode="ready"),
        ],
    )


def _all_healthy(folder: Path) -> None:
    until(
        lambda: all(slot.healthy for slot in haproxy.status(folder).slots.values()),
        "both slots pass their checks",
    )


def _get(port: int, path: str = "/", headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
        return answer
    finally:
        connection.close()


@pytest.mark.parametrize("keep", [True, False], ids=["keep-alive", "new-connections"])
def test_traffic_shifts_under_load_without_a_failure(tmp_path: Path, keep: bool) -> None:
    with backend("blue") as blue, backend("green") as green, running(tmp_path / "proxy") as port:
        folder = tmp_path / "proxy"
        _split(folder, blue, green, 0)
        _all_healthy(folder)
        with load(port, keep=keep) as clients:
            for share in (0, 10, 50, 90, 100):
                _split(folder, blue, green, share)
                clients.take(12)  # requests that were already on their way
                seen = clients.take(600)
                found = 100 * seen["green"] / seen.total()
                assert abs(found - share) <= (0 if share in (0, 100) else 1.5), (
                    f"{found:.2f} % instead of {share} %"
                )
            haproxy.apply(folder, [Slot(name="blue", port=blue.port, mode="drain")])
            until(lambda: haproxy.status(folder).slots["blue"].sessions == 0, "blue is drained")
            haproxy.apply(folder, [Slot(name="blue", mode="maint")])
            clients.take(100)
        assert clients.failures == []
        status = haproxy.status(folder)
        assert status.slots["blue"].requests == blue.hits == clients.answers["blue"]
        assert status.slots["green"].requests == green.hits == clients.answers["green"]
        assert (status.requests, status.ok, status.failed) == (
            clients.answers.total(),
            clients.answers.total(),
            0,
        )


def test_every_shift_takes_effect_within_a_few_requests(tmp_path: Path) -> None:
    """Also right after a change no slot is flooded: a canary at 50 % gets every second request from the first on."""
    source = random.Random(4)
    with backend("blue") as blue, backend("green") as green, running(tmp_path / "proxy") as port:
        _split(tmp_path / "proxy", blue, green, 0)
        _all_healthy(tmp_path / "proxy")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for _ in range(25):
            share = source.choice([0, 1, 5, 10, 20, 25, 50, 75, 90, 99, 100])
            _split(tmp_path / "proxy", blue, green, share)
            given = 0
            for count in range(1, source.randrange(20, 120)):
                connection.request("GET", "/")
                given += connection.getresponse().read() == b"green"
                assert abs(given - count * share / 100) <= 3, f"{given} of {count} at {share} %"
        connection.close()


def test_draining_lets_a_slow_answer_finish(tmp_path: Path) -> None:
    with backend("blue") as blue, backend("green") as green, running(tmp_path / "proxy") as port:
        folder = tmp_path / "proxy"
        _split(folder, blue, green, 0)
        haproxy.wait_up(folder, ["blue", "green"], deadline=time.time() + 60, clock=SystemClock())
        found: list[bytes] = []
        slow = threading.Thread(target=lambda: found.append(_get(port, "/slow").body))  # type: ignore[attr-defined]
        slow.start()
        until(lambda: blue.waiting == 1, "the slow request is at blue")
        haproxy.apply(
            folder,
            [
                Slot(name="blue", port=blue.port, mode="drain"),
                Slot(name="green", port=green.port, weight=1, mode="ready"),
            ],
        )
        assert {_get(port).body for _ in range(5)} == {b"green"}  # type: ignore[attr-defined]
        clock = SimulatedClock()
        with pytest.raises(SeatrialError, match=r"did not finish[\s\S]*blue has 1 requests in flight"):
            haproxy.wait_drained(folder, ["blue"], deadline=clock.now() + 5, clock=clock)
        blue.hold.set()
        slow.join()
        assert found == [b"blue"]
        haproxy.wait_drained(folder, ["blue"], deadline=time.time() + 60, clock=SystemClock())
        with pytest.raises(SeatrialError, match="did not pass the load balancer's health check"):
            haproxy.wait_up(folder, ["blue"], deadline=clock.now() + 1, clock=clock)


def test_a_graceful_stop_finishes_what_is_in_flight(tmp_path: Path) -> None:
    folder, port = tmp_path / "proxy", free_port()
    folder.mkdir()
    (folder / haproxy.CONFIG).write_text(haproxy.config(port, ["blue"]))
    with backend("blue") as blue, started(folder) as process:
        haproxy.apply(folder, [Slot(name="blue", port=blue.port, weight=1, mode="ready")])
        found: list[bytes] = []
        slow = threading.Thread(target=lambda: found.append(_get(port, "/slow").body))  # type: ignore[attr-defined]
        slow.start()
        until(lambda: blue.waiting == 1, "the slow request is at blue")
        process.send_signal(signal.SIGUSR1)
        until(lambda: not _accepts(port), "the listener is closed")
        assert process.poll() is None
        blue.hold.set()
        slow.join()
        assert found == [b"blue"]
        assert process.wait(60) == 0


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except ConnectionRefusedError:
        return False
    return True


def test_slots_and_weights_come_back_after_kill_9(tmp_path: Path) -> None:
    folder = tmp_path / "proxy"
    folder.mkdir()
    port = free_port()
    (folder / haproxy.CONFIG).write_text(
        haproxy.config(port, ["blue", "green", "spare"], options=Options(interval=0.05))
    )
    with backend("blue") as blue, backend("green") as green:
        wanted = [
            Slot(name="blue", port=blue.port, weight=75, mode="ready"),
            Slot(name="green", port=green.port, weight=25, mode="ready"),
            Slot(name="spare"),
        ]
        with started(folder) as first:
            haproxy.apply(folder, wanted)
            first.send_signal(signal.SIGKILL)
            first.wait()
            with pytest.raises(SeatrialError, match="the load balancer does not answer"):
                haproxy.status(folder)
        with started(folder):
            assert {slot.mode for slot in haproxy.status(folder).slots.values()} == {"maint"}
            haproxy.apply(folder, wanted)
            haproxy.apply(folder, wanted)  # twice is as good as once
            slots = haproxy.status(folder).slots
            assert [(slot.name, slot.host, slot.port, slot.weight, slot.mode) for slot in slots.values()] == [
                ("blue", "127.0.0.1", blue.port, 75, "ready"),
                ("green", "127.0.0.1", green.port, 25, "ready"),
                ("spare", "127.0.0.1", 1, 0, "maint"),
            ]
            answers = [_get(port).body for _ in range(40)]  # type: ignore[attr-defined]
            assert answers.count(b"blue") == 30


def test_a_dead_back_end_costs_no_get(tmp_path: Path) -> None:
    options = Options(interval=1)
    with (
        backend("blue") as blue,
        backend("green") as green,
        running(tmp_path / "proxy", options=options) as port,
    ):
        folder = tmp_path / "proxy"
        _split(folder, blue, green, 50)
        _all_healthy(folder)
        with load(port) as clients:
            clients.take(50)
            # From here on every connection to green is refused, and for a while no check has noticed.
            haproxy.apply(folder, [Slot(name="green", port=free_port(), weight=50, mode="ready")])
            clients.take(50)
            until(lambda: not haproxy.status(folder).slots["green"].up, "green is seen to be dead")
            clients.take(50)
        assert clients.failures == []
        assert haproxy.status(folder).slots["green"].redispatches > 0


@pytest.mark.parametrize("retry_posts", [False, True])
def test_a_post_that_met_its_end_is_only_repeated_when_wanted(tmp_path: Path, retry_posts: bool) -> None:
    options = Options(interval=5, retry_posts=retry_posts)
    with (
        backend("blue") as blue,
        backend("green") as green,
        running(tmp_path / "proxy", options=options) as port,
    ):
        _split(tmp_path / "proxy", blue, green, 50)
        haproxy.apply(tmp_path / "proxy", [Slot(name="green", port=green.port, weight=50, mode="ready")])
        green.dies = True
        with load(port, clients=1, method="POST") as posts:
            until(lambda: posts.answers.total() + len(posts.failures) > 20, "20 POSTs")
        assert bool(posts.failures) is not retry_posts
        with load(port, clients=1, keep=False) as gets:
            gets.take(20)
        assert gets.failures == []
        assert green.hits > 0


def test_a_sick_back_end_gets_nothing_until_it_is_well(tmp_path: Path) -> None:
    with backend("blue") as blue, backend("green") as green, running(tmp_path / "proxy") as port:
        folder = tmp_path / "proxy"
        _split(folder, blue, green, 50)
        _all_healthy(folder)
        green.healthy = False
        until(lambda: not haproxy.status(folder).slots["green"].up, "green is seen to be sick")
        assert "503" in haproxy.status(folder).slots["green"].check
        assert {_get(port).body for _ in range(10)} == {b"blue"}  # type: ignore[attr-defined]
        green.healthy = True
        until(lambda: haproxy.status(folder).slots["green"].up, "green is well again")
        assert {_get(port).body for _ in range(10)} == {b"blue", b"green"}  # type: ignore[attr-defined]


def test_a_slot_with_a_new_address_is_not_healthy_by_its_predecessor(tmp_path: Path) -> None:
    options = Options(interval=1)
    with backend("old") as old, backend("new") as new, running(tmp_path / "proxy", options=options):
        folder = tmp_path / "proxy"
        haproxy.apply(folder, [Slot(name="blue", port=old.port, mode="ready")])
        until(lambda: haproxy.status(folder).slots["blue"].healthy, "the old back end passes its check")
        for again in (False, True):
            if not again:
                haproxy.apply(folder, [Slot(name="blue")])
                assert not haproxy.status(folder).slots["blue"].healthy
            haproxy.apply(folder, [Slot(name="blue", port=free_port(), mode="ready")])
            assert not haproxy.status(folder).slots["blue"].healthy
        haproxy.apply(folder, [Slot(name="blue", port=new.port, mode="ready")])
        until(lambda: haproxy.status(folder).slots["blue"].healthy, "the new back end passes its check")


def test_sticky_clients_stay_on_their_slot(tmp_path: Path) -> None:
    options = Options(interval=0.05, sticky="SLOT")
    with (
        backend("blue") as blue,
        backend("green") as green,
        running(tmp_path / "proxy", options=options) as port,
    ):
        _split(tmp_path / "proxy", blue, green, 50)
        first = _get(port)
        cookie = (first.headers["Set-Cookie"] or "").partition(";")[0]
        assert {_get(port, headers={"Cookie": cookie}).body for _ in range(6)} == {first.body}  # type: ignore[attr-defined]


def test_the_control_socket_works_in_a_very_deep_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    with backend("blue") as blue, running(folder) as port:
        haproxy.apply(folder, [Slot(name="blue", port=blue.port, weight=1, mode="ready")])
        assert _get(port).body == b"blue"  # type: ignore[attr-defined]


def test_a_refused_configuration_names_line_and_reason(tmp_path: Path) -> None:
    need("haproxy")
    text = haproxy.config(8080, ["blue"]).replace("balance roundrobin", "balance sideways")
    (tmp_path / haproxy.CONFIG).write_text(text)
    line = text.splitlines().index("  balance sideways") + 1
    with pytest.raises(SeatrialError, match="HAProxy refuses its configuration") as caught:
        haproxy.check(tmp_path)
    assert caught.value.where == f"{tmp_path / haproxy.CONFIG}:{line}:1"
    assert "balance" in (caught.value.why or "")


def test_a_taken_port_is_told_at_the_start(tmp_path: Path) -> None:
    with backend("other") as other:
        (tmp_path / haproxy.CONFIG).write_text(haproxy.config(other.port, ["blue"]))
        with (
            pytest.raises(SeatrialError, match="the load balancer did not start") as caught,
            started(tmp_path),
        ):
            pass
        assert f"127.0.0.1:{other.port}" in (caught.value.why or "")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: haproxy.config(80, ["a b"]), "slot name"),
        (lambda: haproxy.config(80, ["a\n  bind :1"]), "slot name"),
        (lambda: haproxy.config(80, []), "at least one slot"),
        (lambda: haproxy.config(80, ["a", "a"]), "no two of one name"),
        (lambda: haproxy.config(80, ["a"], options=Options(health="/p # x")), "health path"),
        (lambda: haproxy.config(80, ["a"], options=Options(sticky="x y")), "cookie name"),
        (lambda: haproxy.commands([Slot(name="a;quit", port=1)]), "slot name"),
        (lambda: haproxy.commands([Slot(name="a", host="x;y", port=1, mode="ready")]), "address"),
        (lambda: haproxy.commands([Slot(name="a", port=1, weight=257)]), "weight 257"),
        (lambda: weights({"a": -1, "b": 2}), "0 or more"),
        (lambda: weights({"a": 0}), "above 0"),
    ],
)
def test_nothing_unforeseen_reaches_the_proxy(make: object, message: str) -> None:
    with pytest.raises(SeatrialError, match=message):
        make()  # type: ignore[operator]


def test_shares_become_weights() -> None:
    assert weights({"blue": 90, "green": 10}) == {"blue": 90, "green": 10}
    assert weights({"blue": 1, "green": 1, "red": 2}) == {"blue": 25, "green": 25, "red": 50}
    thirds = weights({"a": 1, "b": 1, "c": 1})
    assert len(set(thirds.values())) == 1
    small = weights({"a": 99.5, "b": 0.5})
    assert abs(small["b"] / sum(small.values()) - 0.005) < 0.002
