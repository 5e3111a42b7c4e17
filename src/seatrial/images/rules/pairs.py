"""Packages that need another one in certain versions, where installers do not see it or must give up."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from seatrial.images import edit, facts
from seatrial.images.rules import contradictions
from seatrial.images.rules.fitting import above, changed, fitting, removed
from seatrial.images.rules.pairs_rules import BY_ID, RULES
from seatrial.images.rules.verdict import place, requests, shown, verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from seatrial.findings import Fix, Rule, Severity
    from seatrial.images.facts import Pair
    from seatrial.images.rules.verdict import Verdict
    from seatrial.images.timeline.model import Package, Timeline

__all__ = ["RULES", "check"]

_BAD = {"error": 0, "warning": 1, "note": 2}


def check(timeline: Timeline) -> list[Verdict]:
    """Pairs by the table of pairs, then by what metadata pins."""
    found = [one for scene in timeline.scenes() for one in _by_table(timeline, scene)]
    return found + contradictions.check(timeline)


@cache
def _table() -> dict[tuple[str, str], dict[str, tuple[Pair, ...]]]:
    """By rule and package: the rows for each other package."""
    rows: dict[tuple[str, str], dict[str, tuple[Pair, ...]]] = {}
    for one in facts.pairs():
        if one.rule in BY_ID:
            others = rows.setdefault((one.rule, one.package), {})
            others[one.other] = (*others.get(one.other, ()), one)
    return rows


def _by_table(timeline: Timeline, scene: Mapping[str, Package]) -> Iterable[Verdict]:
    for (rule, name), others in _table().items():
        subject = scene.get(name)
        if subject is None or not subject.versions:
            continue
        beside = [scene[one] for one in others if one in scene and scene[one].versions]
        # What the files ask for says more than what came along with it.
        for other in sorted(beside, key=lambda one: one.request is None or bool(one.via)):
            made = judged(timeline, scene, BY_ID[rule], subject, other, others[other.name])
            if made is not None:
                yield made
                break


def judged(
    timeline: Timeline,
    scene: Mapping[str, Package],
    rule: Rule,
    subject: Package,
    other: Package,
    rows: Sequence[Pair],
) -> Verdict | None:
    """What one rule says about two packages, by its rows of the table; None where they go together."""
    if (subject.base and other.base) or _without_triton(rule, scene, other) or _told(subject, other):
        return None
    if _elsewhere(timeline, subject) or _elsewhere(timeline, other):
        return None
    clashing = _clashing(rows, subject.likely, other.likely)
    if not clashing:
        return None
    row = min(clashing, key=lambda one: _BAD[_of(one)])
    severity = _of(row)
    if severity == "error" and not _certain(rows, subject, other):
        severity = "warning"
    return verdict(
        rule,
        severity,
        place(timeline, subject, other),
        _message(subject, other, row),
        about=(subject.name, other.name),
        cause=row.how,
        source=row.source,
        fixes=_fixes(timeline, scene, subject, other),
    )


def _of(row: Pair) -> Severity:
    return row.severity if row.verified else "note"


def _clashing(rows: Sequence[Pair], version: str, other: str) -> list[Pair]:
    return [one for one in rows if facts.fits(version, one.versions) and not facts.fits(other, one.needs)]


def _certain(rows: Sequence[Pair], subject: Package, other: Package) -> bool:
    """Whether every combination of versions fails. A torch of NVIDIA's own, before its release, may behave as released."""
    if not (subject.certain and other.certain) or "ngc" in (subject.variant, other.variant):
        return False
    sure = [one for one in rows if _of(one) == "error"]
    return all(_clashing(sure, one, theirs) for one in subject.versions for theirs in other.versions)


def _without_triton(rule: Rule, scene: Mapping[str, Package], other: Package) -> bool:
    """Builds of torch for processors and for AMD do not bring the triton that such a row is about."""
    torch = scene.get("torch")
    brought = other.name == "torch" or other.via == "torch"
    known = torch is not None and torch.variant.startswith(("cpu", "rocm"))
    return rule is BY_ID["bitsandbytes-triton"] and brought and known


def _elsewhere(timeline: Timeline, one: Package) -> bool:
    """Whether a version that nobody asked for may already be there: in an unknown base, or where a file alone is judged."""
    if one.request is not None and not one.via:
        return bool(one.install and one.install.unread) and not one.exact
    return not one.base and timeline.base is None and not one.exact


def _told(subject: Package, other: Package) -> bool:
    """Whether an extra that is asked for makes an installer see it: `transformers[torch]`."""
    if subject.request is None or not subject.request.extras or subject.exact:
        return False
    known = facts.release(subject.name, subject.likely)
    return known is not None and any(
        facts.needs(known, other.name, extra=one) is not None for one in subject.request.extras
    )


def _message(subject: Package, other: Package, row: Pair) -> str:
    version = f"{subject.name} {subject.likely}"
    if not subject.exact:
        version = f"{shown(subject)} becomes {version} today, which"
    beside = f"{other.name} {other.likely.partition('+')[0]}"
    if other.base:
        beside += " of the base image"
    elif not other.exact:
        beside += ", the newest that can come"
    return f"{version} needs {row.other}{row.needs}, and there is {beside}"


def _fixes(
    timeline: Timeline, scene: Mapping[str, Package], subject: Package, other: Package
) -> Iterable[Fix | None]:
    """The package that fits what is there first; then the other one for it; then without it."""
    if requests(timeline, subject.name):
        yield _moved(timeline, scene, subject, other)
    else:
        yield _added(timeline, scene, subject, other)
    if other.request is not None and not other.via:
        yield _moved(timeline, scene, other, subject)
    if requests(timeline, subject.name):
        yield removed(timeline, subject.name)


def _moved(timeline: Timeline, scene: Mapping[str, Package], one: Package, fixed: Package) -> Fix | None:
    """Another version of `one`, the closest that goes with `fixed`; for something open the newest."""
    near = {one.name: one.exact} if one.exact else None
    found = fitting(timeline, {fixed.name: fixed.likely.partition("+")[0]}, [one.name], near)
    return changed(timeline, scene, found) if found else None


def _added(timeline: Timeline, scene: Mapping[str, Package], subject: Package, other: Package) -> Fix | None:
    """What came along is asked for in versions that fit, beside what brought it."""
    bringer = scene.get(subject.via)
    beside = bringer.request if bringer is not None and bringer.request is not None else other.request
    fixed = {
        one.name: one.likely.partition("+")[0] for one in (other, bringer) if one is not None and one.likely
    }
    found = fitting(timeline, fixed, [subject.name])
    if not found or beside is None:
        return None
    version = found[subject.name]
    below = above(timeline, subject.name, version)
    wanted = f"{subject.name}<{below}" if below else f"{subject.name}>={version}"
    return edit.fix(f"Ask for {wanted}", [edit.add(beside, wanted)])
