"""Limits for all processes of a program together: a control group of its own, where this process may make one.

Both versions are used. Version 2 gives a group to those who may write into one above their own (root, or a session
manager's delegation); in version 1 each controller has a tree of its own. A killed process's group is empty, and
the next program removes it. Source: Documentation/admin-guide/cgroup-v2.rst, section "Delegation Containment".
"""

from __future__ import annotations

import os
import secrets
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = "seatrial-"
_PERIOD = 100_000
_PATIENCE = 2.0


class Refused(Exception):  # noqa: N818 - never leaves this package: it becomes a remark
    """No group can be made; the text says why."""


@contextmanager
def limited(memory: int, cpus: float) -> Iterator[list[str]]:
    """Make a group for the length of a block and yield the `cgroup.procs` files that a process joins it by.

    `memory` is in bytes, `cpus` in processors; 0 is no limit.

    Raises:
        Refused: this process may not make one that limits what is asked for.
    """
    made: list[Path] = []
    try:
        for parent, settings in _places(memory, cpus):
            group = _made(parent)
            made.append(group)
            _set(group, settings)
        yield [str(group / "cgroup.procs") for group in made]
    finally:
        for group in made:
            _remove(group)


def problem(*, memory: bool, cpus: bool) -> str:
    """Why there can be no group with such limits here; empty when there can."""
    try:
        with limited(1 << 30 if memory else 0, 1.0 if cpus else 0.0):
            return ""
    except Refused as error:
        return str(error)


def version() -> str:
    """`2`, or `1` where the controllers of memory and processors have trees of their own; empty without."""
    try:
        own = _own()
    except Refused:
        return ""
    return "1" if "memory" in own else "2" if "" in own else ""


def _places(memory: int, cpus: float) -> list[tuple[Path, dict[str, str]]]:
    """The groups to make one below, with what to write into the new one."""
    wanted = {name for name, asked in (("memory", memory), ("cpu", cpus)) if asked}
    if not wanted:
        return []
    own = _own()
    if own.keys() >= wanted:
        return [(own[name], _settings_1(name, memory, cpus)) for name in sorted(wanted)]
    if "" not in own:
        raise Refused("there are no control groups for memory and processors")
    values = {"memory.max": str(memory), "memory.swap.max": "0"} if memory else {}
    values |= {"cpu.max": f"{max(1000, int(cpus * _PERIOD))} {_PERIOD}"} if cpus else {}
    return [(_delegated(own[""], wanted), values)]


def _settings_1(controller: str, memory: int, cpus: float) -> dict[str, str]:
    if controller == "memory":
        return {"memory.limit_in_bytes": str(memory), "memory.memsw.limit_in_bytes": str(memory)}
    return {"cpu.cfs_period_us": str(_PERIOD), "cpu.cfs_quota_us": str(max(1000, int(cpus * _PERIOD)))}


def _own() -> dict[str, Path]:
    """Where we are in the tree of each controller; "" is version 2."""
    roots: dict[str, Path] = {}
    try:
        for line in Path("/proc/self/mountinfo").read_text().splitlines():
            before, _, after = line.partition(" - ")
            kind, _, options = after.partition(" ")
            place = Path(before.split(" ")[4])
            if kind == "cgroup2":
                roots.setdefault("", place)
            elif kind == "cgroup":
                for name in options.rpartition(" ")[2].split(","):
                    roots.setdefault(name, place)
        found: dict[str, Path] = {}
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            for name in names.split(","):
                if name in roots:
                    inside = roots[name] / path.lstrip("/")
                    # In a container the path is as the host sees it, and only the container's own is mounted.
                    found[name] = inside if inside.is_dir() else roots[name]
    except OSError as error:
        raise Refused(f"{error.filename}: {error.strerror}") from error
    return found


def _delegated(own: Path, wanted: set[str]) -> Path:
    """The nearest group above (or this one) that gives the controllers to its children and lets us in."""
    why = f"the control group {own} is not ours to divide"
    for group in (own, *own.parents):
        try:
            given = set((group / "cgroup.subtree_control").read_text().split())
        except OSError:
            break
        if wanted <= given and os.access(group, os.W_OK) and os.access(group / "cgroup.procs", os.W_OK):
            return group
        if not wanted <= given:
            why = f"{group} does not give {' and '.join(sorted(wanted - given))} to groups below it"
    raise Refused(why)


def _made(parent: Path) -> Path:
    _sweep(parent)
    group = parent / f"{_NAME}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        group.mkdir()
    except OSError as error:
        raise Refused(f"{parent}: {error.strerror}") from error
    return group


def _set(group: Path, settings: dict[str, str]) -> None:
    for name, value in settings.items():
        file = group / name
        try:
            file.write_text(value)
        except OSError as error:
            # Where swap is not accounted there is no file, and no way around the limit to close.
            if not (".memsw." in name or ".swap." in name):
                raise Refused(f"{file}: {error.strerror}") from error


def _sweep(parent: Path) -> None:
    """Remove groups whose makers are gone; the kernel refuses while a process is in one."""
    for left in parent.glob(f"{_NAME}*-*"):
        maker = left.name.split("-")[1]
        if maker.isdigit() and not Path("/proc", maker).exists():
            _remove(left, patience=0)


def _remove(group: Path, patience: float = _PATIENCE) -> None:
    """With what a program made below; a process that was just killed may still be leaving."""
    end = time.monotonic() + patience
    while True:
        for inner in sorted(group.glob("**/"), reverse=True):
            with suppress(OSError):
                inner.rmdir()
        if not group.exists() or time.monotonic() >= end:
            return
        time.sleep(0.01)
