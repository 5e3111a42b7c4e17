"""How often the judge of a shift is wrong, over 1,000 simulated shifts of each kind.

Criteria: identical versions are rolled back in at most 2 % of shifts, a version that is 20 % slower is promoted in at
most 5 %, at the sample sizes that docs/explanation/analysis.md states. Exits with 1 when one does not hold.

Run: .venv/bin/python bench/analysis.py [--shifts 1000] [--chart FILE.svg]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import msgspec
from judging.chart import Bar, draw

from seatrial.deployments.analysis.judge import judge
from seatrial.deployments.observing.latencies import histogram, values
from support.traffic import Arm, Traffic, generate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.deployments.analysis.model import Window


class Kind(NamedTuple):
    """Shifts of one kind; of `never`, at most the share `most` may come out.

    `packed` traffic has been in a timeline. With `looks` it is judged so often while it grows, and the first verdict
    that is no hold counts.
    """

    name: str
    traffic: Traffic
    never: str
    most: float
    packed: bool = False
    looks: int = 1


SLOWER = Arm(latency=0.06)


def _ticks(old: float, new: float) -> Traffic:
    return Traffic(old=Arm(latency=old, tick=0.001), new=Arm(latency=new, tick=0.001))


KINDS = (
    Kind("identical", Traffic(), "roll back", 0.02),
    Kind("identical, both slow at times", Traffic(common=0.4), "roll back", 0.02),
    Kind("identical, in bursts", Traffic(bursts=8), "roll back", 0.02),
    Kind("identical, 2 % fail", Traffic(old=Arm(errors=0.02), new=Arm(errors=0.02)), "roll back", 0.02),
    Kind("identical, heavy tail", Traffic(old=Arm(slow=0.05), new=Arm(slow=0.05)), "roll back", 0.02),
    Kind("identical, a tenth of the traffic", Traffic(old=Arm(rate=90), new=Arm(rate=10)), "roll back", 0.02),
    Kind("identical, each wanders by 5 %", Traffic(old=Arm(drift=0.05), new=Arm(drift=0.05)), "roll back", 0.02),
    Kind("20 % slower", Traffic(new=SLOWER), "promote", 0.05),
    Kind("20 % slower, both slow at times", Traffic(common=0.4, new=SLOWER), "promote", 0.05),
    Kind("20 % slower, in bursts", Traffic(bursts=8, new=SLOWER), "promote", 0.05),
    Kind("20 % slower, a tenth of the traffic", Traffic(old=Arm(rate=90), new=Arm(rate=10, latency=0.06)), "promote", 0.05),
    Kind("20 % slower, each wanders by 5 %", Traffic(old=Arm(drift=0.05), new=Arm(drift=0.05, latency=0.06)), "promote", 0.05),
    Kind("heavier tail, equal mean", Traffic(new=Arm(latency=0.0435, slow=0.05)), "promote", 0.05),
    Kind("identical, from the timeline", Traffic(), "roll back", 0.02, packed=True),
    Kind("20 % slower, from the timeline", Traffic(new=SLOWER), "promote", 0.05, packed=True),
    Kind("identical 2 ms, whole milliseconds", _ticks(0.002, 0.002), "roll back", 0.02),
    Kind("identical 3 ms, whole milliseconds", _ticks(0.003, 0.003), "roll back", 0.02),
    Kind("identical 5 ms, whole milliseconds", _ticks(0.005, 0.005), "roll back", 0.02),
    Kind("2.4 ms after 2 ms, whole milliseconds", _ticks(0.002, 0.0024), "roll back", 0.02),
    Kind("4 ms after 2 ms, whole milliseconds", _ticks(0.002, 0.004), "promote", 0.05),
    Kind("7 ms after 5 ms, whole milliseconds", _ticks(0.005, 0.007), "promote", 0.05),
    Kind("24 ms after 20 ms, whole milliseconds", _ticks(0.02, 0.024), "promote", 0.05),
    Kind("identical, looked at six times", Traffic(windows=120), "roll back", 0.02, looks=6),
    Kind("20 % slower, looked at six times", Traffic(windows=120, new=SLOWER), "promote", 0.05, looks=6),
    Kind("1 % fail", Traffic(new=Arm(errors=0.01)), "promote", 0.05),
)  # fmt: skip


SIZES = (13, 25, 60, 125)
"""Windows of 40 requests of each version."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shifts", type=int, default=1000, help="how many of each kind")
    parser.add_argument("--chart", type=Path, help="write the verdicts by sample size here, as SVG")
    given = parser.parse_args()
    print(f"{'':42}{'promote':>9}{'hold':>9}{'roll back':>11}   ms")
    found = [_measured(kind, given.shifts) for kind in KINDS]
    groups: dict[str, list[Bar]] = {"Identical versions": [], "The new version is 20 % slower": []}
    for windows in SIZES:
        same, slower = Traffic(windows=windows), Traffic(windows=windows, new=SLOWER)
        about = f"{windows * 40:,} requests each"
        for group, kind in zip(
            groups.values(),
            (
                Kind(f"identical, {about}", same, "roll back", 0.02),
                Kind(f"20 % slower, {about}", slower, "promote", 0.05),
            ),
            strict=True,
        ):
            found.append(_measured(kind, given.shifts))
            group.append(Bar(windows * 40, found[-1].shares))
    if given.chart:
        draw(groups, given.chart)
    return 1 if any(one.wrong for one in found) else 0


class Measured(NamedTuple):
    """The shares that were promoted, held and rolled back, and whether too many were wrong."""

    shares: tuple[float, ...]
    wrong: bool


def _measured(kind: Kind, shifts: int) -> Measured:
    """Let shifts of a kind be judged, and print what came out."""
    found: Counter[str] = Counter()
    seconds = 0.0
    for seed in range(shifts):
        old, new = generate(kind.traffic, seed)
        if kind.packed:
            old, new = _packed(old), _packed(new)
        began = time.process_time()
        found[_decided(old, new, kind.looks)] += 1
        seconds += time.process_time() - began
    shares = tuple(found[name] / shifts for name in ("promote", "hold", "roll back"))
    wrong = found[kind.never] / shifts > kind.most
    print(
        f"{kind.name:42}{shares[0]:9.1%}{shares[1]:9.1%}{shares[2]:11.1%}{seconds / shifts * 1000:5.0f}"
        + (f"   more than {kind.most:.0%} {kind.never}" if wrong else ""),
        flush=True,
    )
    return Measured(shares, wrong)


def _decided(old: list[Window], new: list[Window], looks: int) -> str:
    for look in range(1, looks + 1):
        upto = len(old) * look // looks
        found = judge(old[:upto], new[:upto], looks=looks).decision
        if found != "hold":
            return found
    return "hold"


def _packed(windows: Iterable[Window]) -> list[Window]:
    """As a timeline gives them back."""
    return [
        msgspec.structs.replace(window, latencies=tuple(values(histogram(window.latencies))))
        for window in windows
    ]


if __name__ == "__main__":
    sys.exit(main())
