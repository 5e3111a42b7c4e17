"""Logs of runs: plain files, one for each attempt, read as they are."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from seatrial.engine.journal import Journal

_CHUNK = 1 << 20
_LATENCY = 0.02
"""Seconds between looks at a log that does not grow; the budget for following is 50 ms."""


class Source(NamedTuple):
    """The log of one attempt."""

    step: str
    attempt: int
    path: Path


def sources(journal: Journal, run_id: str, step: str = "") -> list[Source]:
    """The logs of a run, in the order in which the attempts started; of one step when it is named."""
    rows = journal.rows(
        "SELECT step, n FROM attempts WHERE run=? AND (?='' OR step=?) ORDER BY started, step, n",
        run_id,
        step,
        step,
    )
    return [
        Source(row["step"], row["n"], journal.attempt_folder(run_id, row["step"], row["n"]) / "log")
        for row in rows
    ]


def read(path: Path) -> Iterator[bytes]:
    """The content of a log so far, in chunks; nothing when there is none yet."""
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                yield chunk
    except FileNotFoundError:
        return


def follow(journal: Journal, run_id: str, step: str, show: Callable[[Source, bytes], None]) -> None:
    """Show the logs of a run as they grow, until the run has ended and everything was shown."""
    offsets: dict[Path, int] = {}
    known: list[Source] = []
    changes = -1
    while True:
        # Whether it has ended is asked before reading: what was written before that is then read for sure.
        ended = journal.run(run_id)["ended"] is not None
        if (now := journal.changes()) != changes or ended:
            changes, known = now, sources(journal, run_id, step)
        grown = False
        for source in known:
            grown = _show_new(source, offsets, show) or grown
        if ended and not grown:
            return
        if not grown:
            time.sleep(_LATENCY)


def _show_new(source: Source, offsets: dict[Path, int], show: Callable[[Source, bytes], None]) -> bool:
    try:
        descriptor = os.open(source.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        position = offsets.get(source.path, 0)
        chunk = os.pread(descriptor, _CHUNK, position)
        if chunk:
            offsets[source.path] = position + len(chunk)
            show(source, chunk)
        return bool(chunk)
    finally:
        os.close(descriptor)
