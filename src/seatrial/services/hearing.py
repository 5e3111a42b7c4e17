"""Hearing the alarms of a service while its traffic shifts, which never waits for those that have to be asked."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Self

from seatrial.services import alarms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.clock import Clock
    from seatrial.config.deploying import Alarm
    from seatrial.deployments.observing.model import Second

_EVERY = 1.0
"""Seconds between two questions to an alarm that is outside, at least."""
_LOOK = 0.1


class Hearing:
    """Hears alarms for the length of a block; those that are outside are asked in a thread."""

    def __init__(self, wanted: Mapping[str, Alarm], new: str, old: str, clock: Clock, cwd: str) -> None:
        self._inside = {name: alarm for name, alarm in wanted.items() if alarm.metric is not None}
        self._outside = {name: alarm for name, alarm in wanted.items() if alarm.metric is None}
        self._new, self._old, self._clock, self._cwd = new, old, clock, Path(cwd)
        self._heard = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Self:
        if self._outside:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        # What hangs ends with this process; nobody waits for it.

    def ringing(self, seconds: Sequence[Second]) -> str:
        """What the first alarm that is on says, or ''."""
        return self._heard or alarms.ringing(
            self._inside, seconds, new=self._new, old=self._old, cwd=self._cwd
        )

    def _ask(self) -> None:
        due = 0.0
        while not self._stop.is_set():
            if self._clock.now() >= due:
                due = self._clock.now() + _EVERY
                self._heard = alarms.ringing(self._outside, (), new=self._new, old=self._old, cwd=self._cwd)
            self._stop.wait(_LOOK)
