"""Events of a deployment as people read them: one line each, with a sign, and without what only repeats."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.deployments.analysis.explain import explain
from seatrial.deployments.analysis.model import Judgement

if TYPE_CHECKING:
    from seatrial.services.records import Event

_DECISIONS = {"promote": "✓", "hold": "…", "roll back": "✗"}
_KINDS = {"alarm": "✗", "health": "✗", "rollback": "↶", "held": "‖", "request": "▸", "shift": "→"}
_LONGEST = 160


def line(event: Event) -> str:
    """The event with its sign and service; '' for one that says nothing new."""
    words = headline(event)
    if not words:
        return ""
    about = f"{event.service}: " if event.service and not words.startswith(event.service) else ""
    return f"{sign(event)} {about}{words}"


def sign(event: Event) -> str:
    """One character that says what it is."""
    if event.kind == "verdict":
        return _DECISIONS.get(str(event.data.get("decision")), "·")
    if event.kind == "ended":
        return "✓" if event.data.get("status") == "Succeeded" else "✗"
    return _KINDS.get(event.kind, " ")


def headline(event: Event) -> str:
    """What happened, in so many words. Of a verdict it is what came out, with the first reason when that was not good;
    '' of a verdict from which nothing follows, as while the new version has all the traffic.
    """
    if event.kind != "verdict":
        return _clipped(event.text)
    if not event.data.get("decision"):
        return ""
    found = judgement(event)
    if found is None:
        return _clipped(event.text)
    first = explain(found)[0]
    reasons = [one.why for one in found.comparisons if one.state != "pass"]
    return first if found.decision == "promote" or not reasons else f"{first}: {_clipped(reasons[0])}"


def judgement(event: Event) -> Judgement | None:
    """The numbers behind a verdict."""
    found = event.data.get("judgement")
    return msgspec.convert(found, Judgement) if found else None


def _clipped(words: str) -> str:
    first = " ".join(words.split())
    return first if len(first) <= _LONGEST else f"{first[: _LONGEST - 1]}…"
