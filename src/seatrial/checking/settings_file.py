"""seatrial.yaml, checked by what reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.checking.subject import Subject
    from seatrial.findings import Finding


def check(subjects: Sequence[Subject]) -> list[Finding]:
    """Findings about each seatrial.yaml; one with unresolved conflicts has been spoken of already."""
    from seatrial.checking.syntax import in_conflict

    files = [subject for subject in subjects if subject.recognised.kind == "seatrial"]
    if not files:
        return []
    from seatrial.config import check_text

    return [
        one
        for subject in files
        if not in_conflict(subject.source)
        for one in check_text(subject.source.path, subject.source.text, subject.folder)
    ]
