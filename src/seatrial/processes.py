"""The one place that starts short-lived helper programs. There is never a shell.

Steps of a run are started by `engine.execute` instead: those must outlive their supervisor.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.errors import MissingToolError, SeatrialError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Completed(NamedTuple):
    """What a program left behind: exit code (negative: the signal that ended it) and its output."""

    code: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = 600,
) -> Completed:
    """Run a program to its end and return what it printed; a non-zero exit is not an error here.

    `timeout` is in seconds. Undecodable bytes are replaced.

    Raises:
        MissingToolError: the program is not on PATH.
        SeatrialError: it ran longer than `timeout`; it was killed.
    """
    try:
        done = subprocess.run(
            list(argv),
            cwd=cwd,
            env=None if env is None else dict(env),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise missing(argv[0]) from error
    except subprocess.TimeoutExpired as error:
        raise SeatrialError(f"{argv[0]} did not finish in {timeout:g} s") from error
    return Completed(done.returncode, done.stdout, done.stderr)


def find(program: str) -> str:
    """The absolute path of a program, also in the sbin folders that an ordinary user's PATH leaves out.

    Raises:
        MissingToolError: it is nowhere.
    """
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin:/usr/local/sbin")
    if path is None:
        raise missing(program)
    return path


def missing(program: str) -> MissingToolError:
    return MissingToolError(
        f"{program} is not installed",
        why="it is not on PATH",
        fix=f"run `seatrial doctor` to see what {program} is for and how to install it",
    )


def resident(pid: int) -> int:
    """Bytes of memory that a process has mapped and that are there."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return 0


def proportional(pid: int) -> int:
    """As `resident`, with shared pages divided among those who share them. Source: proc(5), smaps_rollup."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return resident(pid)
    return sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
