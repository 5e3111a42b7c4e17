"""Which process is which: pid, start time and boot, since pids are used again."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from seatrial.files import write_atomic


class Identity(NamedTuple):
    """A process, unmistakably: pid, start time in clock ticks since boot, and the boot's id."""

    pid: int
    start: int
    boot: str


@functools.cache
def boot_id() -> str:
    """The id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()


def of(pid: int) -> Identity | None:
    """The identity of a living process, or None. A zombie counts as dead."""
    fields = _stat(pid)
    if fields is None or fields[0] in ("Z", "X"):
        return None
    return Identity(pid, int(fields[19]), boot_id())


def write(path: Path) -> None:
    """Say who this process is, in a file that appears whole."""
    write_atomic(path, msgspec.json.encode(of(os.getpid())), mode=0o600)


def read(path: Path) -> Identity | None:
    """The identity in a file, or None when there is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Identity)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def pidfd(who: Identity) -> int | None:
    """A descriptor of exactly that process, or None when it is gone."""
    try:
        descriptor = os.pidfd_open(who.pid)
    except (ProcessLookupError, OSError):
        return None
    # Compare after opening: from here on the descriptor cannot come to mean another process.
    if of(who.pid) != who:
        os.close(descriptor)
        return None
    return descriptor


def descendants(pid: int) -> list[int]:
    """All living processes below `pid`, nearest first."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - plain names
        if name.isdigit() and (fields := _stat(int(name))):
            children.setdefault(int(fields[1]), []).append(int(name))
    found, queue = [], [pid]
    while queue:
        below = children.get(queue.pop(0), [])
        found += below
        queue += below
    return found


def carrying(token: str) -> list[int]:
    """All living processes that were started with `SEATRIAL_TOKEN=token` in their environment."""
    mark = f"SEATRIAL_TOKEN={token}".encode()
    found = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - plain names
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            environment = Path(f"/proc/{name}/environ").read_bytes()
        except OSError:
            continue
        if mark in environment.split(b"\0"):
            found.append(int(name))
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name: state, parent, … (start time is number 19)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
