"""How often the judge of a shift is wrong, over 1,000 simulated shifts of each kind.

Criteria: identical versions are rolled back in at most 2 % of shifts, a version that is 20 % slower is promoted in at
most 5 %, at the sample sizes that docs/explanation/analysis.md states. Exits with 1 when one does not hold.

Run: .venv/bin/python bench/analysis.py [SHIFTS]
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from seatrial.deployments.analysis.judge import judge
from support.traffic import Arm, Traffic, generate


class Kind(NamedTuple):
    """Shifts of one kind; of `never`, at most the share `most` may come out."""

    name: str
    traffic: Traffic
    never: str
    most: float


SLOWER = Arm(latency=0.06)
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
    Kind("1 % fail", Traffic(new=Arm(errors=0.01)), "promote", 0.05),
)  # fmt: skip


def main() -> int:
    shifts = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    bad = 0
    print(f"{'':38}{'promote':>9}{'hold':>9}{'roll back':>11}   ms")
    for kind in KINDS:
        found: Counter[str] = Counter()
        seconds = 0.0
        for seed in range(shifts):
            arms = generate(kind.traffic, seed)
            began = time.process_time()
            found[judge(*arms).decision] += 1
            seconds += time.process_time() - began
        shares = [found[name] / shifts for name in ("promote", "hold", "roll back")]
        wrong = found[kind.never] / shifts > kind.most
        bad += wrong
        print(
            f"{kind.name:38}{shares[0]:9.1%}{shares[1]:9.1%}{shares[2]:11.1%}{seconds / shifts * 1000:5.0f}"
            + (f"   more than {kind.most:.0%} {kind.never}" if wrong else "")
        )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
