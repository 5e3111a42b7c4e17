"""What follows from numbers alone: weights of shares, ports, and logs that keep their places while they are cut."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from seatrial.deployments.observing.log import Tail
from seatrial.deployments.proxy import MOST_WEIGHT, apportioned
from seatrial.errors import SeatrialError
from seatrial.services import listening, logs

if TYPE_CHECKING:
    from collections.abc import Sequence


def _slots(**sizes: int) -> dict[str, Sequence[str]]:
    return {group: [f"{group}{number}" for number in range(size)] for group, size in sizes.items()}


def _of(weights: dict[str, int], group: str) -> list[int]:
    return [weight for slot, weight in weights.items() if slot.startswith(group)]


@pytest.mark.parametrize(("old", "new"), [*itertools.product((1, 2, 3, 8, 64), repeat=2)])
def test_each_version_has_its_share_whatever_the_number_of_its_instances(old: int, new: int) -> None:
    sums = set()
    for share in (0, 0.5, 1, 5, 10, 12.5, 33.3, 50, 90, 99, 99.9, 100):
        weights = apportioned({"old": 100 - share, "new": share}, _slots(old=old, new=new))
        assert all(0 <= weight <= MOST_WEIGHT for weight in weights.values())
        exact = 1e-9 if float(share).is_integer() else 0.5
        assert abs(100 * sum(_of(weights, "new")) / sum(weights.values()) - share) <= exact
        assert (sum(_of(weights, "new")) > 0) == (share > 0)
        for group in ("old", "new"):
            assert max(_of(weights, group)) - min(_of(weights, group)) <= 1
        sums.add(sum(weights.values()))
    assert len(sums) == 1  # else a shift would take effect late


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"old": -1, "new": 101}, "must be 0 or more"),
        ({"old": 0}, "one above 0"),
        ({}, "one above 0"),
        ({"old": 50, "gone": 50}, "gone has no slot"),
    ],
)
def test_shares_that_cannot_be_are_told(shares: dict[str, float], message: str) -> None:
    with pytest.raises(SeatrialError, match=message):
        apportioned(shares, _slots(old=1, new=1))


def test_ports_are_not_those_of_outgoing_connections(tmp_path: Path) -> None:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    if high - low > 60000:
        pytest.skip("ip_local_port_range leaves no other ports")
    ports = listening.choose_ports(tmp_path, 30)
    assert len(set(ports)) == 30
    assert not any(low <= port <= high for port in ports)


def _line(number: int) -> str:
    return f'[{number}000000,"s1","8000",200,"{number}","GET","0","--"]\n'


def test_a_log_that_is_cut_keeps_its_places_and_loses_no_line_that_is_new(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    lines = [_line(number) for number in range(1000, 6000)]
    path.write_text("".join(lines))
    with Tail(path) as tail:
        assert len(list(tail.answers())) == 5000
        before = tail.position
        logs.bound(path, 20_000)
        if path.stat().st_size == 0:
            pytest.skip("this file system has no holes")
        assert path.stat().st_blocks * 512 < 40_000
        with path.open("a") as stream:
            stream.write(_line(6000))
        assert [answer.at for answer in tail.answers()] == [6000]
    with Tail(path, before) as again:
        assert [answer.at for answer in again.answers()] == [6000]
    with Tail(path) as first:
        kept = [answer.at for answer in first.answers()]
    assert kept == list(range(6001 - len(kept), 6001))
    assert 300 < len(kept) < 700


def test_a_small_log_is_left_alone_and_its_end_can_be_told(tmp_path: Path) -> None:
    path = tmp_path / "log"
    logs.bound(path, 10)
    assert logs.last_words(path) == ""
    path.write_text("before\n")
    begin = logs.size(path)
    with path.open("a") as stream:
        stream.write("Traceback …\nno model\n")
    logs.bound(path, 1 << 20)
    assert logs.last_words(path, begin) == "Traceback …\nno model"
