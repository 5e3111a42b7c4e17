"""Further metrics, measured of instances, by programs and by queries. What cannot be measured is missing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.config.deploying import Metric
from seatrial.deployments.observing import metrics
from seatrial.errors import UsageError
from seatrial.readiness import free_port
from support.answers import Answer, answering
from support.clocks import SimulatedClock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def _page(text: str) -> Answer:
    return Answer(body=text.encode())


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].strip("/"))


def _command(code: str) -> Metric:
    return Metric(command=(sys.executable, "-c", code))


COUNTER = "# TYPE tokens_total counter\n"


def test_a_gauge_is_averaged_over_instances_and_a_counter_added_up() -> None:
    pages = [_page(f"# TYPE queue gauge\nqueue {n}\n{COUNTER}tokens_total {n * 10}\n") for n in (2, 4)]
    with answering(pages[:1]) as one, answering(pages[1:]) as two:
        ports = [_port(one.url), _port(two.url)]
        assert metrics.measure(Metric(prometheus="queue"), "r", ports).value == 3
        assert metrics.measure(Metric(prometheus="tokens_total"), "r", ports).value == 60
    assert {target for _, target, _ in one.asked} == {"/metrics"}


def _rates(pages: Sequence[str]) -> list[metrics.Reading]:
    clock = SimulatedClock()
    wanted = Metric(prometheus="tokens_total", rate=True, path="/numbers")
    found: list[metrics.Reading] = []
    with answering([_page(page) for page in pages]) as server:
        for _ in pages:
            before = found[-1] if found else None
            found.append(metrics.measure(wanted, "r", [_port(server.url)], before=before, clock=clock))
            clock.sleep(10)
    return found


def test_a_rate_is_what_is_counted_between_two_readings() -> None:
    first, second = _rates(["tokens_total 100", "tokens_total 150"])
    assert (first.value, first.why) == (None, "")
    assert second.value == 5


def test_an_instance_that_was_started_again_counts_from_zero() -> None:
    assert [one.value for one in _rates(["tokens_total 100", "tokens_total 30", "tokens_total 40"])] == [
        None,
        3,
        1,
    ]


def test_a_rate_goes_on_over_a_reading_that_failed() -> None:
    found = _rates(["tokens_total 100", "nothing 1", "tokens_total 160"])
    assert [one.value for one in found] == [None, None, 3]
    assert found[1].why


def test_a_series_that_appears_has_counted_from_zero() -> None:
    found = _rates(['tokens_total{m="a"} 10', 'tokens_total{m="a"} 20\ntokens_total{m="b"} 40'])
    assert found[1].value == 5


def test_a_rate_of_an_instance_that_is_new_is_not_known_yet() -> None:
    clock = SimulatedClock()
    wanted = Metric(prometheus="tokens_total", rate=True)
    with answering([_page("tokens_total 1000")]) as old, answering([_page("tokens_total 5000")]) as new:
        ports = [_port(old.url)]
        first = metrics.measure(wanted, "r", ports, clock=clock)
        clock.sleep(10)
        found = metrics.measure(wanted, "r", [*ports, _port(new.url)], before=first, clock=clock)
    assert found.value == 0


def test_a_program_is_told_the_revision_and_its_instances(tmp_path: Path) -> None:
    (tmp_path / "share").write_text("0.25")
    code = "import os; e = os.environ; print(float(open('share').read()) + len(e['REVISION']) + len(e['PORTS'].split()))"
    assert metrics.measure(_command(code), "r-1", [1, 2], cwd=tmp_path).value == 5.25


def test_a_query_is_asked_for_the_revision() -> None:
    body = b'{"data": {"result": [{"value": [1435781451.781, "0.75"]}]}}'
    with answering([Answer(body=body)]) as server:
        wanted = Metric(
            url=f'{server.url}/api/v1/query?query=up{{version="{{revision}}"}}', value="data.result.0.value.1"
        )
        assert metrics.measure(wanted, "r-1", []).value == 0.75
    ((_, target, _),) = server.asked
    assert "r-1" in target


def test_a_url_with_a_port_is_asked_of_each_instance() -> None:
    with answering([Answer(body=b'{"n": 1}')]) as one, answering([Answer(body=b'{"n": 2}')]) as two:
        wanted = Metric(url="http://127.0.0.1:{port}/n", value="n")
        assert metrics.measure(wanted, "r", [_port(one.url), _port(two.url)]).value == 1.5


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (_command("print('many')"), "'many' is no number"),
        (_command("print('nan')"), "'nan' is no number"),
        (_command("import sys; sys.exit('broken pipe')"), "ended with 1: broken pipe"),
        (Metric(command=("no-such-program-here",)), "not installed"),
        (Metric(prometheus="queue"), "shows no queue"),
        (Metric(prometheus="queue", path="/gone"), "404"),
        (Metric(url="http://127.0.0.1:{port}/json", value="a.0.b"), "there is no b"),
        (Metric(url="http://127.0.0.1:{port}/json", value="a.7"), "there is no 7"),
        (Metric(url="http://127.0.0.1:{port}/json", value="flag"), "'True' is no number"),
        (Metric(url="http://127.0.0.1:{port}/metrics", value="a"), "is no JSON"),
        (Metric(url=f"http://127.0.0.1:{free_port()}/"), "127.0.0.1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_be_measured_is_missing_and_says_why(wanted: Metric, why: str) -> None:
    answers = {"/gone": Answer(status=404), "/json": Answer(body=b'{"a": [{"c": 1}], "flag": true}')}
    path = "/json" if wanted.url and "json" in wanted.url else wanted.path
    with answering([answers.get(path, _page("up 1"))]) as server:
        found = metrics.measure(wanted, "r", [_port(server.url)])
    assert found.value is None
    assert why in found.why


def test_without_an_instance_there_is_nothing_to_measure() -> None:
    assert "no instance" in metrics.measure(Metric(prometheus="queue"), "r", []).why
    assert "no instance" in metrics.measure(Metric(url="http://127.0.0.1:{port}/"), "r", []).why


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"prometheus": "queue", "command": ("true",)},
        {"prometheus": "rate(x[5m])"},
        {"command": ("true",), "rate": True},
    ],
)
def test_a_metric_that_cannot_work_is_refused_before_anything_begins(given: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="'speed'"):
        metrics.check({"speed": Metric(**given)})
