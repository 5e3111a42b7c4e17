"""The log of a build while it grows, on stdout."""

from __future__ import annotations

import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.engine.logs import Source


@contextmanager
def following(home: Path, run_id: str) -> Iterator[None]:
    """Print the logs of a run for the length of a block, to its end."""
    thread = threading.Thread(target=_follow, args=(home, run_id), daemon=True)
    sys.stdout.flush()
    thread.start()
    yield
    thread.join(timeout=10)


def _follow(home: Path, run_id: str) -> None:
    from seatrial.engine import logs
    from seatrial.engine.journal import Journal

    # A connection belongs to the thread that opened it.
    journal = Journal(home)
    try:
        logs.follow(journal, run_id, "", _show)
    except BrokenPipeError:  # whoever read it has gone; the build goes on
        return
    finally:
        journal.close()


def _show(_: Source, chunk: bytes) -> None:
    view = memoryview(chunk)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]
