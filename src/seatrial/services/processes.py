"""What the long-lived processes of a service have in common: what they see, and how they are found and ended."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from seatrial.engine import identity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_KEPT = (
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LC_ALL",
    "TZ",
    "TMPDIR",
    "PYTHONPATH",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "SEATRIAL_HOME",
    "SEATRIAL_CACHE",
    "SEATRIAL_ENVOY",
    "XDG_STATE_HOME",
    "XDG_CACHE_HOME",
    "XDG_RUNTIME_DIR",
)
_SWEEP = 5.0


def environment(mark: str = "") -> dict[str, str]:
    """What a process sees that outlives the command which happened to start it: nothing that is only that command's.

    `mark` is what it and all that it starts are found by.
    """
    found = {name: os.environ[name] for name in _KEPT if name in os.environ}
    found.setdefault("PATH", os.defpath)
    return {**found, "SEATRIAL_TOKEN": mark} if mark else found


def token(place: Path, what: str) -> str:
    """The mark of one process of the service in a folder."""
    return f"service-{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}-{what}"


def sweep(pids: Iterable[int], mark: str) -> None:
    """End process groups, and everything that was started with the mark and left its group."""
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    deadline = time.monotonic() + _SWEEP
    while (left := identity.carrying(mark)) and time.monotonic() < deadline:
        for one in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(one, signal.SIGKILL)
        time.sleep(0.002)
