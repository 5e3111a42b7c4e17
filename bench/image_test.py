"""What testing an image costs at each level, against only importing the same modules in it.

Budget, warm, for an image with torch: quick under 8 s, standard under 30 s. Runs are made in pairs with a bare import
of all modules in one interpreter of the image, so that a busy machine slows both: the ratio says what tests add.
Run: .venv/bin/python bench/image_test.py LAYOUT [PAIRS]   (as an ordinary user, too; LAYOUT is an OCI folder)
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images import runtime
from seatrial.images.rootfs import merged
from seatrial.images.testing import imports, interpreter
from seatrial.images.testing.model import LEVELS, Level, Subject, TestSpec, Verdict
from seatrial.images.testing.suite import run_tests

if TYPE_CHECKING:
    from collections.abc import Callable

PAIRS = 5
BUDGET: dict[Level, float] = {"quick": 8.0, "standard": 30.0}
IMPORT = "import importlib, json, sys\nfor name in json.loads(sys.argv[1]): importlib.import_module(name)"


class Cost(NamedTuple):
    wall: float
    cpu: float


def measured(what: Callable[[], object]) -> Cost:
    """Seconds by the clock, and of processor time here and in what was started."""
    begin, before = time.perf_counter(), _cpu()
    what()
    return Cost(time.perf_counter() - begin, _cpu() - before)


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def bare(layout: Path) -> Callable[[], object]:
    """Import in one interpreter what the test imports, and nothing else."""
    root = runtime.prepare(layout)
    python, _ = interpreter.ask(root)
    if python is None:
        raise SystemExit("the image has no Python that starts")
    names = imports.wanted(Subject(root, merged(root), python, TestSpec(), "quick", None), python)
    launch = runtime.Launch(
        entrypoint=(python.program,), network="none", env={"PYTHONDONTWRITEBYTECODE": "1"}
    )
    return lambda: runtime.run(root, ["-c", IMPORT, json.dumps(names)], launch)


def main() -> None:
    layout, pairs = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else PAIRS  # noqa: PLR2004 - a word each
    verdicts: list[Verdict] = []
    alone = bare(layout)

    def tested(level: Level) -> None:
        verdicts.append(run_tests(layout, level=level))

    print(f"user {os.geteuid()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    print(f"first run, which warms up: {measured(lambda: run_tests(layout, level='quick')).wall:.1f} s")
    for level in LEVELS:
        costs: list[tuple[Cost, Cost]] = []
        for _ in range(pairs):
            bottom = measured(alone)
            costs.append((bottom, measured(partial(tested, level))))
        tests, imported = [test for _, test in costs], [bottom for bottom, _ in costs]
        ratio = statistics.median(test.wall / bottom.wall for bottom, test in costs)
        print(
            f"{level}: best {min(t.wall for t in tests):.1f} s, median {statistics.median(t.wall for t in tests):.1f} s, "
            f"{min(t.cpu for t in tests):.1f} s of processors; bare imports best {min(b.wall for b in imported):.1f} s, "
            f"{min(b.cpu for b in imported):.1f} s of processors; median ratio {ratio:.2f}"
            + (f"; budget {BUDGET[level]:g} s" if level in BUDGET else "")
        )
        slow = sorted(verdicts[-1].checks, key=lambda check: -check.seconds)[:4]
        print("   " + ", ".join(f"{check.id} {check.seconds:.2f} s" for check in slow))
    print(f"failed: {sorted({c.id for v in verdicts for c in v.checks if c.status == 'fail'})}")


if __name__ == "__main__":
    main()
