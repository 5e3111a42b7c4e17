"""image/yanked: a release is pinned that its authors withdrew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.findings import Rule
from seatrial.images import edit, facts
from seatrial.images.rules.verdict import Verdict, verdict
from seatrial.images.timeline.versions import nearest, possible

if TYPE_CHECKING:
    from seatrial.findings import Fix
    from seatrial.images.story.model import Request
    from seatrial.images.timeline.model import Timeline

RULE = Rule(
    id="image/yanked",
    severity="warning",
    title="A pinned release was withdrawn by its authors",
    explanation=(
        "A yanked release is installed only where it is pinned, with a warning that nobody sees in a build log. Its authors "
        "withdrew it because it is broken or dangerous; the message has their reason. The alternatives are the nearest "
        "releases that were not withdrawn."
    ),
    source="https://packaging.python.org/en/latest/specifications/file-yanking/",
    example="transformers==4.33.0\n",
)

RULES = (RULE,)


def check(timeline: Timeline) -> list[Verdict]:
    """One verdict for each pin of a yanked release, among the packages there are tables for."""
    return [
        found
        for moment in timeline.moments
        for one in moment.install.requests
        if (found := _judge(one, timeline.python.version)) is not None
    ]


def _judge(one: Request, python: str) -> Verdict | None:
    if one.version is None or one.url:
        return None
    release = facts.release(one.name, one.version.text)
    if release is None or release.yanked is None:
        return None
    reason = f": {release.yanked.rstrip('.')}" if release.yanked else ""
    return verdict(
        RULE,
        "warning",
        one.at,
        f"{one.name} {release.version} was withdrawn by its authors{reason}",
        about=[one.name],
        fixes=_nearest(one, release.version, python),
    )


def _nearest(one: Request, version: str, python: str) -> list[Fix | None]:
    """The next release after it, and the last one before it."""
    known = possible(one.name, "", python)
    near = nearest(known, version)
    return [edit.fix(f"Pin {one.name} to {other}", [edit.pin(one, other)]) for other in near]
