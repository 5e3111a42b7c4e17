"""Answer problems: which versions would be chosen, why none can be, or why that cannot be told."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from seatrial.images.solving.model import Conflict, Solution
from seatrial.images.solving.prepare import prepare
from seatrial.images.solving.settle import Means, Settled, settle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.images.solving.model import Ask, Setting

BUDGET = 60.0


def solve(
    asks: Sequence[Ask],
    setting: Setting,
    *,
    budget: float = BUDGET,
    refresh: bool = False,
    offline: bool = False,
    env: Mapping[str, str] | None = None,
) -> Solution:
    """Choose versions for everything asked, as one install into one environment.

    Nothing of the repository and no source distribution is run. `budget` is in seconds; when it is spent, the answer is
    unknown. `refresh` forgets what was answered before; `offline` answers from memory alone.

    Raises:
        MissingToolError: uv is not installed.
        UsageError: the platform or C library of `setting` is not one that wheels are made for.
    """
    environment = dict(os.environ if env is None else env)
    means = Means(environment, time.monotonic() + budget, refresh, offline)
    prepared = prepare(asks, setting, means)
    places = prepared.question.places
    notes = tuple(dict.fromkeys((*places.notes, *prepared.notes)))
    if places.missing:
        return Solution(
            status="unknown",
            reason=f"the index {places.missing} cannot be asked from here",
            remedy="run this where the index can be reached",
            notes=notes,
        )
    settled = settle(prepared.question, means)
    return _solution(settled, notes)


def _solution(settled: Settled, notes: tuple[str, ...]) -> Solution:
    answer, question = settled.answer, settled.question
    notes = tuple(dict.fromkeys((*notes, *question.places.notes)))
    if answer.kind == "satisfied":
        installed = question.setting.installed
        return Solution(
            status="satisfied",
            versions=answer.versions,
            replaced={
                name: (installed[name], version)
                for name, version in answer.versions.items()
                if name in installed and installed[name] != version
            },
            notes=notes,
        )
    if answer.kind in ("unsatisfiable", "no-wheel"):
        return Solution(
            status="unsatisfiable",
            conflict=Conflict(kind="conflict", message=answer.text, asks=(), detail=answer.text),
            notes=notes,
        )
    return Solution(status="unknown", reason=answer.text or "time ran out", notes=notes)
