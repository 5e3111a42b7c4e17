"""One line of a log without colours, time stamps and prefixes, and the source it comes from."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

ANSI = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]*(?:\x07|\x1b\\)?|[()*+][0-9A-Za-z]|[=>78cDEHMNOZ])"
)
_LONGEST_PREFIX = 6
"""More prefixes than these on one line are text."""

_DAY = r"\d{4}[-/]\d{2}[-/]\d{2}"
_CLOCK = r"\d{2}:\d{2}:\d{2}(?:[.,]\d{1,9})?"
_ZONE = r"(?: ?(?:Z|UTC|GMT|[+-]\d{2}:?\d{2}))?"
_TIMES = re.compile(
    "|".join((
        rf"\[Container\] {_DAY} {_CLOCK} ?",
        rf"\[?{_DAY}[T _]{_CLOCK}{_ZONE}\]?(?: -(?= ))?[:\s]\s*",
        rf"\[{_CLOCK}\]\s*",
        rf"{_CLOCK}\s+",
        r"\[\s*\d+\.\d{6}\]\s",
        r"\d{13}[\s:]\s*",
        r"[IWEF]\d{4} " + _CLOCK + r"\s+\d+ (?=\S+\.go:\d+\])",
        r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d " + _CLOCK + r"(?: \w+)? \d{4}:?\s+",
        r"std(?:out|err) [FP] ",
        r"time=\"" + _DAY + r"T" + _CLOCK + _ZONE + r"\" ",
    ))
)  # fmt: skip
_SYSLOG = re.compile(
    r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d "
    + _CLOCK
    + r" (?:\S+ (?P<source>[\w./@-]+(?:\[\d+\])?): )?"
)
# The first letters, a text that the line has, and the pattern of a prefix that names a source.
_SOURCES = (
    ("[", "]", re.compile(r"\[(?P<source>(?:default|rank|Rank|RANK|worker|pod/|d-)[\w./*-]*)\] ?:?\s*")),
    ("[", "<std", re.compile(r"\[(?P<source>\d+,\d+)\]<std(?:out|err)>: ?")),
    ("#", "", re.compile(r"(?P<source>#\d+) (?:\d+\.\d{1,3} |)")),
    ("", "| ", re.compile(r"(?P<source>[A-Za-z0-9][\w.@/-]{0,62})\s*\| ")),
    ("0123456789", ": ", re.compile(r"(?P<source>\d{1,4}): (?=\S)")),
    ("= ", ".", re.compile(r"(?:==>|   ) (?P<source>[a-z][\w-]*\.[\w.-]+): ?")),
    ("p", "pod/", re.compile(r"(?P<source>pod/[\w./-]+)[: ] ?")),
    ("", "\t", re.compile(r"(?P<source>[\w ()./,-]{1,80})\t[^\t]{1,80}\t(?=\ufeff?\d{4}-\d\d-\d\dT)")),
)
_MARKS = re.compile(
    r"\ufeff|##\[[a-z]+\]|\[std(?:err|out)\] ?|::(?:error|warning|notice)(?: [^:]*)?::|[│╷╵] ?|=> => # |\d{1,5}\.\d{3} (?=\S)"
)
_JSON = re.compile(r'\{"log":"(?P<text>(?:[^"\\]|\\.)*)"')


class Line(NamedTuple):
    """What a line says, and which of the interleaved sources says it ("" when there is one only)."""

    source: str
    text: str


_TIMED = frozenset("[0123456789IWEFMTSstJANODm")
_MARKED = frozenset("\ufeff[#:│╷╵=0123456789")
_MONTHS = frozenset("JFMASOND")


def clean(raw: bytes) -> Line:
    """Take a line apart. Bytes that are no UTF-8 become replacement characters; tabs inside stay."""
    if b"\x1b" in raw:
        raw = ANSI.sub(b"", raw)
    text = raw.decode("utf-8", "replace").rstrip()
    if text.startswith('{"log":'):
        text = _docker(text)
    source, position = "", 0
    for _ in range(_LONGEST_PREFIX):
        first = text[position : position + 1]
        if not first:
            break
        match = (first in _TIMED and _TIMES.match(text, position)) or (
            first in _MARKED and _MARKS.match(text, position)
        )
        if not match:
            match = (first in _MONTHS and _SYSLOG.match(text, position)) or (
                None if source else _source(text, position)
            )
            source = (match["source"] or source) if match else source
        if not match or match.end() == position:
            break
        position = match.end()
    rest = text[position:]
    if rest.startswith('{"') and rest.endswith("}"):
        rest = _structured(rest)
    if not rest.isprintable():
        rest = "".join(c for c in rest if c == "\t" or c >= " ")
    return Line(source.strip(), rest)


def _source(text: str, position: int) -> re.Match[str] | None:
    for first, inside, pattern in _SOURCES:
        if (not first or text.startswith(tuple(first), position)) and (not inside or inside in text):
            match = pattern.match(text, position)
            if match:
                return match
    return None


def _docker(text: str) -> str:
    """A line of Docker's json-file log driver."""
    match = _JSON.match(text)
    if not match:
        return text
    try:
        return str(json.loads(f'"{match["text"]}"')).rstrip()
    except ValueError:
        return match["text"]


def _structured(text: str) -> str:
    """What a line of JSON says in words, with the error beside it; the line itself where it is no record of a log."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return text
    said = [record[key] for key in _SAID if isinstance(record.get(key), str)][:1]
    why = [record[key] for key in _WHY if isinstance(record.get(key), str)][:1]
    parts = [part.rstrip() for part in (*said, *why) if part.strip()]
    return ": ".join(parts).splitlines()[-1] if parts and (said or "level" in record) else text


_SAID = ("message", "msg", "log", "event")
_WHY = ("error", "err", "exception", "exc_info")
"""Where libraries for structured logs put the words, and the error."""
