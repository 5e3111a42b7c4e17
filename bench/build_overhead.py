"""What a build costs beyond its commands, and how fast a long log arrives.

Budgets: an empty build 150 ms beyond the start of the interpreter (`seatrial --version`) and its commands; 100 MB/s for
200 MB of output, with and without secrets to mask. Builds and bare starts are measured in turns, and the medians
compared, so that a busy machine slows both.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 10
EMPTY = """version: 0.2
phases:
  install: {commands: ["true"]}
  pre_build: {commands: ["true"]}
  build: {commands: ["true"]}
  post_build: {commands: ["true"]}
"""
NOISY = """version: 0.2
phases:
  build: {commands: ["cat big.txt"]}
"""
SECRETS = ("--env", "API_TOKEN=horse-battery-4711", "--env", "DB_PASSWORD=correct-staple")
LINE = "line {:08} " + "x" * 50 + "\n"
LINES = 3_125_000


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        env = os.environ | {"SEATRIAL_HOME": str(top / "home"), "SEATRIAL_CACHE": str(top / "cache")}
        _overhead(top, env)
        _throughput(top, env)


def _overhead(top: Path, env: dict[str, str]) -> None:
    folder = top / "empty"
    folder.mkdir()
    (folder / "buildspec.yml").write_text(EMPTY)
    builds, starts, commands = [], [], []
    for _ in range(ROUNDS):
        builds.append(_timed([sys.executable, "-m", "seatrial", "build", "run", str(folder), "--json"], env))
        starts.append(_timed([sys.executable, "-m", "seatrial", "--version"], env))
        commands.append(4 * _timed(["/bin/sh", "-c", "true"], env))
    build, start, command = (statistics.median(times) * 1000 for times in (builds, starts, commands))
    print(f"empty build {build:.0f} ms, start {start:.0f} ms, commands {command:.0f} ms")
    print(f"overhead {build - start - command:.0f} ms (budget 150 ms)")


def _throughput(top: Path, env: dict[str, str]) -> None:
    folder = top / "noisy"
    folder.mkdir()
    (folder / "buildspec.yml").write_text(NOISY)
    with (folder / "big.txt").open("w") as stream:
        stream.writelines(LINE.format(number) for number in range(LINES))
    size = (folder / "big.txt").stat().st_size
    for what, more in (("plain", ()), ("masked", SECRETS)):
        line = [sys.executable, "-m", "seatrial", "build", "run", str(folder), "--json", *more]
        found = json.loads(subprocess.run(line, env=env, capture_output=True, check=True).stdout)
        stage = next(stage for stage in found["stages"] if stage["name"] == "BUILD")
        arrived = Path(stage["log"]).stat().st_size
        assert arrived >= size, "the log is not complete"
        print(f"{what}: {size / 1e6 / stage['duration']:.0f} MB/s of {size / 1e6:.0f} MB (budget 100 MB/s)")


def _timed(line: list[str], env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run(line, env=env, capture_output=True, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
