"""From uv's refusal to the smallest set of asks behind it, and to a few plain sentences."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.solving.chain import chain_of, sentence
from seatrial.images.solving.derivation import Fact, facts
from seatrial.images.solving.minimal import OutOfTimeError, smallest
from seatrial.images.solving.missing import missing
from seatrial.images.solving.model import Conflict
from seatrial.images.solving.places import known
from seatrial.images.solving.settle import Means, Settled, settle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.solving.asking import Question
    from seatrial.images.solving.model import Ask

_PAIR = 2
_TIME = 20.0  # seconds for finding the smallest set
REFUSED = ("unsatisfiable", "no-wheel")


class Explained(msgspec.Struct, frozen=True):
    """A conflict; `doubt` says why it may be none: what was left out could have what is missing."""

    conflict: Conflict
    doubt: str = ""


def explain(settled: Settled, means: Means) -> Explained:
    """Say why the question cannot be satisfied, in as few asks as time allows to find out."""
    small, minimal = least(settled, means)
    found = facts(small.answer.text)
    asks = (*small.question.asks, *small.question.constraints)
    conflict = missing(small.question, found, means) or _conflict(asks, found)
    conflict = msgspec.structs.replace(
        conflict,
        asks=tuple(ask.id for ask in asks),
        detail=small.answer.text.removeprefix("error: "),
        minimal=minimal,
    )
    return Explained(conflict, _doubt(small.question, conflict, found))


def _conflict(asks: Sequence[Ask], found: Sequence[Fact]) -> Conflict:
    chain = chain_of(asks, found)
    return Conflict(kind="conflict", message=sentence(chain, asks), asks=(), chain=chain)


def least(settled: Settled, means: Means) -> tuple[Settled, bool]:
    """Reduce the question to a smallest set of asks that fails, with its answer; false: perhaps not the smallest."""
    question = settled.question
    deadline = min(means.deadline, time.monotonic() + _TIME)
    means = msgspec.structs.replace(means, deadline=deadline, refresh=False, cached_first=True)
    pool = [*question.asks, *question.constraints]
    last = settled

    def fails(some: Sequence[Ask]) -> bool:
        nonlocal last
        tried = settle(reduced(question, some), means)
        if tried.answer.kind not in (*REFUSED, "satisfied"):
            raise OutOfTimeError
        if tried.answer.kind in REFUSED and _size(tried) <= _size(last):
            last = tried
        return tried.answer.kind in REFUSED

    try:
        named = _named(pool, last)
        while 0 < len(named) < len(pool) and fails(named):
            pool, named = named, _named(named, last)
        # Both of two are needed: each premise of a derivation is, and what fails alone was named alone.
        if len(pool) > _PAIR:
            few = smallest(pool, fails)
            if _size(last) != len(few):
                last = settle(reduced(question, few), means)
    except OutOfTimeError:
        return last, False
    return (last, True) if last.answer.kind in REFUSED else (settled, False)


def _named(pool: list[Ask], settled: Settled) -> list[Ask]:
    """The asks whose package uv's text says is asked for."""
    names = {fact.subject.name for fact in facts(settled.answer.text) if fact.kind == "asked"}
    return [ask for ask in pool if ask.name in names]


def _size(settled: Settled) -> int:
    return len(settled.question.asks) + len(settled.question.constraints)


def reduced(question: Question, some: Sequence[Ask]) -> Question:
    """The question with only some of its asks and constraints."""
    ids = {ask.id for ask in some}
    return msgspec.structs.replace(
        question,
        asks=tuple(ask for ask in question.asks if ask.id in ids),
        constraints=tuple(ask for ask in question.constraints if ask.id in ids),
    )


def _doubt(question: Question, conflict: Conflict, found: Sequence[Fact]) -> str:
    """Which package may be in a place that was left out; empty where the answer does not depend on it.

    What one version needs is the same wherever it comes from. What is said of several versions, or that something is not
    there, is only true of what was asked; and uv says `every version`, or names the only one, where a range was wanted.
    """
    left_out = question.places.left_out
    if not left_out:
        return ""
    asks = (*question.asks, *question.constraints)
    if conflict.kind != "conflict":
        unproved = {ask.name for ask in asks}
    else:
        pinned = {ask.name for ask in asks if re.fullmatch(r"===?\s*[^,*\s]+", ask.specifier.strip())}
        named = {link.package for link in conflict.chain} | {link.other for link in conflict.chain}
        unproved = (named | {fact.subject.name for fact in found}) - pinned - {""}
    if question.places.only_pytorch:
        # Its releases are those of the public index, for more devices and sometimes more Pythons.
        if conflict.kind == "conflict":
            unproved = {fact.subject.name for fact in found if fact.kind in ("none", "lacks", "absent")}
        unproved = {name for name in unproved if _of_pytorch(name)}
    if not unproved:
        return ""
    what = ", ".join(sorted(unproved))
    return f"{what} may be in {', '.join(left_out)}, which cannot be asked from here"


def _of_pytorch(name: str) -> bool:
    return name in known().companions["torch"] or re.match(r"(py)?torch|nvidia-|triton", name) is not None
