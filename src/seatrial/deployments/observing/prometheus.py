"""Prometheus text: the samples of a series, and which series is meant. Pure functions.

Sources: "Exposition formats" (text format 0.0.4), the OpenMetrics specification 1.0 for counters' names and exemplars,
and "Querying basics" for selectors, all of the Prometheus project.
"""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from seatrial.errors import UsageError

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"'
_LABELS = re.compile(_LABEL)
_SELECTOR = re.compile(rf"\s*({_NAME})?\s*(?:\{{((?:\s*{_LABEL}\s*,?)*)\s*\}})?\s*")
_SAMPLE = re.compile(rf'({_NAME})\s*(?:\{{((?:[^"{{}}]|"(?:[^"\\]|\\.)*")*)\}})?\s+([^\s#]+)')
_TYPE = re.compile(rf"#\s*TYPE\s+({_NAME})\s+(\w+)")
_ESCAPED = re.compile(r"\\(.)")
_PARTS_THAT_COUNT = ("_total", "_count", "_sum", "_bucket")


class Selector(NamedTuple):
    """A series' name and what its labels must be: name, operator, value."""

    name: str
    labels: tuple[tuple[str, str, str], ...] = ()


class Sample(NamedTuple):
    """A number. `series` is the label part as it stands there, which tells it from others of the same name."""

    series: str
    value: float


class Found(NamedTuple):
    """Samples that fit. `counts` says that the series only grows: a counter, or a part of a histogram or summary."""

    samples: tuple[Sample, ...]
    counts: bool


def selector(text: str) -> Selector:
    """Read NAME{LABEL="VALUE",…} with =, !=, =~ and !~.

    Raises:
        UsageError: it is none.
    """
    found = _SELECTOR.fullmatch(text)
    if found is None or not found[1]:
        raise UsageError(
            f"{text[:120]!r} does not name a Prometheus series",
            fix='write NAME or NAME{LABEL="VALUE"}, such as tokens_total{model="a"}; a query needs `url`',
        )
    labels = []
    for name, operator, value in _LABELS.findall(found[2] or ""):
        plain = _plain(value)
        if operator in ("=~", "!~"):
            try:
                re.compile(plain)
            except re.error as error:
                raise UsageError(
                    f"{plain[:80]!r} is no regular expression", where=text[:120], why=str(error)
                ) from error
        labels.append((name, operator, plain))
    return Selector(found[1], tuple(labels))


def find(text: str, wanted: Selector) -> Found:
    """The samples of a page of Prometheus text that fit. What is not a number there is not taken for one."""
    samples: list[Sample] = []
    kinds: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("#"):
            kind = _TYPE.match(line)
            if kind is not None:
                kinds[kind[1]] = kind[2]
            continue
        if not line.lstrip().startswith(wanted.name):
            continue
        found = _SAMPLE.match(line.lstrip())
        if found is None or found[1] != wanted.name or not _fits(found[2] or "", wanted):
            continue
        try:
            value = float(found[3])
        except ValueError:
            continue
        if math.isfinite(value):
            samples.append(Sample(found[2] or "", value))
    return Found(tuple(samples), _counts(wanted.name, kinds))


def _counts(name: str, kinds: dict[str, str]) -> bool:
    if name in kinds:
        return kinds[name] == "counter"
    for ending in _PARTS_THAT_COUNT:
        kind = kinds.get(name.removesuffix(ending), "")
        if name.endswith(ending) and kind in ("counter", "histogram", "summary"):
            return True
    return False


def _fits(labels: str, wanted: Selector) -> bool:
    if not wanted.labels:
        return True
    there = {name: _plain(value) for name, _, value in _LABELS.findall(labels)}
    return all(_agrees(there.get(name, ""), operator, value) for name, operator, value in wanted.labels)


def _agrees(there: str, operator: str, wanted: str) -> bool:
    if operator in ("=", "!="):
        return (there == wanted) == (operator == "=")
    return (re.fullmatch(wanted, there, re.DOTALL) is not None) == (operator == "=~")


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda found: "\n" if found[1] == "n" else found[1], text) if "\\" in text else text
