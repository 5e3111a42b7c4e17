"""Buildspecs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.checking.syntax import in_conflict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.checking.subject import Subject
    from seatrial.findings import Finding
    from seatrial.sources.text import Source


def check(subjects: Sequence[Subject]) -> list[Finding]:
    """Findings about buildspecs: what CodeBuild refuses, ignores, or does otherwise than meant."""
    specs = [one.source for one in subjects if one.recognised.kind == "buildspec"]
    if not specs:
        return []
    from seatrial.builds.rules import check as look_at

    return [
        found for source in specs if not in_conflict(source) for found in _mistaken(source) or look_at(source)
    ]


def _mistaken(source: Source) -> list[Finding]:
    """The one finding about an application specification in a buildspec's place."""
    from seatrial.checking.appspecs import in_buildspec_place

    return in_buildspec_place(source)
