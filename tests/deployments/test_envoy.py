"""Traffic moves between slots of a real Envoy without one lost request."""

from __future__ import annotations

import http.client
import random
import signal
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from seatrial.deployments import envoy, envoy_config, envoy_routes
from seatrial.deployments.observing.log import Tail
from seatrial.deployments.proxy import Mirror, Options, Slot, apportioned, weights
from seatrial.errors import MissingToolError, SeatrialError
from seatrial.readiness import free_port
from support.backends import backend
from support.envoys import need_envoy, running, started
from support.load import load
from support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.deployments.observing.model import Answer
    from seatrial.deployments.proxy import Driver
    from support.backends import Backend


DRIVER: Driver = envoy
"""mypy holds the module to what every driver offers."""


def _split(folder: Path, blue: Backend, green: Backend, share: int) -> None:
    given = weights({"blue": 100 - share, "green": share})
    envoy.apply(
        folder,
        [
            Slot(name="blue", port=blue.port, weight=given["blue"], mode="ready"),
            Slot(name="green", port=green.port, weight=given["green"], mode="ready"),
        ],
    )


def _both(blue: Backend, green: Backend, share: int = 50) -> list[Slot]:
    return [
        Slot(name="blue", port=blue.port, weight=100 - share, mode="ready"),
        Slot(name="green", port=green.port, weight=share, mode="ready"),
    ]


def _get(port: int, path: str = "/", headers: dict[str, str] | None = None) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        answer.body = answer.read()  # type: ignore[attr-defined]
        return answer
    finally:
        connection.close()


def _refused(port: int) -> bool:
    try:
        _get(port)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return False


def _bodies(port: int, count: int, headers: dict[str, str] | None = None) -> set[bytes]:
    return {_get(port, headers=headers).body for _ in range(count)}  # type: ignore[attr-defined]


@pytest.mark.parametrize("keep", [True, False], ids=["keep-alive", "new-connections"])
def test_traffic_shifts_under_load_without_a_failure(tmp_path: Path, keep: bool) -> None:
    with (
        backend("blue") as blue,
        backend("green") as green,
        running(tmp_path, filled=_both(blue, green, 0)) as port,
    ):
        until(lambda: envoy.status(tmp_path).slots["green"].healthy, "green passes its check")
        with load(port, keep=keep) as clients:
            for share in (0, 10, 50, 90, 100):
                _split(tmp_path, blue, green, share)
                clients.take(100)  # already on their way, or with a worker that has not heard of it yet
                seen = clients.take(200)
                found = 100 * seen["green"] / seen.total()
                assert abs(found - share) <= (0 if share in (0, 100) else 1.5), (
                    f"{found:.2f} % instead of {share} %"
                )
            envoy.apply(tmp_path, [Slot(name="blue", port=blue.port, mode="drain")])
            until(lambda: envoy.status(tmp_path).slots["blue"].sessions == 0, "blue is drained")
            envoy.apply(tmp_path, [Slot(name="blue")])
            clients.take(100)
        assert clients.failures == []
        status = envoy.status(tmp_path)
        assert status.slots["blue"].requests == blue.hits == clients.answers["blue"]
        assert status.slots["green"].requests == green.hits == clients.answers["green"]
        assert (status.requests, status.ok, status.failed) == (
            clients.answers.total(),
            clients.answers.total(),
            0,
        )


def test_every_shift_takes_effect_at_once_and_is_exact(tmp_path: Path) -> None:
    source = random.Random(4)
    with (
        backend("blue") as blue,
        backend("green") as green,
        running(tmp_path, filled=_both(blue, green)) as port,
    ):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        for _ in range(15):
            share = source.choice([0, 1, 5, 10, 20, 25, 50, 75, 90, 99, 100])
            _split(tmp_path, blue, green, share)
            given = 0
            for count in range(1, source.randrange(20, 90)):
                connection.request("GET", "/")
                given += connection.getresponse().read() == b"green"
                assert abs(given - count * share / 100) <= 2, f"{given} of {count} at {share} %"
        connection.close()


def test_three_instances_of_one_percent_together_get_one_percent(tmp_path: Path) -> None:
    groups = {version: [f"{version}{number}" for number in range(3)] for version in ("old", "new")}
    given = apportioned({"old": 99, "new": 1}, groups)
    with ExitStack() as stack:
        ports = {name: stack.enter_context(backend(name)).port for name in given}
        filled = [Slot(name=name, port=ports[name], weight=given[name], mode="ready") for name in given]
        port = stack.enter_context(running(tmp_path, slots=list(given), filled=filled))
        with load(port) as clients:
            seen = clients.take(600)
        share = 100 * sum(seen[name] for name in groups["new"]) / seen.total()
        assert abs(share - 1) <= 0.5
        assert clients.failures == []


def test_a_slow_answer_ends_before_its_slot_counts_as_drained(tmp_path: Path) -> None:
    with (
        backend("blue") as blue,
        backend("green") as green,
        running(tmp_path, filled=_both(blue, green, 0)) as port,
    ):
        found: list[bytes] = []
        slow = threading.Thread(target=lambda: found.append(_get(port, "/slow").body))  # type: ignore[attr-defined]
        slow.start()
        until(lambda: blue.waiting == 1, "the slow request is at blue")
        envoy.apply(
            tmp_path,
            [
                Slot(name="blue", port=blue.port, mode="drain"),
                Slot(name="green", port=green.port, weight=1, mode="ready"),
            ],
        )
        until(lambda: envoy.status(tmp_path).slots["green"].up, "green is up")
        assert _bodies(port, 5) == {b"green"}
        status = envoy.status(tmp_path).slots["blue"]
        assert (status.mode, status.sessions) == ("drain", 1)
        blue.hold.set()
        slow.join()
        assert found == [b"blue"]
        until(lambda: envoy.status(tmp_path).slots["blue"].sessions == 0, "blue is drained")


def test_a_graceful_end_finishes_what_is_in_flight(tmp_path: Path) -> None:
    port = free_port()
    with backend("blue") as blue:
        filled = [Slot(name="blue", port=blue.port, weight=1, mode="ready")]
        envoy.prepare(tmp_path, port, ["blue"], Options(interval=0.05), filled)
        with started(tmp_path) as process:
            found: list[bytes] = []
            slow = threading.Thread(target=lambda: found.append(_get(port, "/slow").body))  # type: ignore[attr-defined]
            slow.start()
            until(lambda: blue.waiting == 1, "the slow request is at blue")
            envoy.finish(tmp_path, process.pid)
            # What is in the listener's queue as it closes is cut, so that not every try is refused at once.
            until(lambda: _refused(port), "nobody is let in any more")
            assert process.poll() is None
            assert not found
            blue.hold.set()
            slow.join()
            assert found == [b"blue"]
            assert process.wait(60) == 0


def test_slots_and_weights_are_there_from_the_first_request_after_kill_9(tmp_path: Path) -> None:
    port = free_port()
    with backend("blue") as blue, backend("green") as green:
        envoy.prepare(tmp_path, port, ["blue", "green", "spare"], Options(interval=0.05))
        with started(tmp_path) as first:
            envoy.apply(tmp_path, _both(blue, green, 25))
            assert DRIVER.has_taken_over(tmp_path, first.pid)
            assert DRIVER.taking_over(tmp_path, program="envoy", pid=first.pid) is None
            first.send_signal(signal.SIGKILL)
            first.wait()
            with pytest.raises(SeatrialError, match="the load balancer does not answer"):
                envoy.status(tmp_path)
        # As it is when nobody prepares it anew, and as the keeper does it.
        for again in (False, True):
            if again:
                envoy.prepare(
                    tmp_path,
                    port,
                    ["blue", "green", "spare"],
                    Options(interval=0.05),
                    _both(blue, green, 25),
                )
            with started(tmp_path):
                slots = envoy.status(tmp_path).slots
                assert [
                    (slot.name, slot.host, slot.port, slot.weight, slot.mode) for slot in slots.values()
                ] == [
                    ("blue", "127.0.0.1", blue.port, 75, "ready"),
                    ("green", "127.0.0.1", green.port, 25, "ready"),
                    ("spare", "127.0.0.1", 1, 0, "maint"),
                ]
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                answers = []
                for _ in range(40):
                    connection.request("GET", "/")
                    answers.append(connection.getresponse().read())
                connection.close()
                assert 29 <= answers.count(b"blue") <= 31


def test_a_dead_back_end_costs_no_get(tmp_path: Path) -> None:
    with (
        backend("blue") as blue,
        backend("green") as green,
        running(tmp_path, options=Options(interval=1), filled=_both(blue, green)) as port,
    ):
        with load(port) as clients:
            clients.take(50)
            green.dies = True  # ends connections without an answer
            clients.take(50)
            green.healthy = False
            until(lambda: not envoy.status(tmp_path).slots["green"].up, "green is seen to be sick")
            clients.take(50)
        assert clients.failures == []
        assert envoy.status(tmp_path).slots["green"].redispatches > 0


@pytest.mark.parametrize("retry_posts", [False, True])
def test_a_post_that_met_its_end_is_only_repeated_when_wanted(tmp_path: Path, retry_posts: bool) -> None:
    options = Options(interval=5, retry_posts=retry_posts)
    with (
        backend("blue") as blue,
        backend("green") as green,
        running(tmp_path, options=options, filled=_both(blue, green)) as port,
    ):
        green.dies = True
        with load(port, clients=1, method="POST") as posts:
            until(lambda: posts.answers.total() + len(posts.failures) > 20, "20 POSTs")
        assert bool(posts.failures) is not retry_posts
        with load(port, clients=1, keep=False) as gets:
            gets.take(20)
        assert gets.failures == []
        assert green.hits > 0


def test_a_post_that_nobody_took_is_repeated_with_its_whole_body(tmp_path: Path) -> None:
    """Nothing listens at green: that cannot have had an effect, and 6 MB are what SageMaker lets through."""
    with backend("blue") as blue, running(tmp_path, options=Options(interval=60)) as port:
        with backend("green") as green:
            envoy.apply(tmp_path, _both(blue, green))
            until(lambda: all(slot.up for slot in envoy.status(tmp_path).slots.values()), "both are up")
        for _ in range(4):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("POST", "/", body=b"x" * 6_291_456)
            assert connection.getresponse().read() == b"blue"
            connection.close()
        assert envoy.status(tmp_path).slots["green"].redispatches > 0


def test_a_sick_back_end_gets_nothing_until_it_is_well(tmp_path: Path) -> None:
    with (
        backend("blue") as blue,
        backend("green") as green,
        running(tmp_path, filled=_both(blue, green)) as port,
    ):
        green.healthy = False
        until(lambda: not envoy.status(tmp_path).slots["green"].up, "green is seen to be sick")
        assert "503" in envoy.status(tmp_path).slots["green"].check
        assert _bodies(port, 10) == {b"blue"}
        green.healthy = True
        until(lambda: envoy.status(tmp_path).slots["green"].up, "green is well again")
        assert _bodies(port, 10) == {b"blue", b"green"}


def test_a_slot_with_a_new_address_is_not_healthy_by_its_predecessor(tmp_path: Path) -> None:
    with backend("old") as old, backend("new") as new, running(tmp_path, options=Options(interval=1)):
        envoy.apply(tmp_path, [Slot(name="blue", port=old.port, mode="ready")])
        until(lambda: envoy.status(tmp_path).slots["blue"].healthy, "the old back end passes its check")
        envoy.apply(tmp_path, [Slot(name="blue", port=free_port(), mode="ready")])
        assert not envoy.status(tmp_path).slots["blue"].healthy
        envoy.apply(tmp_path, [Slot(name="blue", port=new.port, mode="ready")])
        until(lambda: envoy.status(tmp_path).slots["blue"].healthy, "the new back end passes its check")


def test_a_slot_that_is_known_to_be_dead_gets_nothing_until_a_check_has_passed(tmp_path: Path) -> None:
    with (
        backend("blue") as blue,
        backend("green") as green,
        running(tmp_path, options=Options(interval=60), filled=_both(blue, green)) as port,
    ):
        assert _bodies(port, 6) == {b"blue", b"green"}
        green.healthy = False  # no check has noticed yet
        dead = Slot(name="green", port=green.port, weight=50, mode="ready", dead=True)
        envoy.apply(tmp_path, [dead])
        assert not envoy.status(tmp_path).slots["green"].up
        assert _bodies(port, 6) == {b"blue"}
        green.healthy = True
        until(lambda: envoy.status(tmp_path).slots["green"].up, "a check has passed")
        envoy.apply(tmp_path, [dead])  # said again, it is no news
        assert _bodies(port, 6) == {b"blue", b"green"}


def test_sticky_clients_stay_until_their_slot_has_no_share(tmp_path: Path) -> None:
    options = Options(interval=0.05, sticky="SLOT")
    with (
        backend("blue") as blue,
        backend("green") as green,
        running(tmp_path, options=options, filled=_both(blue, green)) as port,
    ):
        first = _get(port)
        other = {b"blue": b"green", b"green": b"blue"}[first.body]  # type: ignore[attr-defined]
        cookie = {"Cookie": (first.headers["Set-Cookie"] or "").partition(";")[0]}
        assert _bodies(port, 6, cookie) == {first.body}  # type: ignore[attr-defined]
        _split(tmp_path, blue, green, 100 if other == b"green" else 0)
        assert _bodies(port, 6, cookie) == {other}


def test_the_revision_under_test_is_reached_by_port_and_header_alone(tmp_path: Path) -> None:
    test_port = free_port()
    options = Options(interval=0.05, test_port=test_port, test_header="X-Try", access_log=True, sticky="SLOT")
    with (
        backend("blue") as blue,
        backend("green") as green,
        running(tmp_path, options=options, filled=_both(blue, green, 0)) as port,
    ):
        assert _get(test_port).status == 503
        envoy.apply(tmp_path, [Slot(name="green", port=green.port, mode="ready", tested=True)])
        assert envoy.status(tmp_path).slots["green"].tested
        assert _bodies(test_port, 4) == {b"green"}
        assert _bodies(port, 4, {"x-try": "1"}) == {b"green"}
        assert _get(port, headers={"x-try": "1"}).headers["Set-Cookie"] is None
        assert _bodies(port, 4) == {b"blue"}
        until(lambda: len(_answers(tmp_path)) >= 4, "the log is written")
        assert [one.slot for one in _answers(tmp_path)] == ["blue"] * 4


def _answers(folder: Path) -> list[Answer]:
    with Tail(folder / "access.log") as tail:
        return list(tail.answers())


def test_the_access_log_says_who_answered_what_and_how_long_it_took(tmp_path: Path) -> None:
    options = Options(interval=5, access_log=True)
    with (
        backend("blue") as blue,
        backend("green") as green,
        running(tmp_path, options=options, filled=_both(blue, green)) as port,
    ):
        began = time.time()
        assert _bodies(port, 10) == {b"blue", b"green"}
        envoy.apply(tmp_path, [Slot(name="green")])
        blue.dies = True
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", "/", body=b"{}")
        assert connection.getresponse().status == 503
        connection.close()
        until(lambda: len(_answers(tmp_path)) == 11, "the log is written")
        *good, bad = _answers(tmp_path)
        assert {(one.slot, one.port, one.status, one.method, one.retries) for one in good} == {
            ("blue", blue.port, 200, "GET", 0),
            ("green", green.port, 200, "GET", 0),
        }
        assert all(began <= one.at <= one.at + one.seconds <= time.time() and one.seconds > 0 for one in good)
        assert (bad.slot, bad.status, bad.method) == ("blue", 503, "POST")


def test_it_works_in_a_very_deep_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("d" * 100) / ("e" * 100)
    with backend("blue") as blue, running(folder) as port:
        envoy.apply(folder, [Slot(name="blue", port=blue.port, weight=1, mode="ready")])
        until(lambda: envoy.status(folder).slots["blue"].up, "blue is up")
        assert _get(port).body == b"blue"  # type: ignore[attr-defined]


def test_a_refused_configuration_says_why(tmp_path: Path) -> None:
    need_envoy()
    envoy.prepare(tmp_path, 8080, ["blue"], Options())
    envoy.check(tmp_path)
    (tmp_path / envoy.CONFIG).write_text('{"static_resources": {"listenrs": []}}')
    with pytest.raises(SeatrialError, match="Envoy refuses its configuration") as caught:
        envoy.check(tmp_path)
    assert "listenrs" in (caught.value.why or "")


def test_a_taken_port_is_told_at_the_start(tmp_path: Path) -> None:
    with backend("other") as other:
        envoy.prepare(tmp_path, other.port, ["blue"], Options())
        with (
            pytest.raises(SeatrialError, match="the load balancer did not start") as caught,
            started(tmp_path),
        ):
            pass
        assert f"127.0.0.1:{other.port}" in (caught.value.why or "")


def test_an_envoy_that_does_not_know_a_setting_is_said_to_be_too_old(tmp_path: Path) -> None:
    envoy.prepare(tmp_path, free_port(), ["blue"], Options())
    config = tmp_path / envoy.CONFIG
    config.write_text(config.read_text().replace("request_body_buffer_limit", "of_a_later_version"))
    with pytest.raises(SeatrialError, match="did not start") as caught, started(tmp_path):
        pass
    assert caught.value.fix == "this Envoy is too old: 1.36 or newer is needed"


def test_a_change_that_envoy_refuses_is_told(tmp_path: Path) -> None:
    with backend("blue") as blue, running(tmp_path):
        with pytest.raises(SeatrialError, match="the load balancer refuses a change"):
            envoy.apply(tmp_path, [Slot(name="blue", host="1.2.3", port=blue.port, weight=1, mode="ready")])
        with pytest.raises(SeatrialError, match="has no slot red"):
            envoy.apply(tmp_path, [Slot(name="red", port=blue.port, weight=1, mode="ready")])
        envoy.apply(tmp_path, [Slot(name="blue", port=blue.port, weight=1, mode="ready")])
        until(lambda: envoy.status(tmp_path).slots["blue"].up, "it goes on")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: envoy_config.bootstrap(80, ["a b"], Options()), "slot name"),
        (lambda: envoy_config.bootstrap(80, [], Options()), "at least one slot"),
        (lambda: envoy_config.bootstrap(80, ["a", "a"], Options()), "no two of one name"),
        (lambda: envoy_config.bootstrap(80, ["a"], Options(health="/p # x")), "health path"),
        (lambda: envoy_config.bootstrap(80, ["a"], Options(sticky="x y")), "cookie name"),
        (lambda: envoy_config.bootstrap(80, ["a"], Options(test_header="x y")), "header name"),
        (lambda: envoy_routes.routes(Options(), Mirror(share=1, methods=("GET|X",))), "method"),
        (
            lambda: envoy_config.endpoints("slots", [Slot(name="a", host="x;y", port=1, mode="ready")]),
            "address",
        ),
        (
            lambda: envoy_config.endpoints("slots", [Slot(name="a", port=1, weight=257, mode="ready")]),
            "weight 257",
        ),
    ],
)
def test_nothing_unforeseen_reaches_the_proxy(make: object, message: str) -> None:
    with pytest.raises(SeatrialError, match=message):
        make()  # type: ignore[operator]


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEATRIAL_ENVOY", "/nowhere/envoy")
    with pytest.raises(MissingToolError, match="/nowhere/envoy is no program") as caught:
        envoy.find()
    assert caught.value.where == "SEATRIAL_ENVOY"
