"""Running a builder's program: each line is handed on as it comes, and the program never outlives this one."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from seatrial.processes import missing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_PATIENCE = 10.0


def stream(
    argv: Sequence[str], watch: Callable[[str], None], *, environment: Mapping[str, str] | None = None
) -> int:
    """Run a program to its end, its output line by line to `watch`, and return its exit code.

    It is interrupted, then ended, when this process leaves the block by an exception.

    Raises:
        MissingToolError: the program is not there.
    """
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise missing(argv[0]) from error
    assert process.stdout is not None  # noqa: S101 - it was asked for
    try:
        for line in process.stdout:
            watch(line.rstrip("\n").rsplit("\r", 1)[-1])
        return process.wait()
    finally:
        if process.poll() is None:
            _end(process)
        process.stdout.close()


def _end(process: subprocess.Popen[str]) -> None:
    """INT first: builders remove their containers then. What is left of the session is killed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(_PATIENCE)
            return
