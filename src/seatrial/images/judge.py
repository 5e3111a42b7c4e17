"""All rules over all stories, and only those fixes that were tried and help."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from seatrial.images import rules
from seatrial.images.rules import resolved
from seatrial.images.story.model import Install
from seatrial.images.timeline.read import timelines
from seatrial.sources import edits

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from seatrial.findings import Finding, Fix
    from seatrial.images.rules.verdict import Verdict
    from seatrial.images.story.model import Span, Story
    from seatrial.images.timeline.model import Target
    from seatrial.images.timeline.read import Resolver
    from seatrial.sources.text import Source

    Read = Callable[[Mapping[str, Source]], Sequence[Story]]
    # By identity and whether a resolver was asked; the story is kept, so that no other one gets its identity.
    Known = dict[tuple[int, bool], tuple[Story, list[Verdict]]]

_OFFERED = 6
"""So many alternatives of one finding are offered; more are no help to anyone."""


def judge(
    stories: Iterable[Story], target: Target, resolver: Resolver | None = None, known: Known | None = None
) -> list[Verdict]:
    """What the rules say, each thing once. With a `resolver`, versions that are left open are those it chooses.

    `known` remembers what was said about a story: most stay the same when a fix is tried.
    """
    found: list[Verdict] = []
    for story in stories:
        key = (id(story), resolver is None)
        if known is None or key not in known:
            own = _specific([one for line in timelines(story, target, resolver) for one in rules.check(line)])
            if known is not None:
                known[key] = (story, own)
            found += own
        else:
            found += known[key][1]
    return _once(found)


def _specific(found: list[Verdict]) -> list[Verdict]:
    """A resolver's conflict is said by a rule that knows why, where there is one about the same packages.

    What the facts say about metadata gives way to the resolver, which sees all of it and has solved its changes.
    """
    general = {rule.id for rule in resolved.RULES}
    solved = [one.about for one in found if one.later is not None]
    special = [
        one.about
        for one in found
        if one.finding.severity == "error" and one.finding.rule not in general and one.about
    ]

    def said(one: Verdict) -> bool:
        others = special if one.later is not None else [*special, *solved]
        return any(about <= one.about or one.about <= about for about in others)

    return [one for one in found if one.finding.rule not in general or not one.about or not said(one)]


def _once(found: list[Verdict]) -> list[Verdict]:
    """Stages that share their first steps, and files that several images install, say the same several times."""
    kept: dict[tuple[object, ...], Verdict] = {}
    for one in found:
        finding = one.finding
        key = (finding.rule, finding.path, finding.line, finding.column, one.about or finding.message)
        if key not in kept or _RANK[finding.severity] < _RANK[kept[key].finding.severity]:
            kept[key] = one
    return list(kept.values())


_RANK = {"error": 0, "warning": 1, "note": 2}


def check(
    read: Read, target: Target, resolver: Resolver | None = None, *, keep: Collection[str] = ()
) -> list[Finding]:
    """Findings about the stories that `read({})` gives; `read(changed)` gives them with some files changed.

    Every alternative fix was tried: with it, its finding is gone, and no error or warning has come. None of them
    changes what is asked of the packages in `keep`.
    """
    stories = read({})
    known: Known = {}
    found = judge(stories, target, resolver, known)
    trial = Trial(
        read=read,
        target=target,
        resolver=resolver,
        sources={path: source for one in stories for path, source in one.sources.items()},
        before=_counted(found if resolver is None else judge(stories, target, None, known)),
        resolved=_counted(found),
        kept=_spans(stories, keep) if keep else (),
        known=known,
    )
    return [_tried(one, trial) for one in found]


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What trying a fix needs: how to read again, what was found before, and the text that must stay.

    `before` is what is found without a resolver, `resolved` what is found with it.
    """

    read: Read
    target: Target
    resolver: Resolver | None
    sources: Mapping[str, Source]
    before: Counter[tuple[object, ...]]
    resolved: Counter[tuple[object, ...]]
    kept: tuple[Span, ...]
    known: Known


def _spans(stories: Sequence[Story], keep: Collection[str]) -> tuple[Span, ...]:
    """Everything that states what is asked of some packages."""
    requests = [
        request
        for story in stories
        for stage in story.stages
        for step in stage.steps
        if isinstance(step, Install)
        for request in (*step.requests, *step.constraints)
        if request.name in keep
    ]
    spans = [span for one in requests for span in (one.at, one.versions, one.version) if span is not None]
    return tuple(spans)


def _tried(one: Verdict, trial: Trial) -> Finding:
    own = (one.finding.fix, *one.finding.alternatives)
    offered = [fix for fix in (*own, *(one.later() if one.later else ())) if fix is not None]
    good = [fix for fix in offered if _helps(fix, one, trial)][:_OFFERED]
    # Asking the index takes seconds: only what is offered first is tried with it. What a resolver found was solved.
    while good and trial.resolver is not None and one.later is None and not _holds(good[0], one, trial):
        good.pop(0)
    return msgspec.structs.replace(one.finding, fix=good[0] if good else None, alternatives=tuple(good[1:]))


def _helps(fix: Fix, one: Verdict, trial: Trial) -> bool:
    """Whether the finding is gone with a fix, as far as the files and the facts say, and nothing else has come."""
    changed = _changed(fix, trial)
    if not changed or any(_touches(fix, span) for span in trial.kept):
        return False
    after = _counted(judge(trial.read(changed), trial.target, None, dict(trial.known)))
    gone = after[_key(one)] < trial.before[_key(one)] or _key(one) not in trial.before
    return gone and not after - trial.before


def _holds(fix: Fix, one: Verdict, trial: Trial) -> bool:
    """The same, with versions that a resolver chooses."""
    after = _counted(judge(trial.read(_changed(fix, trial)), trial.target, trial.resolver, dict(trial.known)))
    return after[_key(one)] < trial.resolved[_key(one)] and not after - trial.resolved


def _changed(fix: Fix, trial: Trial) -> dict[str, Source]:
    """The files that a fix changes, as they would be; none where it changes nothing or does not fit."""
    chosen = edits.select([fix], trial.sources)
    changed = {path: edits.edited(trial.sources[path], spans) for path, spans in chosen.edits.items()}
    return {path: after for path, after in changed.items() if after.text != trial.sources[path].text}


def _touches(fix: Fix, span: Span) -> bool:
    start, end = span.source.position(span.start), span.source.position(span.end)
    return any(
        (one.path == span.source.path and one.start < end and start < one.end)
        or (one.path, one.start, one.end) == (span.source.path, start, end)
        for one in fix.edits
    )  # fmt: skip


def _counted(found: Iterable[Verdict]) -> Counter[tuple[object, ...]]:
    return Counter(_key(one) for one in found if one.finding.severity != "note" or one.finding.fix)


def _key(one: Verdict) -> tuple[object, ...]:
    """What a verdict is about, wherever lines have moved to."""
    return (one.finding.rule, one.finding.path, one.about or one.finding.message)
