"""Measuring further metrics of both versions beside the shift, which never waits for them."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from seatrial.deployments.observing import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from seatrial.clock import Clock
    from seatrial.config.deploying import Metric
    from seatrial.deployments.observing.metrics import Reading

Values = dict[str, dict[str, float]]
"""By revision and metric."""
_LOOK = 0.1


class Measuring:
    """Measures again and again, in a thread, for the length of a block.

    `ports` are asked for the instances' revisions by port whenever something is measured. What cannot be measured is
    said once, by `say`, until it can be measured again.
    """

    def __init__(
        self,
        wanted: Mapping[str, Metric],
        revisions: Sequence[str],
        ports: Callable[[], Mapping[int, str]],
        clock: Clock,
        say: Callable[[str], None],
        cwd: str,
    ) -> None:
        self._wanted, self._revisions, self._ports = wanted, revisions, ports
        self._clock, self._say, self._cwd = clock, say, Path(cwd)
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._fresh: Values = {}
        self._known: dict[tuple[str, str], Reading] = {}
        self._missing: dict[tuple[str, str], str] = {}
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        if self._wanted:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # What hangs ends with this process; nobody waits for it.

    def take(self) -> Values:
        """What was measured since this was asked last."""
        with self._lock:
            found, self._fresh = self._fresh, {}
        return found

    def _work(self) -> None:
        due = dict.fromkeys(self._wanted, self._clock.now())
        while not self._stop.is_set():
            now = self._clock.now()
            for name, metric in self._wanted.items():
                if due[name] <= now and not self._stop.is_set():
                    due[name] = max(due[name] + metric.every, now)
                    for revision in self._revisions:
                        self._measure(name, metric, revision)
            self._stop.wait(_LOOK)

    def _measure(self, name: str, metric: Metric, revision: str) -> None:
        ports = [port for port, one in self._ports().items() if one == revision]
        key = name, revision
        found = metrics.measure(
            metric, revision, ports, before=self._known.get(key), cwd=self._cwd, clock=self._clock
        )
        self._known[key] = found
        if found.value is not None:
            self._missing.pop(key, None)
            with self._lock:
                self._fresh.setdefault(revision, {})[name] = found.value
        elif found.why and self._missing.get(key) != found.why:
            self._missing[key] = found.why
            self._say(f"{name} of {revision} cannot be measured: {found.why}")
