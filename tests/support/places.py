"""A state and a cache of a test's own, commands run in them, and the processes that came from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.engine import identity
from seatrial.engine.journal import Journal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

TESTS = Path(__file__).parents[1]


class Place:
    """`home` is the state, `env` what makes commands use it."""

    def __init__(self, folder: Path, *, cache: Path | None = None) -> None:
        self.folder = folder
        self.traces = folder / "traces"
        self.traces.mkdir(parents=True)
        self.home = folder / "home"
        self.home.mkdir()
        self.cache = cache or folder / "cache"
        self.mark = f"SEATRIAL_HOME={self.home}".encode()
        self.env = os.environ | {
            "SEATRIAL_HOME": str(self.home),
            "SEATRIAL_CACHE": str(self.cache),
            "PYTHONPATH": str(TESTS),
        }

    def start(self, module: str, arguments: Sequence[str], **env: str) -> subprocess.Popen[bytes]:
        """Start a module of Python as a command in a session of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env=self.env | env,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let this process use state and cache of this place, too."""
        for name in ("SEATRIAL_HOME", "SEATRIAL_CACHE"):
            monkeypatch.setenv(name, self.env[name])

    def journal(self) -> Journal:
        return Journal(self.home)

    def living(self) -> list[int]:
        """Processes that were started from this place and live, however they hid."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with suppress(OSError):
                    variables = (entry / "environ").read_bytes().split(b"\0")
                    if self.mark in variables and identity.of(int(entry.name)):
                        found.append(int(entry.name))
        return found

    def kill_all(self) -> None:
        """SIGKILL for everything, again and again until nothing is left."""
        while living := self.living():
            for pid in living:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def trees(self) -> list[Path]:
        """Temporary trees that are still there: of runs, and of work in the cache."""
        left = [
            *self.home.glob("runs/*/work/*"),
            *self.cache.glob("scratch/*"),
            *self.cache.glob("uses/*.lock"),
        ]
        return [path for path in left if path.name != ".prune"]
