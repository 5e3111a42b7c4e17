"""The picture of a deployment: its numbers are those of the seconds, and everybody can read it."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from seatrial.config.deploying import Deploy
from seatrial.deployments.observing import latencies
from seatrial.deployments.observing.model import Arm, Second
from seatrial.services import drawing, page, picture
from seatrial.services.axes import moments, places, spread, tick
from seatrial.services.records import Event, Part, ServiceDeployment

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OLD, NEW = "r-0123456789ab", "r-ba9876543210"
BEGAN = 1_795_000_000
SVG = "{http://www.w3.org/2000/svg}"


def arm(requests: int, errors: int = 0, *, latency: float = 0.010) -> Arm:
    return Arm(requests=requests, errors=errors, buckets=latencies.histogram([latency] * requests))


def second(at: int, share: float, **arms: Arm) -> Second:
    usual = {OLD: arm(100 - round(share)), NEW: arm(round(share))}
    return Second(
        at=BEGAN + at, share=share, arms={name: one for name, one in (arms or usual).items() if one.requests}
    )


def deployment(*services: str, before: str = OLD, **fields: Any) -> ServiceDeployment:
    parts = tuple(
        Part(service=name, before=before, after=NEW, deploy=Deploy(), cwd="/srv")
        for name in services or ("iris",)
    )
    return ServiceDeployment(
        **{"id": "d-ABCDEFGHI", "parts": parts, "strategy": "canary:25%:10s", "status": "Succeeded",
           "created": BEGAN + 0.25, **fields}
    )  # fmt: skip


def drawn(
    seconds: Iterable[Second],
    *,
    one: ServiceDeployment | None = None,
    events: Sequence[Event] = (),
    phases: Sequence[tuple[str, str, float, float]] = (),
    took: float = 30,
) -> picture.Picture:
    one, seconds = one or deployment(), list(seconds)
    each = {part.service: seconds for part in one.parts}
    return picture.of(one, events, each, phases, until=BEGAN + took)


def canary(at: int) -> float:
    return 0 if at < 5 else 25 if at < 20 else 100


def test_its_numbers_are_those_of_the_seconds() -> None:
    slow = {OLD: arm(80, 4, latency=0.020), NEW: arm(20, 1, latency=0.040), "": arm(3, 3), "r-other": arm(2)}
    seconds = [second(at, canary(at)) for at in range(29)] + [second(29, 25, **slow)]

    (chart,) = drawn(seconds).charts

    assert [point.at for point in chart.points] == list(range(30))
    assert [(p.asked, p.share) for p in chart.points[::6]] == [
        (0, 0),
        (25, 25),
        (25, 25),
        (25, 25),
        (100, 100),
    ]
    last = chart.points[-1]
    assert {name: (m.requests, m.errors) for name, m in last.versions.items()} == {
        "old": (80, 4), "new": (20, 1), "none": (3, 3), "other": (2, 0),
    }  # fmt: skip
    assert last.share == 20  # of what the two versions answered
    assert last.versions["old"].p50 == pytest.approx(0.020, rel=0.01)
    assert last.versions["new"].p99 == pytest.approx(0.040, rel=0.01)
    assert chart.totals["old"].requests == 5 * 100 + 15 * 75 + 80
    assert (chart.totals["new"].requests, chart.totals["new"].errors) == (15 * 25 + 9 * 100 + 20, 1)


@pytest.mark.parametrize(("took", "stretch"), [(5, 1), (240, 1), (241, 2), (10_800, 60), (172_800, 900)])
def test_long_deployments_have_pictures_of_the_same_size(took: int, stretch: int) -> None:
    seconds = [second(at, 50) for at in range(0, took, 1 + took // 2000)]

    found = drawn(seconds, took=took)

    assert found.stretch == stretch
    assert len(found.charts[0].points) <= 241
    assert found.charts[0].totals["new"].requests == 50 * len(seconds)
    assert len(drawing.svg(found)) < 100_000


def test_seconds_from_before_the_deployment_are_not_its_own() -> None:
    assert drawn([second(-1, 0), second(0, 0)]).charts[0].totals["old"].requests == 100


def test_events_come_in_order_without_those_that_say_nothing() -> None:
    def event(at: float, kind: str, text: str, **data: Any) -> Event:
        return Event(at=BEGAN + at, kind=kind, text=text, service="iris", data=data)

    events = [
        event(9, "verdict", "promote: it is good", decision="promote"),
        event(1, "created", "d-ABCDEFGHI"),
        event(2, "stage", "ready"),
        event(3, "shift", "25 %"),
        event(11, "verdict", "nothing to compare with", decision=None),
        event(12, "alarm", "disk: it is full"),
        event(14, "ended", "failed", status="Failed"),
    ]

    marks = drawn([], events=events, phases=[("Install", "pass", BEGAN - 1, BEGAN + 2)]).marks

    assert [(mark.at, mark.kind, mark.tone) for mark in marks] == [
        (3, "shift", ""), (9, "verdict", "good"), (12, "alarm", "bad"), (14, "ended", "bad"),
    ]  # fmt: skip


CASES = {
    "canary": drawn([second(at, canary(at)) for at in range(30)]),
    "three hours": drawn([second(at, canary(at // 400)) for at in range(0, 10_800, 3)], took=10_800),
    "two services": drawn([second(1, 10)], one=deployment("api", "ranker")),
    "no traffic": drawn([]),
    "first version": drawn([second(1, 100)], one=deployment(before="")),
    "not ended": drawn([second(1, 10)], one=deployment(status="InProgress")),
    "all failed": drawn([second(1, 50, **{"": arm(9, 9)})]),
    "odd names": drawn([second(1, 10)], one=deployment("<b>&\"'\x1b]0;"), events=[Event(at=BEGAN, kind="note", text="]]><x>\0")]),
    "many events": drawn([], events=[Event(at=BEGAN + n / 9, kind="shift", text=f"{n} %") for n in range(300)]),
    "nothing": drawn([], one=msgspec.structs.replace(deployment(), parts=())),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_it_stands_alone_and_can_be_read_aloud(case: str) -> None:
    found = CASES[case]

    root = ET.fromstring(drawing.svg(found))

    assert (root.tag, root.get("role")) == (f"{SVG}svg", "img")
    title, words = root.findtext(f"{SVG}title"), root.findtext(f"{SVG}desc")
    assert title
    assert words
    assert all(chart.service.isprintable() is False or chart.service in words for chart in found.charts)
    assert not {one.tag for one in root.iter()} & {
        f"{SVG}{name}" for name in ("script", "image", "a", "foreignObject")
    }
    assert not re.search(r"(href|src|@import|https?://(?!www\.w3\.org/2000/svg))", drawing.svg(found))
    height = float(root.get("height", ""))
    assert all(0 <= float(one.get("y", "")) <= height for one in root.iter(f"{SVG}text"))
    assert all(0 <= float(one.get("x", "")) <= 900 for one in root.iter(f"{SVG}text"))
    ids = [one.get("id") for one in root.iter() if one.get("id")]
    assert len(ids) == len(set(ids))


def heights(svg: str, kind: str) -> list[float]:
    """How high each stretch of an area is."""
    path = re.search(rf'<path class="{kind}" d="([^"]*)"', svg)
    return [float(one) for one in re.findall(r"v([\d.]+)", path[1])] if path else []


def test_areas_are_as_high_as_the_shares_and_lines_end_where_traffic_does() -> None:
    seconds = [second(at, canary(at)) for at in range(30) if not 10 <= at < 14]

    svg = drawing.svg(drawn(seconds))

    new, old = heights(svg, "new"), heights(svg, "old")
    whole = new[-1]
    assert len(new) == 21
    assert [round(100 * one / whole) for one in (new[0], old[0], old[6])] == [25, 100, 75]
    lines = {
        kind: d.count("M") for kind, d in re.findall(r'<path class="(lo p50|ln p50|asked)" d="([^"]*)"', svg)
    }
    assert lines == {"lo p50": 2, "ln p50": 2, "asked": 2}
    assert ">no requests<" in drawing.svg(CASES["no traffic"])


def test_the_page_says_what_decided_and_escapes_all_of_it() -> None:
    comparison = {
        "metric": "errors",
        "state": "fail",
        "baseline": 0.0,
        "canary": 0.1,
        "why": "<10% failed>",
        "test": "exact",
    }
    judgement = {
        "decision": "roll back",
        "why": "errors",
        "comparisons": [comparison],
        "requests": [900, 100],
        "batches": 9,
    }
    verdict = Event(
        at=BEGAN + 4, kind="verdict", service="iris", text="roll back: errors", data={"decision": "roll back", "judgement": judgement}
    )  # fmt: skip
    one = deployment(status="Failed", why="<script>alert(1)</script>")

    html = page.html(one, drawn([second(1, 25)], one=one, events=[verdict]), [verdict])

    assert "✗ Failed" in html
    assert "&lt;script&gt;" in html
    assert "<script" not in html
    for words in (
        "What decided",
        "✗ fail",
        "&lt;10% failed&gt;",
        "exact",
        f"new {NEW}",
        "25",
        "default-src 'none'",
    ):
        assert words in html, words


@pytest.mark.parametrize(
    ("seconds", "says"),
    [(0, "0.0 s"), (59.94, "59.9 s"), (59.99, "1 min 00 s"), (125, "2 min 05 s"), (3599.7, "1 h 00 min"), (12_000, "3 h 20 min")],
)  # fmt: skip
def test_lengths_of_time(seconds: float, says: str) -> None:
    assert moments(seconds) == says


@pytest.mark.parametrize(
    ("seconds", "says"), [(0, "0:00"), (75, "1:15"), (3599.6, "1:00:00"), (36_061, "10:01:01")]
)
def test_times_on_the_axis(seconds: float, says: str) -> None:
    assert tick(seconds) == says


@pytest.mark.parametrize("total", [0.5, 1, 30, 47, 3600, 10_800, 172_800, 3_000_000])
def test_an_axis_has_a_few_ticks(total: float) -> None:
    found = places(total)

    assert found[0] == 0
    assert found[-1] <= total
    assert len(found) <= 9


def test_names_beside_lines_do_not_cover_each_other() -> None:
    found = spread([10, 11, 12, 95, 99], 13, 0, 100)

    assert all(b - a >= 13 for a, b in pairwise(found))
    assert found[-1] <= 100
