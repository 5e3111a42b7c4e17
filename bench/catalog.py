"""What looking at the built-in tables costs: the first look of a process, and each one after it.

`seatrial check` looks up every base image and package of a repository, so the first look may take 15 ms (in a process
of its own, what it needs from elsewhere imported before), a further one 50 µs, and a package's table of facts 30 ms.
Each is the best of several, as machines do other things too.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

from seatrial.images import facts
from seatrial.images.catalog import identify

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS = 5
REFERENCES = (
    "nvidia/cuda:12.4.1-cudnn-devel-ubuntu22.04",
    "python:3.11-slim",
    "ubuntu:22.04",
    "pytorch/pytorch:2.4.0-cuda12.1-cudnn9-runtime",
)
FIRST = f"""
import time, yaml
from seatrial.images import facts, reference
from seatrial.images.catalog import identify, observed, tables
from seatrial.images.catalog.families import nvidia_cuda
started = time.perf_counter()
identify({REFERENCES[0]!r})
print(time.perf_counter() - started)
"""


def main() -> int:
    measured = {
        "first look": (min(_first() for _ in range(ROUNDS)), 15e-3),
        "further look": (min(_seconds(_looks) for _ in range(ROUNDS)) / len(REFERENCES), 50e-6),
        "table of facts": (min(_seconds(_table) for _ in range(ROUNDS)), 30e-3),
    }
    print(f"{'what':<16} {'fastest':>10} {'budget':>10}")
    for what, (taken, budget) in measured.items():
        print(f"{what:<16} {taken * 1000:7.3f} ms {budget * 1000:7.3f} ms")
    return int(any(taken > budget for taken, budget in measured.values()))


def _first() -> float:
    ran = subprocess.run([sys.executable, "-c", FIRST], capture_output=True, text=True, check=True)
    return float(ran.stdout)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _looks() -> None:
    for reference in REFERENCES:
        identify(reference)


def _table() -> None:
    facts.table.cache_clear()
    facts.table("transformers")


if __name__ == "__main__":
    sys.exit(main())
