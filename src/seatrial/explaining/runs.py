"""The explanation of a failed run, unasked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from seatrial.diagnosis.model import Explanation
    from seatrial.engine.journal import Journal


def of_failed(journal: Journal, run_id: str) -> Explanation | None:
    """Why a run failed; None when it did not, or when nothing is known with at least medium confidence."""
    from seatrial.diagnosis.explain import explain
    from seatrial.explaining import logs

    run = journal.run(run_id)
    if run["status"] != "failed":
        return None
    try:
        # That an alarm was on, or too few hosts were left, says the deployment itself.
        log = logs.of_group(journal.home, run) if logs.is_of_group(run) else logs.of_run(journal, run_id)
        if log is None:
            return None
        found = explain(log.chunks, context=log.context)
    except (SeatrialError, OSError):
        # This is said beside the failure itself, which must be shown whatever becomes of its explanation.
        return None
    return found if found.causes and found.causes[0].confidence != "low" else None
