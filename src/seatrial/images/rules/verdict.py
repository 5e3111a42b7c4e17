"""What a rule says about a timeline: a finding, and the packages that it is about."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story.model import Span
from seatrial.sources.text import finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from seatrial.findings import Finding, Fix, Rule, Severity
    from seatrial.images.story.model import Request
    from seatrial.images.timeline.model import Package, Timeline


class Verdict(msgspec.Struct, frozen=True):
    """A finding about some packages (normalised names); a more general rule stays silent about what a special one says.

    `later` finds fixes that take time to find: it is asked only about verdicts that are reported.
    """

    finding: Finding
    about: frozenset[str]
    later: Callable[[], Sequence[Fix | None]] | None = None


def verdict(
    rule: Rule,
    severity: Severity,
    at: Span,
    message: str,
    *,
    about: Iterable[str] = (),
    cause: str = "",
    source: str = "",
    fixes: Iterable[Fix | None] = (),
) -> Verdict:
    """A verdict at a place; `fixes` best first, None among them are left out, and so are equal ones.

    `source` is where the fact comes from; the rule's own source where it says none.
    """
    kept: list[Fix] = []
    for one in fixes:
        if one is not None and all(one.edits != other.edits for other in kept):
            kept.append(one)
    made = finding(
        rule.id,
        severity,
        at.place,
        message,
        cause=cause,
        source=source or rule.source,
        fix=kept[0] if kept else None,
        alternatives=tuple(kept[1:]),
    )
    return Verdict(made, frozenset(about))


def place(timeline: Timeline, *packages: Package) -> Span:
    """Where to point: the first package that something asked for, else its install, else the base, else the first file."""
    for one in packages:
        if one.request is not None:
            return one.request.at
    for one in packages:
        if one.install is not None:
            return one.install.at
    return beginning(timeline)


def beginning(timeline: Timeline) -> Span:
    """The base reference, else the start of the first file."""
    base = timeline.root.base
    if base is not None:
        return base.at
    source = timeline.story.dockerfile or next(iter(timeline.story.sources.values()))
    return Span(source, 0, min(1, len(source.text)))


def requests(timeline: Timeline, name: str) -> tuple[Request, ...]:
    """Every request for a package in this environment, in order; an edit of its versions must look at all."""
    found = [one for moment in timeline.moments for one in moment.install.named(name)]
    return tuple({(one.at.source.path, one.at.start): one for one in found}.values())


def shown(package: Package) -> str:
    """A package as people write it: `torch 2.4.0 (cu121)`, `torch>=2`, `torch`."""
    label = f" ({package.variant})" if package.variant and "+" not in package.exact else ""
    if package.exact:
        return f"{package.name} {package.exact}{label}"
    return f"{package.name}{package.specifier}{label}"
