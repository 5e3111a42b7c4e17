"""The nearest change to what is asked for that can be satisfied, found by solving and solved again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.images.solving.distance import Distance, anchor, distance, parsed, respecified
from seatrial.images.solving.explain import REFUSED, least
from seatrial.images.solving.model import Change, Edited
from seatrial.images.solving.places import known
from seatrial.images.solving.settle import Means, Settled, known_releases, settle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from seatrial.images.solving.asking import Question
    from seatrial.images.solving.model import Ask

_MOST_EDITS = 6
Specifiers = dict[str, str | None]
"""Ask id → the specifier it gets; None: it is dropped."""


def nearest_changes(question: Question, ids: Sequence[str], means: Means) -> tuple[Change, ...]:
    """Changes of the asks `ids`, and of others where these are not enough, best first. Stops when time is out."""
    means = msgspec.structs.replace(means, refresh=False, cached_first=True)
    question = _seen_only(question, ids, means)
    asks = [ask for ask in (*question.asks, *question.constraints) if ask.id in ids]
    found: dict[tuple[Edited, ...], None] = {}
    alone = [ask for ask in asks if _holds(question, {ask.id: ""}, means)]
    for ask in alone:
        if (edited := _nearest(question, ask, {}, means)) is not None:
            found[edited,] = None
    for kept in asks:
        if means.left > 0 and (edits := _keeping(question, kept, asks, means)) is not None:
            found[edits] = None
    for ask in asks:
        if (dropped := _dropped(question, ask, means, anyhow=not found)) is not None:
            found[dropped,] = None
    everyone = {ask.id: ask for ask in (*question.asks, *question.constraints)}
    ordered = sorted(found, key=lambda edits: _rank(edits, everyone))
    return tuple(Change(edits=edits, reason=_reason(edits, everyone)) for edits in ordered)


def _seen_only(question: Question, ids: Sequence[str], means: Means) -> Question:
    """Without the releases of these asks of which only a version number is known, where others have wheels.

    What seems to need nothing goes with everything: an old source distribution would be the answer to any conflict.
    """
    names = {ask.name for ask in (*question.asks, *question.constraints) if ask.id in ids}
    kept = dict(question.stand_ins)
    for name in names & kept.keys():
        if any(one.wheels for one in known_releases(question, name, means).values()):
            kept[name] = {version: needs for version, needs in kept[name].items() if needs is not None}
    return msgspec.structs.replace(question, stand_ins=kept)


def changed(question: Question, specifiers: Mapping[str, str | None]) -> Question:
    """The question with other specifiers for some of its asks, and without those that get None."""

    def apply(asks: Sequence[Ask]) -> Iterator[Ask]:
        for ask in asks:
            specifier = specifiers.get(ask.id, ask.specifier)
            if specifier is not None:
                yield msgspec.structs.replace(ask, specifier=specifier)

    return msgspec.structs.replace(
        question, asks=tuple(apply(question.asks)), constraints=tuple(apply(question.constraints))
    )


def _solved(question: Question, specifiers: Mapping[str, str | None], means: Means) -> Settled | None:
    """The answer with these specifiers; None: there is none, or no time."""
    if means.left <= 0:
        return None
    settled = settle(changed(question, specifiers), means)
    return settled if settled.answer.kind == "satisfied" else None


def _holds(question: Question, specifiers: Mapping[str, str | None], means: Means) -> bool:
    return _solved(question, specifiers, means) is not None


def _nearest(question: Question, ask: Ask, others: Specifiers, means: Means) -> Edited | None:
    """The version of one ask nearest to the one asked for with which everything else holds, `others` changed as given."""
    asked = anchor(ask.specifier)
    versions = _choices(question, ask, means)
    if asked is None or not versions:
        return None
    public = asked.partition("+")[0]
    candidates = [
        public if public != asked and public in versions else None,
        _next_below(question, ask, public, others, means) if parsed(versions[0]) < parsed(public) else None,
        _next_above(question, ask, public, versions, others, means),
    ]
    for version in sorted(filter(None, candidates), key=lambda one: distance(public, one)):
        specifier = respecified(ask.specifier, version)
        solved = _solved(question, {**others, ask.id: specifier}, means)
        if solved is not None:
            return Edited(ask.id, specifier, solved.answer.versions.get(ask.name, version))
    return None


def _choices(question: Question, ask: Ask, means: Means) -> list[str]:
    """The final releases that the target can use, lowest first."""
    stood_in = question.stand_ins.get(ask.name, {})
    return [
        version
        for version, one in known_releases(question, ask.name, means).items()
        if (one.wheels or version in stood_in) and one.yanked is None and not parsed(version).is_prerelease
    ]


def _highest(question: Question, ask: Ask, limits: str, others: Specifiers, means: Means) -> str | None:
    """The version that is chosen within limits; None: there is none, or only a pre-release."""
    solved = _solved(question, {**others, ask.id: limits}, means)
    version = None if solved is None else solved.answer.versions.get(ask.name)
    return None if version is None or parsed(version).is_prerelease else version


def _next_below(question: Question, ask: Ask, asked: str, others: Specifiers, means: Means) -> str | None:
    """The highest version below the one asked for that holds.

    uv passes over versions of which something has no wheel as long as an older one has; asked for those in between alone,
    it says so, and they get stand-ins.
    """
    found = _highest(question, ask, f"<{asked}", others, means)
    while found is not None:
        better = _highest(question, ask, f">{found},<{asked}", others, means)
        if better is None or parsed(better) <= parsed(found):
            break
        found = better
    return found


def _next_above(
    question: Question, ask: Ask, asked: str, versions: Sequence[str], others: Specifiers, means: Means
) -> str | None:
    """The last release of the lowest minor version above the one asked for that holds, found by halving.

    What becomes possible with a version stays possible with later ones nearly always; where it does not, the version
    found is still one that holds.
    """
    above = [version for version in versions if parsed(version) > parsed(asked)]
    minors = list(dict.fromkeys(parsed(version).release[:2] for version in above))
    last = {parsed(version).release[:2]: version for version in above}
    found, low, high = None, 0, len(minors) - 1
    while low <= high:
        # The nearest first: most often it is the one, or one soon after.
        middle = low if high == len(minors) - 1 and low == 0 else (low + high) // 2
        limits = f">{asked},<={last[minors[middle]]}"
        version = _highest(question, ask, limits, others, means)
        if version is not None:
            found = version
            high = minors.index(parsed(version).release[:2]) - 1
        else:
            low = middle + 1
            if middle == 0 and _highest(question, ask, f">{asked}", others, means) is None:
                return None
        if means.left <= 0:
            break
    return found


def _keeping(question: Question, kept: Ask, asks: Sequence[Ask], means: Means) -> tuple[Edited, ...] | None:
    """Everything that must change so that one ask can stay: the others of the conflict, and who then stands in the way."""
    free = {ask.id: ask for ask in asks if ask.id != kept.id}
    for _ in range(_MOST_EDITS):
        settled = settle(changed(question, dict.fromkeys(free, "")), means)
        if settled.answer.kind not in REFUSED:
            break
        blocking = least(settled, means)[0].question
        more = [
            ask for ask in (*blocking.asks, *blocking.constraints) if ask.id not in free and ask.id != kept.id
        ]
        if not more or len(free) + len(more) > _MOST_EDITS:
            return None
        free |= {ask.id: _original(question, ask) for ask in more}
    if settled.answer.kind != "satisfied" or len(free) < 2:  # noqa: PLR2004 - one alone was tried before
        return None
    fixed: Specifiers = dict.fromkeys(free, "")
    edits = []
    for ask in free.values():
        edited = _unchanged(question, ask, fixed, means) or _nearest(question, ask, fixed, means)
        if edited is None:
            return None
        fixed[ask.id] = edited.specifier
        if edited.specifier != ask.specifier:
            edits.append(edited)
    return tuple(edits)


def _unchanged(question: Question, ask: Ask, fixed: Specifiers, means: Means) -> Edited | None:
    holds = _holds(question, {**fixed, ask.id: ask.specifier}, means)
    return Edited(ask.id, ask.specifier) if holds else None


def _original(question: Question, ask: Ask) -> Ask:
    return next(one for one in (*question.asks, *question.constraints) if one.id == ask.id)


def _dropped(question: Question, ask: Ask, means: Means, *, anyhow: bool) -> Edited | None:
    """Not asking for it: offered where it comes anyway because another package needs it, or where nothing else helps."""
    solved = _solved(question, {ask.id: None}, means)
    if solved is None:
        return None
    version = solved.answer.versions.get(ask.name, "")
    return Edited(ask.id, None, version) if version or anyhow else None


def _rank(edits: Sequence[Edited], asks: Mapping[str, Ask]) -> tuple[object, ...]:
    names = {ask.name for ask in asks.values()}
    steps: list[Distance] = [
        distance(anchor(asks[one.ask].specifier) or one.version, one.version) for one in edits if one.version
    ]
    return (
        sum(one.specifier is None for one in edits),
        len(edits),
        sum(not _is_companion(asks[one.ask].name, names) for one in edits),
        max((step[0] for step in steps), default=0),
        sum(step[1] for step in steps),
        sum(step[2] for step in steps),
    )


def _is_companion(name: str, names: set[str]) -> bool:
    """Whether it follows the releases of another package that is asked for too."""
    return any(name in some and main in names for main, some in known().companions.items())


def _reason(edits: Sequence[Edited], asks: Mapping[str, Ask]) -> str:
    if any(one.specifier is None for one in edits):
        one = edits[0]
        name = asks[one.ask].name
        return (
            f"without this line {name} {one.version} is chosen, which the others need"
            if one.version
            else f"everything else can be installed without {name}"
        )
    what = " and ".join(f"{asks[one.ask].name} {one.version}" for one in edits)
    are = "is the nearest version" if len(edits) == 1 else "are the nearest versions"
    return f"{what} {are} with which everything that is asked for can be installed"
