"""How long it takes to read Dockerfiles and the shell commands in them.

A Dockerfile of the usual kind, with as many commands as such files have, is read as often as there are files in a large
collection; 151 of them have 0.7 seconds. What the grammar alone takes is shown for comparison.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import TYPE_CHECKING

from seatrial.sources.dockerfile import read
from seatrial.sources.shell import commands, parse
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from collections.abc import Callable

FILES = 151
ROUNDS = 5
BUDGET = 0.7

HEAD = """\
# syntax=docker/dockerfile:1
ARG CUDA=12.1.1
FROM nvidia/cuda:${CUDA}-cudnn8-devel-ubuntu22.04 AS base
ENV DEBIAN_FRONTEND=noninteractive \\
    PATH=/opt/venv/bin:$PATH
WORKDIR /app
COPY requirements.txt .
"""
STEP = """\
# step {number}
RUN --mount=type=cache,target=/root/.cache apt-get update && \\
    apt-get install -y --no-install-recommends git curl build-essential python3-dev && \\
    # nothing stays behind
    rm -rf /var/lib/apt/lists/*
RUN if [ "$CUDA" = "11.8" ]; then pip install "torch==2.{number}.0" --index-url https://example.org/cu118; \\
    else pip install torch==2.{number}.0 torchvision 'numpy<2'; fi
RUN MAX_JOBS=4 pip install flash-attn=={number}.0 --no-build-isolation || true
ENV STEP={number}
"""


def sources() -> list[Source]:
    text = HEAD + "".join(STEP.format(number=number) for number in range(3)) + 'CMD ["python", "-m", "app"]\n'
    return [Source(f"{number}/Dockerfile", text) for number in range(FILES)]


def median(run: Callable[[], object]) -> float:
    taken = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        run()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def main() -> int:
    files = sources()
    commands("true")  # loads the grammar
    scripts = [one.script for file in files for one in read(file).instructions if one.keyword == "RUN"]
    reading = median(lambda: [read(file) for file in files])
    parsing = median(lambda: [parse(script.text) for script in scripts])
    finding = median(lambda: [commands(script) for script in scripts])
    print(f"{'what':40} {'seconds':>8} {'budget':>8}")
    print(f"{f'instructions of {FILES} files':40} {reading:8.3f}")
    print(f"{f'commands of {len(scripts)} RUNs':40} {finding:8.3f}")
    print(f"{'of that the grammar':40} {parsing:8.3f}")
    print(f"{'together':40} {reading + finding:8.3f} {BUDGET:8.3f}")
    return int(reading + finding > BUDGET)


if __name__ == "__main__":
    sys.exit(main())
