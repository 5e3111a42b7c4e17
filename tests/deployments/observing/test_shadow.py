"""Answers of both versions to copied requests: where they differ, what that means, and that no client notices."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from seatrial.config.deploying import Shadow
from seatrial.deployments import envoy
from seatrial.deployments.envoy_listeners import COPIES_PER_SECOND
from seatrial.deployments.envoy_terms import COPY_HEADER, RECORDER
from seatrial.deployments.observing.recording import Recorder
from seatrial.deployments.observing.shadow import LARGEST, Comparison, Example, Told, differences, verdict
from seatrial.deployments.proxy import Mirror, Options, Slot
from seatrial.errors import SeatrialError
from support.answers import Answer, answering
from support.backends import backend
from support.envoys import running
from support.load import load
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

JSON = "application/json"
ALL = Mirror(share=100, methods=("GET", "HEAD", "POST"))


def _told(body: object, kind: str = JSON, status: int = 200, encoding: str = "") -> Told:
    content = body if isinstance(body, bytes) else str(body).encode()
    return Told(asked="GET /", status=status, kind=kind, body=content, size=len(content), encoding=encoding)


@pytest.mark.parametrize(
    ("old", "new", "settings", "expected"),
    [
        (_told('{"a": 1, "b": [2]}'), _told('{"b":[2.0],"a":1}'), Shadow(), []),
        (_told('{"a": 1}'), _told('{"a": 1.01}'), Shadow(tolerance=0.02), []),
        (_told('{"a": 1}'), _told('{"a": 1.03}'), Shadow(tolerance=0.02), ["$.a: expected 1, got 1.03"]),
        (_told('{"a": 1, "at": 5}'), _told('{"a": 1, "at": 6}'), Shadow(ignore=("at",)), []),
        (_told('{"m": {"at": 5}}'), _told('{"m": {"at": 6}}'), Shadow(ignore=("m.at",)), []),
        (_told('{"m": {"at": 5}}'), _told('{"m": {}}'), Shadow(ignore=("m.at",)), []),
        (_told('{"at": 5}'), _told('{"at": 6}'), Shadow(ignore=("m.at",)), ["$.at: expected 5, got 6"]),
        (_told('[{"id": 1, "v": 2}]'), _told('[{"id": 9, "v": 2}]'), Shadow(ignore=("id",)), []),
        (_told('{"a": [{"id": 1}]}'), _told('{"a": [{"id": 2}]}'), Shadow(ignore=("a.*.id",)), []),
        (_told('{"a": {"x": {"t": 1}}}'), _told('{"a": {"x": {"t": 2}}}'), Shadow(ignore=("a.*.t",)), []),
        (
            _told('[{"t": 1}, {"t": 1}]'),
            _told('[{"t": 2}, {"t": 2}]'),
            Shadow(ignore=("0.t",)),
            ["$[1].t: expected 1, got 2"],
        ),
        (_told("1,a\n2,b\n", "text/csv"), _told("1.0,a\n2.05,b\n", "text/csv"), Shadow(tolerance=0.1), []),
        (_told("1,a\n", "text/csv"), _told("1,b\n", "text/csv"), Shadow(), ["$[0][1]: expected 'a', got 'b'"]),
        (_told("1," + "a" * 200_000, "text/csv"), _told("1," + "b" * 200_000, "text/csv"), Shadow(), ["expected '1,aaa"]),
        (_told("hello", "text/plain"), _told("hello\n", "text/plain"), Shadow(), []),
        (_told("hello", "text/plain"), _told("hullo", "text/plain"), Shadow(), ["expected 'hello', got 'hullo'"]),
        (_told("{}", "application/json; charset=utf-8"), _told("{}", "Application/JSON"), Shadow(), []),
        (_told("{}"), _told("{}", "text/html"), Shadow(), ["content type: expected application/json, got text/html"]),
        (_told("{}"), _told('{"error": "x"}', status=500), Shadow(), ['status: expected 200, got 500: {"error": "x"}']),
        (_told("no", status=404), _told("no", status=404), Shadow(), []),
        (_told('{"a": 1}'), _told(gzip.compress(b'{"a": 1}'), encoding="gzip"), Shadow(), []),
        (_told('{"a": 1}'), _told(b"\x1f\x8b broken", encoding="gzip"), Shadow(), ["expected '{\"a\": 1}', got"]),
        (_told("[" * 100_000), _told("[" * 100_000), Shadow(), []),
        (_told("[" * 9000 + "1" + "]" * 9000), _told("[" * 9000 + "2" + "]" * 9000), Shadow(), ["expected"]),
    ],
)  # fmt: skip
def test_answers_are_compared_by_value(old: Told, new: Told, settings: Shadow, expected: list[str]) -> None:
    found = list(differences(old, new, settings))
    assert len(found) == len(expected), found
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)


_EXAMPLE = Example(
    asked="POST /invocations", request="", old=200, new=200, differences=("$.a: expected 1, got 2",)
)


@pytest.mark.parametrize(
    ("found", "decision", "why"),
    [
        (Comparison(), "hold", "0 answers of both versions compared, 50 are needed"),
        (Comparison(compared=49, alone=7), "hold", "49 answers of both versions compared, 50 are needed; 7 copies had one answer only"),
        (Comparison(compared=50, old=(900, 50), new=(970, 50)), "promote", "all 50 compared answers are the same; half of them took the old version 7.79 ms and the new one 15.6 ms"),
        (Comparison(compared=100, different=2, examples=(_EXAMPLE,)), "promote", "2 of 100 compared answers differ (2 %), 2 % are allowed"),
        (Comparison(compared=100, different=3, examples=(_EXAMPLE,)), "roll back", "3 of 100 compared answers differ (3 %), 2 % are allowed; the first was POST /invocations: $.a: expected 1, got 2"),
        (Comparison(compared=10, different=1, examples=(_EXAMPLE,)), "hold", "10 answers of both versions compared, 50 are needed"),
        (Comparison(compared=10, different=2, large=1, examples=(_EXAMPLE,)), "roll back", "2 of 10 compared answers differ (20 %), 2 % are allowed; the first was POST /invocations: $.a: expected 1, got 2; 1 answer of more than 1 MB left out"),
    ],
)  # fmt: skip
def test_the_verdict_says_the_numbers_that_decided(found: Comparison, decision: str, why: str) -> None:
    said = verdict(Shadow(max_different=2), found)
    assert (said.decision, said.why) == (decision, why)


@contextmanager
def _shadowed(
    folder: Path, old: int, new: int, *, settings: Shadow | None = None, mirror: Mirror = ALL
) -> Iterator[tuple[int, Recorder]]:
    """Envoy before both versions, with copies for the new one; yields its port and what compares the answers."""
    filled = [
        Slot(name="blue", port=old, weight=100, mode="ready"),
        Slot(name="green", port=new, mode="ready", shadow=True),
    ]
    with (
        running(
            folder, options=Options(health="/ping", interval=0.2, access_log=True), filled=filled
        ) as port,
        Recorder(folder, settings or Shadow(), folder / "compared.json") as recorder,
    ):
        until(lambda: envoy.status(folder).slots["blue"].up, "the old version is up")
        envoy.apply(folder, filled, mirror)
        yield port, recorder


def _ask(
    port: int, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _answers(*bodies: bytes) -> Sequence[Answer]:
    return [Answer(body=one, headers={"Content-Type": JSON}) for one in bodies]


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def test_copies_reach_the_new_version_as_they_were_and_no_secret_is_kept(tmp_path: Path) -> None:
    secret = "hush-hush-hush-4711"
    with (
        answering(_answers(b'{"score": 1, "at": 1}')) as old,
        answering(_answers(b'{"score": 2, "at": 2}')) as new,
        _shadowed(tmp_path, _port(old.url), _port(new.url), settings=Shadow(ignore=("at",))) as (
            port,
            recorder,
        ),
    ):
        given = {
            "Authorization": f"Bearer {secret}",
            "Cookie": f"session={secret}",
            "X-Api-Key": secret,
            "X-Forwarded-For": "192.0.2.7",
        }
        path = f"/invocations?token={secret}"
        assert _ask(port, "POST", path, b'{"rooms": 3}', given) == (200, b'{"score": 1, "at": 1}')
        assert _ask(port, "HEAD", "/invocations") == (200, b"")
        until(lambda: recorder.comparison().compared == 2, "both answers are compared")
        found = recorder.comparison()
        assert (found.different, found.alone) == (1, 0)
        (shown,) = found.examples
        assert shown.asked == "POST /invocations?token=***"
        assert shown.request == '{"rooms": 3}'
        assert shown.differences == ("$.score: expected 1, got 2 (off by 1, allowed 0)",)
        (mine,) = [one for one in old.asked if one[0] == "POST"]
        (copy,) = [one for one in new.asked if one[0] == "POST"]
        assert copy == mine
        assert copy[2]["x-forwarded-for"] == "192.0.2.7"
        assert not [name for name in copy[2] if name.startswith(("x-seatrial", "x-envoy"))]
    kept = "".join(one.read_text(errors="replace") for one in tmp_path.iterdir() if one.is_file())
    assert secret not in kept


def test_only_the_asked_share_and_methods_are_copied(tmp_path: Path) -> None:
    with (
        backend("same") as old,
        backend("same") as new,
        _shadowed(tmp_path, old.port, new.port, mirror=Mirror(share=50, methods=("POST",))) as (
            port,
            recorder,
        ),
    ):
        with load(port, clients=2, method="GET") as gets:
            gets.take(50)
        assert gets.failures == []
        assert new.hits == 0
        with load(port, clients=1, method="POST") as posts:
            posts.take(120)
        copied = new.hits
        assert 0.3 <= copied / posts.answers.total() <= 0.7
        until(lambda: recorder.comparison().compared == copied, "all are compared")
        envoy.apply(tmp_path, [])
        assert _ask(port, "POST", "/", b"{}")[0] == 200
        assert new.hits == copied
        assert recorder.comparison().different == 0
        assert verdict(Shadow(min_requests=20), recorder.comparison()).decision == "promote"


def test_no_more_is_copied_than_a_few_hundred_requests_per_second(tmp_path: Path) -> None:
    threads = min(4, os.cpu_count() or 1)
    with (
        backend("same") as old,
        backend("same") as new,
        _shadowed(tmp_path, old.port, new.port) as (port, recorder),
    ):
        began = time.monotonic()
        with load(port, clients=4) as clients:
            clients.take(120 * threads)
            until(lambda: time.monotonic() - began > 0.5, "half a second has passed")
        assert clients.failures == []
        assert _ask(port, "GET", "/", headers={COPY_HEADER: "1"}) == (200, b"same")
        most = COPIES_PER_SECOND * threads * (1 + time.monotonic() - began)
        assert 50 < new.hits <= most + 1
        until(lambda: recorder.comparison().compared == new.hits, "all copies are compared")


def test_a_shadow_that_never_answers_costs_no_client_anything(tmp_path: Path) -> None:
    with (
        backend("blue") as old,
        backend("blue") as new,
        _shadowed(tmp_path, old.port, new.port) as (port, recorder),
    ):
        old.hold.set()
        with load(port, clients=4, path="/slow") as clients:
            clients.take(300)  # whoever waited for the shadow would have waited for half a minute
        assert clients.failures == []
        assert new.waiting > 0
        assert recorder.comparison().compared == 0
        assert verdict(Shadow(), recorder.comparison()).decision == "hold"


def test_a_shadow_that_dies_under_load_is_seen_and_costs_no_client_anything(tmp_path: Path) -> None:
    with backend("blue") as old, backend("blue") as new:
        with _shadowed(tmp_path, old.port, new.port) as (port, recorder), load(port) as clients:
            clients.take(200)
            until(lambda: recorder.comparison().compared > 50, "answers are compared")
            assert recorder.comparison().different == 0
            new.dies = True
            clients.take(200)
            until(lambda: recorder.comparison().different > 10, "answers are missed")
        assert clients.failures == []
        assert clients.answers.total() == old.hits
        found = recorder.comparison()
    assert found.examples[0].new == 503
    assert len(found.examples) == 5
    assert verdict(Shadow(), found).decision == "roll back"


def test_without_a_recorder_clients_are_answered_and_the_next_one_goes_on(tmp_path: Path) -> None:
    with (
        backend("blue") as old,
        backend("blue") as new,
        _shadowed(tmp_path, old.port, new.port) as (port, recorder),
    ):
        for _ in range(10):
            assert _ask(port, "GET", "/") == (200, b"blue")
        until(lambda: recorder.comparison().compared == 10, "all are compared")
        recorder.__exit__()
        for _ in range(10):
            assert _ask(port, "GET", "/") == (200, b"blue")
        until(lambda: new.hits == 20, "copies go on")
        # What a killed one leaves behind: its socket.
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(tmp_path / RECORDER))
        with Recorder(tmp_path, Shadow(), tmp_path / "compared.json") as after:
            assert after.comparison().compared == 10
            assert sum(after.comparison().old[1::2]) == 10
            assert _ask(port, "GET", "/") == (200, b"blue")
            until(lambda: after.comparison().compared == 11, "it goes on")
        recorder.__enter__()
    saved = json.loads((tmp_path / "compared.json").read_text())
    assert saved["examples"] == []


def test_answers_that_are_too_large_are_passed_on_and_only_counted(tmp_path: Path) -> None:
    large = b"x" * (LARGEST + 1)
    with (
        answering([Answer(body=large)]) as old,
        answering([Answer(body=large)]) as new,
        _shadowed(tmp_path, _port(old.url), _port(new.url)) as (port, recorder),
    ):
        assert _ask(port, "GET", "/") == (200, large)
        until(lambda: recorder.comparison().large == 1, "it is counted")
        assert recorder.comparison().compared == 0


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(SeatrialError, match="cannot listen for the answers"),
        Recorder(tmp_path / "gone", Shadow(), tmp_path / "compared.json"),
    ):
        pass
