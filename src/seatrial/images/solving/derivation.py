"""Reading the text in which uv derives that nothing fits: only its premises are facts, its conclusions are not kept.

The sentences are those of uv's `pubgrub/report.rs`; what is not recognised is passed over.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_CLAUSE = r"(?:===?|!=|~=|<=|>=|<|>)[^\s,;]+"
_CLAUSES = rf"{_CLAUSE}(?:,{_CLAUSE})*"
_TERM = rf"(?P<name>{_NAME})(?:\[[^\]]*\])?(?P<versions>{_CLAUSES})?"
Kind = Literal["needs", "asked", "none", "only", "lacks", "absent"]


class Term(msgspec.Struct, frozen=True):
    """A package in certain versions; an empty `versions` is every one."""

    name: str
    versions: str = ""

    def __str__(self) -> str:
        return f"{self.name}{self.versions}"


class Fact(msgspec.Struct, frozen=True):
    """One premise.

    needs: `subject` depends on `other` (several: any of them). asked: the request itself. none: there is no such
    version. only: `other` are the only versions there are. lacks: it has no wheel that fits, `why` is uv's reason.
    absent: no index has the package.
    """

    kind: Kind
    subject: Term
    other: tuple[Term, ...] = ()
    why: str = ""


def facts(text: str) -> tuple[Fact, ...]:
    """The premises in uv's text, in its order, each once."""
    found: dict[Fact, None] = {}
    for premise in _premises(text):
        for fact in _read(premise):
            found[fact] = None
    return tuple(found)


def _premises(text: str) -> Iterator[str]:
    body = re.split(r"\bhint: ", text)[0]
    joined = re.sub(r"[\s│╰├─▶\u00d7]+", " ", body)
    for match in re.finditer(r"\b[Bb]ecause (.*?),? we can conclude that", joined):
        yield from _split(match[1].strip(" ,"))


def _split(sentence: str) -> list[str]:
    """At each ` and ` after which something new is said."""
    start = (
        rf"(?:you require |there (?:is|are) no versions? |only |all versions of |all of: |the requested |"
        rf"we know |your |{_NAME}(?:\[[^\]]*\])?(?:{_CLAUSES})? (?:depends? on|ha[sv]e? no|was |were |requires? ))"
    )
    return re.split(rf" and (?={start})", sentence)


def _read(premise: str) -> Iterator[Fact]:
    if match := re.match(r"you require (.*)", premise):
        terms = _terms(match[1])
        if "one of:" in match[1]:
            terms = terms[:1]
        yield from (Fact("asked", term) for term in terms)
    elif match := re.match(r"there (?:is|are) no versions? of (.*)", premise):
        yield from (Fact("none", term) for term in _terms(match[1]))
    elif match := re.match(
        rf"only (?:the following versions of )?({_NAME})\S* (?:is|are) available:? ?(.*)", premise
    ):
        yield Fact("only", Term(_normal(match[1])), _terms(match[2] or premise))
    elif match := re.match(r"(.*?) (?:was|were) not found in ", premise):
        yield from (Fact("absent", term) for term in _terms(match[1]))
    elif match := re.match(r"(.*?) ha(?:s|ve) (no usable wheels|no wheels with.*)", premise):
        yield from (Fact("lacks", term, (), match[2]) for term in _terms(match[1]))
    elif match := re.match(r"(.*?) depends? on (.*)", premise):
        yield from _needs(match[1], match[2])


def _needs(subjects: str, objects: str) -> Iterator[Fact]:
    others = _terms(objects)
    groups = [others] if "one of:" in objects else [(one,) for one in others]
    for subject in _terms(subjects):
        if subject.name == "your":  # `your requirements depend on`
            continue
        yield from (Fact("needs", subject, group) for group in groups if group)


def _terms(text: str) -> tuple[Term, ...]:
    bare = re.sub(r"\b(?:all of:|one of:|all versions of|and|or|either)\s", " ", f"{text} ")
    return tuple(
        Term(_normal(match["name"]), tidy(match["versions"] or ""))
        for match in re.finditer(rf"(?<!\S){_TERM}(?=\s|$)", bare)
        if match["name"] not in ("have", "has", "are", "is")
    )


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def tidy(versions: str) -> str:
    """Without the `.dev0` with which uv writes what lies before any pre-release: `<1.20.dev0` is `<1.20`."""
    return re.sub(r"(<[^,]*?)\.dev0(?=,|$)", r"\1", versions)
