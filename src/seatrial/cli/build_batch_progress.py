"""What a person sees while a batch goes on: one line for each build, on a terminal all of them at once."""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from seatrial.cli.common import is_live

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from seatrial.engine.journal import Journal

_EVERY = 0.2
_SIGNS = {"SUCCEEDED": "✓", "FAILED": "✗", "TIMED_OUT": "✗", "FAULT": "✗", "STOPPED": "■", "NOT_STARTED": "-"}


class Line(NamedTuple):
    """Where a build is: its status, the phase it is in, and since when in seconds since the epoch."""

    identifier: str
    status: str
    phase: str = ""
    started: float | None = None
    ended: float | None = None

    def text(self, width: int, now: float) -> str:
        took = f"{(self.ended or now) - self.started:.1f} s" if self.started else ""
        what = self.phase if self.status == "IN_PROGRESS" else self.status
        return f"{_SIGNS.get(self.status, '…')} {self.identifier:{width}} {took:>9}  {what}".rstrip()


@contextmanager
def showing(home: Path, run_id: str, identifiers: Sequence[str], *, quiet: bool) -> Iterator[None]:
    """Show on stderr how the builds of a batch go, for the length of a block."""
    if quiet:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_show, args=(home, run_id, identifiers, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=10)


def _show(home: Path, run_id: str, identifiers: Sequence[str], over: threading.Event) -> None:
    from seatrial.engine.journal import Journal

    # A connection belongs to the thread that opened it.
    journal = Journal(home)
    live = is_live(sys.stderr)
    screen = _Screen(max(map(len, identifiers)), live=live)
    try:
        while not over.wait(_EVERY):
            screen.draw(lines(journal, run_id, identifiers))
        screen.draw(lines(journal, run_id, identifiers), last=True)
    finally:
        journal.close()


def lines(journal: Journal, run_id: str, identifiers: Sequence[str]) -> list[Line]:
    """Where each build is now."""
    from seatrial.builds.batch_plan import step_name

    steps = {row["name"]: row for row in journal.rows("SELECT * FROM steps WHERE run=?", run_id)}
    runs = {
        row["key"].partition("/")[2]: row
        for row in journal.rows(
            "SELECT id, key, started FROM runs WHERE kind='build' AND substr(key, 1, ?)=? ORDER BY created",
            len(run_id) + 1,
            f"{run_id}/",
        )
    }
    found = []
    for identifier in identifiers:
        step, run = steps[step_name(identifier)], runs.get(identifier)
        if step["status"] == "pass":
            outputs = json.loads(step["outputs"])
            started = step["started"] if outputs["run"] and not outputs["earlier"] else None
            found.append(Line(identifier, outputs["status"], "", started, step["ended"]))
        elif step["status"] == "running":
            found.append(
                Line(identifier, "IN_PROGRESS", _phase(journal, run["id"]) if run else "", step["started"])
            )
        elif step["status"] == "stopped" and step["started"]:
            found.append(Line(identifier, "STOPPED", "", step["started"], step["ended"]))
        else:
            found.append(Line(identifier, "WAITING" if step["status"] == "pending" else "NOT_STARTED"))
    return found


def _phase(journal: Journal, run_id: str) -> str:
    rows = journal.rows("SELECT name FROM stages WHERE run=? AND status='running'", run_id)
    return rows[-1]["name"] if rows else ""


class _Screen:
    """A block of lines that is written over, or new lines where nothing can be."""

    def __init__(self, width: int, *, live: bool) -> None:
        self.width, self.live = width, live
        self.drawn = 0
        self.seen: dict[str, str] = {}

    def draw(self, found: list[Line], *, last: bool = False) -> None:
        now = time.time()
        if self.live:
            self._block(found, now, last=last)
            return
        for line in found:
            # In a log a line for the start and one for the end are enough.
            if line.status != self.seen.get(line.identifier, "WAITING"):
                self.seen[line.identifier] = line.status
                text = line.text(self.width, now)
                sys.stderr.write((text if line.status != "IN_PROGRESS" else f"… {line.identifier}") + "\n")
        sys.stderr.flush()

    def _block(self, found: list[Line], now: float, *, last: bool) -> None:
        columns, rows = shutil.get_terminal_size()
        shown = found if last else self._chosen(found, max(3, rows - 2))
        up = f"\x1b[{self.drawn}A" if self.drawn else ""
        body = "".join(f"\r\x1b[K{line.text(self.width, now)[: columns - 1]}\n" for line in shown)
        sys.stderr.write(f"{up}{body}\x1b[J")
        sys.stderr.flush()
        self.drawn = len(shown)

    @staticmethod
    def _chosen(found: list[Line], most: int) -> list[Line]:
        """What fits: what runs and what failed before the rest, in the order of the batch."""
        if len(found) <= most:
            return found
        rank = {"IN_PROGRESS": 0, "FAILED": 1, "TIMED_OUT": 1, "FAULT": 1, "STOPPED": 2, "WAITING": 3}
        best = sorted(range(len(found)), key=lambda n: (rank.get(found[n].status, 4), n))[:most]
        return [found[number] for number in sorted(best)]
