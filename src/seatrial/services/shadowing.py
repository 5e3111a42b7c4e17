"""Copies of real requests for the new version, before it has traffic: its answers are compared with the old one's."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from seatrial.deployments.observing import shadow
from seatrial.deployments.observing.recording import Recorder
from seatrial.services import listening, pending, records, target
from seatrial.services.model import folder
from seatrial.services.records import Event

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.deployments.analysis.model import Decision
    from seatrial.deployments.observing.shadow import Verdict
    from seatrial.engine.call import Context
    from seatrial.services.records import Part

_ORDER: tuple[Decision, ...] = ("roll back", "hold", "promote")


def compare(context: Context, identifier: str) -> dict[str, object]:
    """Copy requests for as long as the services say, and until enough answers were compared.

    Raises:
        SeatrialError: too many answers differ, or the deployment is to be rolled back for another reason.
    """
    home = context.journal.home
    deployment = records.load(home, identifier)
    parts = [part for part in deployment.parts if part.compared and part.deploy.shadow is not None]
    with ExitStack() as stack:
        recorders = [stack.enter_context(_recorder(home, identifier, part)) for part in parts]

        def found() -> list[Verdict]:
            return [
                shadow.verdict(part.deploy.shadow, recorder.comparison())
                for part, recorder in zip(parts, recorders, strict=True)
                if part.deploy.shadow is not None
            ]

        def verdict() -> tuple[Decision, str]:
            known = found()
            decision = next(one for one in _ORDER if any(each.decision == one for each in known))
            return decision, "; ".join(each.why for each in known if each.decision == decision)

        try:
            for part in parts:
                _copy(home, part, on=True)
            seconds = max(part.deploy.shadow.seconds for part in parts if part.deploy.shadow is not None)
            pending.wait(context, identifier, seconds, verdict)
        finally:
            for part, recorder, one in zip(parts, recorders, found(), strict=True):
                _copy(home, part, on=False)
                data = {"decision": one.decision, "comparison": msgspec.to_builtins(recorder.comparison())}
                event = Event(
                    at=context.clock.now(), kind="shadow", text=one.why, service=part.service, data=data
                )
                pending.tell(context, identifier, event)
    return {
        "services": {
            part.service: msgspec.to_builtins(recorder.comparison())
            for part, recorder in zip(parts, recorders, strict=True)
        },
        "summary": verdict()[1],
    }


def _recorder(home: Path, identifier: str, part: Part) -> Recorder:
    assert part.deploy.shadow is not None  # noqa: S101 - chosen by that
    saved = records.place(home, identifier) / f"shadow-{part.service}.json"
    return Recorder(listening.place(folder(home, part.service)), part.deploy.shadow, saved)


def _copy(home: Path, part: Part, *, on: bool) -> None:
    settings = part.deploy.shadow
    if settings is not None and on:
        target.mirror(home, part.service, part.after, settings.share, settings.methods)
    elif target.look(home, part.service)[0].shadow:
        target.mirror(home, part.service, "", 0)
