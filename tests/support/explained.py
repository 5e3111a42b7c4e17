"""Judging explanations: is the right cause first, does its fix say what it must, is a wrong one stated with confidence."""

from __future__ import annotations

import gzip
import random
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import yaml

from seatrial.diagnosis.explain import explain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.diagnosis.model import Explanation

DATA = Path(__file__).parents[1] / "diagnosis"
RIGHT, FIXED, WRONG = 0.90, 0.85, 0.03
CONFIDENT = ("high", "medium")
"""Explanations with this confidence are printed unasked, so a wrong one misleads."""
LINES = 5000


class Expected(msgspec.Struct, frozen=True, omit_defaults=True):
    """`accept` are ids that are right as well, where the log allows for two readings; `fix` are regular expressions."""

    cause: str
    fix: list[str]
    set: str = ""
    accept: list[str] = []


class Provoked(msgspec.Struct, frozen=True):
    name: str
    status: int
    log: str
    cause: str
    fix: list[str]
    accept: list[str] = []

    @property
    def expected(self) -> Expected:
        return Expected(self.cause, self.fix, accept=self.accept)


class Verdict(NamedTuple):
    """`found` is the id of the first cause, empty when nothing was found. `wrong`: another cause, with confidence."""

    case: str
    service: str
    expected: str
    found: str
    right: bool
    fixed: bool
    wrong: bool


def judge(case: str, service: str, expected: Expected, explanation: Explanation) -> Verdict:
    first = explanation.causes[0] if explanation.causes else None
    right = first is not None and first.id in {expected.cause, *expected.accept}
    words = f"{first.fix} {first.command}" if first else ""
    return Verdict(
        case,
        service,
        expected.cause,
        first.id if first else "",
        right,
        right and all(re.search(one, words, re.IGNORECASE) for one in expected.fix),
        first is not None and not right and first.confidence in CONFIDENT,
    )


def failures(kind: str) -> list[Provoked]:
    """Provoked failures of the set `train` or `held`."""
    path = next((DATA / "provoked").glob(f"{kind}.yaml*"))
    raw = path.read_bytes()
    text = gzip.decompress(raw) if path.suffix == ".gz" else raw
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return msgspec.convert(yaml.load(text, Loader=loader), list[Provoked])


def labels() -> dict[str, Expected]:
    return msgspec.convert(yaml.safe_load((DATA / "labels.yaml").read_text()), dict[str, Expected])


def in_a_build(case: str, log: str) -> str:
    """`log` among 5,000 lines of real builds, in the second half of them; the same for the same case."""
    choice = random.Random(case)
    tools = list(background())
    choice.shuffle(tools)
    lines = [line for tool in tools for line in background()[tool]]
    start = choice.randrange(len(lines))
    lines = (lines[start:] + lines[:start])[:LINES]
    place = choice.randrange(LINES // 2, LINES - 10)
    return "\n".join([*lines[:place], log, *lines[place:], ""])


@cache
def background() -> dict[str, list[str]]:
    """Lines of successful builds by the tool that wrote them."""
    return {
        path.name.split(".")[0]: gzip.decompress(path.read_bytes()).decode().splitlines()
        for path in sorted((DATA / "background").glob("*.txt.gz"))
    }


def explained(case: str, service: str, expected: Expected, log: str) -> Verdict:
    return judge(case, service, expected, explain(log.encode()))


class Figures(NamedTuple):
    cases: int
    right: float
    fixed: float
    wrong: float

    @staticmethod
    def of(verdicts: Iterable[Verdict]) -> Figures:
        every = list(verdicts)
        count = len(every)
        return Figures(
            count,
            sum(one.right for one in every) / count,
            sum(one.fixed for one in every) / count,
            sum(one.wrong for one in every) / count,
        )

    def shortfall(self) -> str:
        """What is missed, in numbers; empty when nothing is."""
        missed = [
            f"{name} {value:.1%}, wanted {sign} {limit:.0%}"
            for name, value, sign, limit, bad in (
                ("right cause first", self.right, "at least", RIGHT, self.right < RIGHT),
                ("right fix", self.fixed, "at least", FIXED, self.fixed < FIXED),
                ("confident wrong cause", self.wrong, "at most", WRONG, self.wrong > WRONG),
            )
            if bad
        ]
        return "; ".join(missed)


def missed_by_service(verdicts: Iterable[Verdict]) -> str:
    """How many were missed, by service only: what is set aside is not told case by case."""
    counts = Counter(one.service for one in verdicts if not (one.right and one.fixed) or one.wrong)
    return ", ".join(f"{service}: {count}" for service, count in sorted(counts.items())) or "none"


def missed(verdicts: Iterable[Verdict]) -> list[str]:
    return [
        f"{one.case}: {one.found or 'nothing'} for {one.expected}"
        + (" (fix)" if one.right and not one.fixed else "")
        + (" CONFIDENT" if one.wrong else "")
        for one in verdicts
        if not one.fixed
    ]
