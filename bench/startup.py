"""How long `seatrial --version` and `--help` take, against their budgets.

A busy machine makes single runs useless, so each command is run in turn with a bare interpreter, and the
medians are compared. `load` is what our code adds to `python -c pass`.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path

ROUNDS = 21
BUDGETS = {"--version": 0.080, "--help": 0.150}
PROGRAM = Path(sys.executable).with_name("seatrial")


def seconds(argv: list[str]) -> float:
    """Wall time of one run."""
    start = time.perf_counter()
    subprocess.run(argv, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - start


def main() -> int:
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        **{name: [str(PROGRAM), name] for name in BUDGETS},
    }
    times: dict[str, list[float]] = {name: [] for name in commands}
    for argv in commands.values():
        seconds(argv)  # bytecode and page cache
    for _ in range(ROUNDS):
        for name, argv in commands.items():
            times[name].append(seconds(argv))
    medians = {name: statistics.median(found) for name, found in times.items()}
    bare = medians["python -c pass"]
    print(f"{'command':<16} {'median':>9} {'fastest':>9} {'load':>9} {'budget':>9}")
    for name, found in times.items():
        budget = BUDGETS.get(name)
        shown = f"{budget * 1000:6.0f} ms" if budget else "        -"
        print(
            f"{name:<16} {medians[name] * 1000:6.1f} ms {min(found) * 1000:6.1f} ms "
            f"{(medians[name] - bare) * 1000:6.1f} ms {shown}"
        )
    return int(any(medians[name] > budget for name, budget in BUDGETS.items()))


if __name__ == "__main__":
    sys.exit(main())
