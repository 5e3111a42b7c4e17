"""One line of a log without colours, time stamps and prefixes, and the source it comes from."""

from __future__ import annotations

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
_SOURCES = tuple(
    re.compile(pattern)
    for pattern in (
        r"\[(?P<source>(?:default|rank|Rank|RANK|worker|pod/)[\w./-]*)\] ?:?\s*",
        r"\[(?P<source>\d+,\d+)\]<std(?:out|err)>: ?",
        r"(?P<source>#\d+) (?:\d+\.\d{1,3} |(?=(?:ERROR|CANCELED|DONE|CACHED|\[|sha256:|transferring))|)",
        r"(?P<source>[A-Za-z0-9][\w.@/-]{0,62}?)\s*\| ",
        r"(?P<source>\d{1,4}): (?=\S)",
        r"(?:==>|   ) (?P<source>[a-z][\w-]*\.[\w.-]+): ?",
        r"(?P<source>pod/[\w./-]+)[: ] ?",
        r"(?P<source>[\w ()./,-]{1,80})\t[^\t]{1,80}\t(?=\ufeff?\d{4}-\d\d-\d\dT)",
    )
)
_MARKS = re.compile(
    r"\ufeff|##\[[a-z]+\]|::(?:error|warning|notice)(?: [^:]*)?::|[│╷╵] ?|=> => # |\d{1,5}\.\d{3} (?=\S)"
)
_JSON = re.compile(r'\{"log":"(?P<text>(?:[^"\\]|\\.)*)"')


class Line(NamedTuple):
    """What a line says, and which of the interleaved sources says it ("" when there is one only)."""

    source: str
    text: str


def clean(raw: bytes) -> Line:
    """Take a line apart. Bytes that are no UTF-8 become replacement characters; tabs inside stay."""
    if b"\x1b" in raw:
        raw = ANSI.sub(b"", raw)
    text = raw.decode("utf-8", "replace").rstrip()
    if text.startswith('{"log":'):
        text = _docker(text)
    source, position = "", 0
    for _ in range(_LONGEST_PREFIX):
        match = _TIMES.match(text, position) or _MARKS.match(text, position)
        if not match and (
            match := _SYSLOG.match(text, position) or (None if source else _source(text, position))
        ):
            source = match["source"] or source
        if not match or match.end() == position:
            break
        position = match.end()
    rest = text[position:]
    return Line(
        source.strip(), "".join(c for c in rest if c == "\t" or c >= " ") if not rest.isprintable() else rest
    )


def _source(text: str, position: int) -> re.Match[str] | None:
    for pattern in _SOURCES:
        if match := pattern.match(text, position):
            return match
    return None


def _docker(text: str) -> str:
    """A line of Docker's json-file log driver."""
    match = _JSON.match(text)
    if not match:
        return text
    try:
        return (
            match["text"]
            .encode()
            .decode("unicode_escape")
            .encode("latin-1", "replace")
            .decode("utf-8", "replace")
            .rstrip()
        )
    except UnicodeDecodeError:
        return match["text"]
