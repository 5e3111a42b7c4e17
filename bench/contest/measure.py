"""Running a command and seeing what it costs: time, processor time, memory of the whole process tree."""

from __future__ import annotations

import resource
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EVERY = 0.2  # seconds


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of wall clock and of processor time, and the peak of what the processes kept in memory, in MB.

    Memory is the sum of the proportional set sizes of the tree, looked at five times a second.
    """

    seconds: float
    cpu: float
    peak_mb: float


def measured(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> tuple[Cost, str]:
    """Run `argv` to its end; returns what it cost and its stdout.

    Raises:
        RuntimeError: it failed; the message ends with what it printed.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    with subprocess.Popen(
        argv, env=env, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        watch = _Watch(process.pid)
        watch.start()
        out, err = process.communicate()
        seconds = time.perf_counter() - started
        watch.end()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(argv[:4])} … failed:\n{out[-2000:]}\n{err[-4000:]}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(seconds=round(seconds, 3), cpu=round(cpu, 2), peak_mb=round(watch.peak / 1e6, 1)), out


class _Watch(threading.Thread):
    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak = pid, 0
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(_EVERY):
            self.peak = max(self.peak, sum(_memory(pid) for pid in _tree(self.pid)))

    def end(self) -> None:
        self._ended.set()
        self.join()


def _tree(root: int) -> list[int]:
    """`root` and everything below it."""
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            with suppress(OSError):
                waiting += [int(child) for child in children.read_text().split()]
    return found


def _memory(pid: int) -> int:
    """Bytes that the process has for itself, and its share of what it shares."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("Pss:"))


def received(pid: int) -> int:
    """Bytes that a process has read since it started, from sockets above all."""
    text = Path(f"/proc/{pid}/io").read_text()
    return int(text.split("rchar:")[1].split()[0])
