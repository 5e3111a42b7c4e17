"""Which of the matching signatures is the cause: first causes before what follows from them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from seatrial.diagnosis import marks
from seatrial.diagnosis.model import CONFIDENCES, RANKS, Sequence

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.diagnosis.marks import Course
    from seatrial.diagnosis.matching import Hit, Hits
    from seatrial.diagnosis.model import Confidence, Signature

_MOST = 3
"""More causes than this help nobody."""

_NEAR = 3
"""As many lines above its cause a consequence can stand: a message may begin with a heading."""


class Found(NamedTuple):
    """A signature with the place where it shows first, how often it shows, and other places with other values."""

    signature: Signature
    hit: Hit
    times: int
    others: tuple[Hit, ...]
    confidence: Confidence


class Ranked(NamedTuple):
    """Causes, best first, and the ids of what follows from them."""

    causes: tuple[Found, ...]
    follows: tuple[str, ...]


def found(signatures: Iterable[Signature], hits: dict[str, Hits], course: Course) -> list[Found]:
    """The signatures that match and whose needs hold."""
    result = []
    for one in signatures:
        if not any((p.lines[0] if isinstance(p, Sequence) else p) in hits for p in one.patterns):
            continue
        places = sorted(_places(one, hits), key=lambda hit: hit.number)
        places = [hit for hit in places if _holds(one, hit, hits, course)]
        places = [
            hit for hit in places if not (marks.in_passing(hit.text) or marks.overcome(hits, hit.number))
        ]
        if not places:
            continue
        first = _fullest(places)
        others = {tuple(sorted(hit.captures.items())): hit for hit in reversed(places)}
        others.pop(tuple(sorted(first.captures.items())), None)
        count = sum(hits[p].count for p in one.patterns if isinstance(p, str) and p in hits)
        different = tuple(sorted(others.values(), key=lambda hit: hit.number))
        result.append(Found(one, first, max(count, len(places)), different[:5], one.confidence))
    return result


def _fullest(places: list[Hit]) -> Hit:
    """The first place; of several about the same time, the one that says most."""
    near = [hit for hit in places if hit.number <= places[0].number + 15 and hit.source == places[0].source]
    return max(near, key=lambda hit: (len(hit.captures), -hit.number))


def _places(one: Signature, hits: dict[str, Hits]) -> Iterable[Hit]:
    for pattern in one.patterns:
        if isinstance(pattern, Sequence):
            yield from _sequences(pattern, hits)
        else:
            yield from hits.get(pattern, ())


def _sequences(pattern: Sequence, hits: dict[str, Hits]) -> Iterable[Hit]:
    """Each place where the lines come in their order; the place is the last line, the captures are all."""
    if any(line not in hits for line in pattern.lines):
        return
    for start in hits[pattern.lines[0]]:
        captures, at = dict(start.captures), start
        for line in pattern.lines[1:]:
            after = (h for h in hits[line] if h.source == start.source and at.number < h.number)
            following = min(after, key=lambda hit: hit.number, default=None)
            if following is None or following.number - start.number > pattern.within:
                break
            at = following
            captures.update(at.captures)
        else:
            yield at._replace(captures=captures)


def _holds(one: Signature, hit: Hit, hits: dict[str, Hits], course: Course) -> bool:
    needs = one.needs
    if needs.absent and needs.absent in hits:
        return False
    if needs.earlier and not any(h.number < hit.number for h in hits.get(needs.earlier, ())):
        return False
    if needs.later and not any(h.number > hit.number for h in hits.get(needs.later, ())):
        return False
    if needs.outcome and course.outcome not in needs.outcome:
        return False
    if needs.phase and course.phase(hit.number) not in needs.phase:
        return False
    return not needs.exit_code or not course.codes.isdisjoint(needs.exit_code)


def rank(candidates: list[Found], course: Course) -> Ranked:
    """Order the candidates; of a log that went well, only those that say so have a say."""
    if course.outcome == "succeeded":
        candidates = [one for one in candidates if "succeeded" in one.signature.needs.outcome]
    first = {one.signature.id: one.hit for one in candidates}
    placed = sorted(candidates, key=lambda one: _key(one, first, course))
    if not placed:
        return Ranked((), ())
    best = placed[0]
    causes = [best]
    follows: list[str] = []
    for one in placed[1:]:
        if one.signature.id in {cause.signature.id for cause in causes} | set(follows):
            continue
        same = _class(one, first, course) == _class(best, first, course)
        if same and len(causes) < _MOST and one.signature.rank == "root" and _level(one) <= _level(best):
            causes.append(one)
        else:
            follows.append(one.signature.id)
    return Ranked(tuple(causes), tuple(follows))


def _key(one: Found, first: dict[str, Hit], course: Course) -> tuple[int, int, int]:
    return (_class(one, first, course), one.hit.number, _level(one))


def _class(one: Found, first: dict[str, Hit], course: Course) -> int:
    """0 for what can be the first cause; more for what is likelier to follow, or not to matter."""
    explained = any(
        name in first and first[name].number <= one.hit.number + _NEAR and name != one.signature.id
        for name in one.signature.follows
    )
    over = course.failed_phase and course.states.get(course.phase(one.hit.number)) == "SUCCEEDED"
    low = one.confidence == "low"
    return 4 * RANKS.index(one.signature.rank) + 4 * explained + 2 * bool(over) + 3 * low


def _level(one: Found) -> int:
    return CONFIDENCES.index(one.confidence)
