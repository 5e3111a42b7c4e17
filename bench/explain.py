"""How long `seatrial explain` takes for big logs, and how much memory.

Usage: python bench/explain.py [--megabytes 200] [--only KIND]. Logs are made beforehand, from a fixed seed, and not
counted; each has one failure at 60 %. Prints one JSON line per kind of log. Kinds: build (lines of installs, image
builds and tests, numbers differ), words (no two lines alike), scary (every third line tells of an error), training
(eight ranks mixed), progress (carriage returns), line (no line break at all).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FAILURE = "OSError: [Errno 28] No space left on device: '/tmp/build/wheel'\n"
PACKAGES = (
    "numpy",
    "torch",
    "pandas",
    "error-handler",
    "exceptiongroup",
    "retrying",
    "boto3",
    "urllib3",
    "failure-detector",
    "scipy",
)
BUILD = (
    "[Container] 2024/05/05 12:{m:02}:{s:02}.{n:06} Running command pip install -r requirements.txt",
    "Collecting {p}=={a}.{b}.{c}",
    "  Downloading {p}-{a}.{b}.{c}-cp311-cp311-manylinux_2_17_x86_64.whl ({n} kB)",
    "Requirement already satisfied: {p}>={a}.{b} in ./venv/lib/python3.11/site-packages (from -r requirements.txt (line {c}))",
    "#{a} {b}.{n:06} Get:{c} http://deb.debian.org/debian bookworm/main amd64 lib{p}{a} amd64 {b}.{c}-{a} [{n} B]",
    "#{a} {b}.{n:06} Selecting previously unselected package lib{p}{a}:amd64.",
    "tests/test_{p}.py::test_handles_error[{n}] PASSED                                  [ {c}%]",
    "2024-05-05T12:{m:02}:{s:02}.{n:06}Z INFO {p}.worker: processed batch {n} of {a} in {b}.{c}s loss=0.{n}",
    "npm warn deprecated {p}@{a}.{b}.{c}: this version is no longer supported",
    "WARNING: Retrying (Retry(total={b}, connect=None, read=None)) after connection broken for /simple/{p}/",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--only", choices=sorted(KINDS))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for kind, make in KINDS.items():
            if given.only in {None, kind}:
                log = Path(folder) / "log"
                size = write(log, make, given.megabytes * 1_000_000)
                print(json.dumps({"kind": kind, "megabytes": round(size / 1e6), **measure(log)}), flush=True)
                log.unlink()


def write(log: Path, make: Callable[[random.Random], str], size: int) -> int:
    """A log of that size with one failure in it."""
    luck = random.Random(7)
    done, told = 0, False
    with log.open("w") as stream:
        while done < size:
            done += stream.write("".join(make(luck) for _ in range(500)))
            if not told and done > 0.6 * size:
                done += stream.write(FAILURE)
                told = True
    return log.stat().st_size


def measure(log: Path) -> dict[str, object]:
    """Seconds and peak memory of the whole command."""
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "seatrial", "explain", str(log), "--json"], stdout=subprocess.PIPE
    )
    assert process.stdout
    answer = json.loads(process.stdout.read())
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return {
        "seconds": round(time.monotonic() - started, 2),
        "cpu": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss / 1024),
        "causes": [cause["id"] for cause in answer["causes"]],
        "lines": answer["total"],
    }


def _build(luck: random.Random) -> str:
    number = luck.randrange(10**6)
    shape = BUILD[number % len(BUILD)]
    return shape.format(
        m=number % 60, s=number % 59, n=number, p=PACKAGES[number // 7 % 10], a=number % 9, b=number % 31, c=number % 97
    ) + "\n"  # fmt: skip


def _words(luck: random.Random) -> str:
    return (
        "step "
        + " ".join(f"{luck.getrandbits(48):x}" for _ in range(6))
        + " wrote model/"
        + PACKAGES[luck.randrange(10)]
        + "\n"
    )


def _scary(luck: random.Random) -> str:
    if luck.randrange(3) == 0:
        return f"2024-05-05 12:00:{luck.randrange(60):02} ERROR request {luck.getrandbits(40):x} failed: not found, retrying\n"
    return _build(luck)


def _training(luck: random.Random) -> str:
    return f"[rank{luck.randrange(8)}]: " + _build(luck)


def _progress(luck: random.Random) -> str:
    bar = "\r".join(f" {i}%|{'#' * (i // 4)}| {luck.randrange(10**6)}/1000000" for i in range(0, 100, 3))
    return bar + "\n"


def _line(luck: random.Random) -> str:
    return _build(luck).replace("\n", " ")


KINDS: dict[str, Callable[[random.Random], str]] = {
    "build": _build,
    "words": _words,
    "scary": _scary,
    "training": _training,
    "progress": _progress,
    "line": _line,
}

if __name__ == "__main__":
    main()
