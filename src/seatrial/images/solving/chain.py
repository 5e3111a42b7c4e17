"""The facts of an explanation in the order in which one follows from the other, and as a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images.solving.model import Link
from seatrial.images.wording import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.solving.derivation import Fact, Term
    from seatrial.images.solving.model import Ask

_LONGEST = 5  # links in one sentence


def chain_of(asks: Sequence[Ask], found: Sequence[Fact]) -> tuple[Link, ...]:
    """From what is asked for, along what it needs, to where it ends; last the asks that need nothing of the others."""
    needs = [fact for fact in found if fact.kind == "needs"]
    links: dict[Link, None] = {}
    follow = [ask.name for ask in asks]
    done: set[str] = set()
    while follow:
        name = follow.pop(0)
        if name in done:
            continue
        done.add(name)
        own = [fact for fact in needs if fact.subject.name == name]
        for fact in own:
            links[_needed(fact, asks)] = None
        follow = [*(fact.other[0].name for fact in own), *follow]
    for fact in found:
        if fact.kind in ("none", "lacks", "absent") and not _is_asked(fact, asks):
            links[Link(fact.subject.name, fact.subject.versions, "", _lack(fact))] = None
    starts = {link.package for link in links}
    for ask in asks:
        if ask.name not in starts:
            links[Link("", "", ask.name, ask.specifier.replace(" ", ""))] = None
    return tuple(links)


def _needed(fact: Fact, asks: Sequence[Ask]) -> Link:
    """A dependency; its subject in the words of the ask where there is one."""
    asked = [ask.specifier.replace(" ", "") for ask in asks if ask.name == fact.subject.name]
    versions = fact.subject.versions
    if len(asked) == 1 and (not asked[0] or asked[0].startswith("==")):
        versions = asked[0]
    return Link(fact.subject.name, versions, fact.other[0].name, _together(fact.other))


def _together(terms: tuple[Term, ...]) -> str:
    """The versions of one package; of several ranges with gaps, the range from the first to the last."""
    if len(terms) == 1:
        return terms[0].versions
    first, last = terms[0].versions.split(",")[0], terms[-1].versions.split(",")[-1]
    bounds = [first] if first.startswith(">") else []
    return ",".join([*bounds, *([last] if last.startswith("<") else [])])


def _lack(fact: Fact) -> str:
    return {"none": "does not exist", "absent": "is on no index that was asked"}.get(
        fact.kind, "has no wheel for the target"
    )


def _is_asked(fact: Fact, asks: Sequence[Ask]) -> bool:
    return any(ask.name == fact.subject.name for ask in asks) and fact.kind != "lacks"


def sentence(chain: Sequence[Link], asks: Sequence[Ask]) -> str:
    """The chain in words, or, where it is long, who cannot be together."""
    asked = [link for link in chain if not link.package]
    needed = [link for link in chain if link.package]
    if not needed and len(asked) > 1:
        return f"{listed([spelled(link.other, link.needs) for link in asked])} are asked for at the same time"
    if not needed:
        return f"nothing satisfies {listed([spelled(ask.name, ask.specifier) for ask in asks])}"
    if len(needed) > _LONGEST:
        who = listed([spelled(ask.name, ask.specifier) for ask in asks])
        where = f": they need different versions of {needed[-1].other}" if needed[-1].other else ""
        return f"{who} cannot be installed together{where}"
    parts = _phrases(needed, {ask.name for ask in asks})
    if asked:
        parts.append(f"but {listed([spelled(link.other, link.needs) for link in asked])} is asked for")
    return ", ".join(parts)


def _phrases(links: Sequence[Link], asked: set[str]) -> list[str]:
    parts: list[str] = []
    previous: Link | None = None
    for link in links:
        said = f"{link.needs}" if not link.other else f"needs {spelled(link.other, link.needs)}"
        if previous is not None and previous.other == link.package:
            parts.append(f"which {said}")
        else:
            but = "but " if previous is not None else ""
            every = "" if link.versions or link.package in asked else "every "
            parts.append(f"{but}{every}{spelled(link.package, link.versions, subject=True)} {said}")
        previous = link
    return parts


def spelled(name: str, versions: str, *, subject: bool = False) -> str:
    """`vllm 0.8.5` for one version that does something, `torch==2.6.0` for one that is wanted."""
    if subject and versions.startswith("==") and "," not in versions and "*" not in versions:
        return f"{name} {versions.lstrip('=')}"
    return f"{name}{versions}"
