"""What the agent keeps on a host, laid out as AWS's agent does.

ROOT/GROUP/DEPLOYMENT/deployment-archive/     the revision
ROOT/GROUP/DEPLOYMENT/logs/scripts.log        what its scripts said
ROOT/deployment-instructions/GROUP-cleanup    what the next installation removes first
ROOT/deployment-instructions/GROUP-install.json
ROOT/deployment-instructions/GROUP_last_successful_install, GROUP_most_recent_install
ROOT/ongoing-deployment/DEPLOYMENT            the event that is going on
ROOT/deployment-logs/codedeploy-agent-deployments.log
"""

from __future__ import annotations

import os
import secrets
import time
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.files import remove_tree, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.deployments.agent.order import Order

_ROTATE, _LOGS = 64 << 20, 8
_LONGEST = 2048


class Places:
    """Where things of one deployment lie."""

    def __init__(self, order: Order) -> None:
        self.root = Path(order.root)
        self.group = self.root / order.group
        self.here = self.group / order.deployment
        self.archive = self.here / "deployment-archive"
        self.bundle = self.here / "bundle.tar"
        self.scripts_log = self.here / "logs" / "scripts.log"
        self.instructions = self.root / "deployment-instructions"
        self.cleanup = self.instructions / f"{order.group}-cleanup"
        self.install = self.instructions / f"{order.group}-install.json"
        self.last = self.instructions / f"{order.group}_last_successful_install"
        self.recent = self.instructions / f"{order.group}_most_recent_install"
        self.ongoing = self.root / "ongoing-deployment" / order.deployment
        self.lock = self.root / "ongoing-deployment" / f".{order.group}.lock"
        self.event_lock = self.root / "ongoing-deployment" / f".{order.group}.event.lock"
        self.log = self.root / "deployment-logs" / "codedeploy-agent-deployments.log"

    def make(self) -> None:
        """Make the folders of the deployment."""
        for folder in (self.here, self.instructions, self.ongoing.parent, self.log.parent):
            folder.mkdir(parents=True, exist_ok=True)


def pointed(pointer: Path) -> Path | None:
    """The deployment's folder that a pointer names."""
    with suppress(FileNotFoundError):
        if text := pointer.read_text(encoding="utf-8").rstrip("\n"):
            return Path(text)
    return None


def point(pointer: Path, place: Path) -> None:
    """Let a pointer name a deployment's folder, from one moment to the next."""
    write_atomic(pointer, str(place))


def retire(places: Places, keep: int) -> list[str]:
    """Remove the oldest deployments of the group, so that with this one `keep` stay; never the last successful one."""
    others = [entry for entry in places.group.iterdir() if entry != places.here]
    extra = len(others) - keep + 1
    if extra <= 0:
        return []
    last = pointed(places.last)
    # The folder may be named in another way than when the pointer was written.
    others = [entry for entry in others if last is None or not _same(entry, last)]
    oldest = sorted(others, key=lambda entry: entry.lstat().st_mtime_ns)[:extra]
    for entry in oldest:
        remove_tree(entry)
    return [entry.name for entry in oldest]


def _same(one: Path, other: Path) -> bool:
    return one == other or os.path.realpath(one) == os.path.realpath(other)


def unfinished(places: Places, group: str) -> Iterator[tuple[str, str]]:
    """Deployments of the group whose agent vanished within an event: their ids and that event's mark."""
    for entry in sorted(places.ongoing.parent.iterdir()):
        if entry.name.startswith("."):
            continue
        with suppress(OSError, ValueError):
            whose, _, mark = entry.read_text(encoding="utf-8").splitlines()
            if whose == group:
                yield entry.name, mark


def begin(places: Places, group: str, event: str) -> str:
    """Say which event is going on; returns the mark that its processes carry, to be found by after a crash.

    The deployment's id would not do: several hosts of one machine may take part in one deployment.
    """
    mark = secrets.token_hex(16)
    write_atomic(places.ongoing, f"{group}\n{event}\n{mark}\n")
    return mark


def end(places: Places) -> None:
    """No event is going on."""
    with suppress(OSError):
        places.ongoing.unlink(missing_ok=True)


class ScriptLog:
    """The log of an event's scripts: in the deployment's file, in the host's, and for diagnostics in memory.

    A full disk loses lines of the files, and stops nobody.
    """

    def __init__(self, places: Places, deployment: str) -> None:
        self._places, self._deployment = places, deployment
        # More than this never shows in diagnostics, whose 2048 characters are whole entries.
        self.entries: deque[str] = deque(maxlen=_LONGEST)
        with suppress(OSError):
            places.scripts_log.parent.mkdir(parents=True, exist_ok=True)

    def add(self, entry: str) -> None:
        self.entries.append(entry[:_LONGEST])
        now = time.time()
        stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
        with suppress(OSError):
            _append(self._places.scripts_log, f"{stamp} {entry}")
        with suppress(OSError):
            _rotate(self._places.log)
            _append(
                self._places.log,
                f"[{stamp}.{int(now * 1000) % 1000:03d}] [{self._deployment}]{entry.strip()}\n",
            )


def _append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8", errors="replace") as stream:
        stream.write(text)


def _rotate(path: Path) -> None:
    if not path.exists() or path.stat().st_size < _ROTATE:
        return
    for number in range(_LOGS - 2, -1, -1):
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}.{number}").replace(path.with_name(f"{path.name}.{number + 1}"))
    path.replace(path.with_name(f"{path.name}.0"))
