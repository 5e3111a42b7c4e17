"""Findings that were there before: hidden, so that a repository can start with the new ones.

A fingerprint is made of the rule, the path, the text of the line without its spacing, and which of several
equal ones it is. Moving a line, or adding lines around it, does not bring a finding back.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import UsageError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from seatrial.findings import Finding
    from seatrial.sources.text import Source

_VERSION = 1


class Entry(msgspec.Struct, frozen=True):
    """A known finding. Only `fingerprint` counts; the rest is for people who read the file."""

    fingerprint: str
    rule: str
    path: str
    message: str


class Baseline(msgspec.Struct, frozen=True):
    """The file's content."""

    version: int
    findings: tuple[Entry, ...]


def fingerprints(findings: Sequence[Finding], sources: Mapping[str, Source]) -> list[str]:
    """One fingerprint for each finding, in their order."""
    seen: Counter[str] = Counter()
    result = []
    for one in findings:
        source = sources.get(one.path)
        line = " ".join(source.line(one.line).split()) if source else ""
        content = f"{one.rule}\x00{one.path}\x00{line}"
        seen[content] += 1
        result.append(hashlib.sha256(f"{content}\0{seen[content]}".encode()).hexdigest()[:32])
    return result


def read(file: Path) -> frozenset[str]:
    """The fingerprints in a baseline file.

    Raises:
        UsageError: the file is missing or is no baseline.
    """
    try:
        baseline = msgspec.json.decode(file.read_bytes(), type=Baseline)
    except OSError as error:
        raise UsageError(
            f"the baseline cannot be read: {error.strerror}",
            where=str(file),
            fix="make it with `seatrial check --baseline FILE --write-baseline`",
        ) from error
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"this is not a baseline: {error}",
            where=str(file),
            fix="make it again with `seatrial check --baseline FILE --write-baseline`",
        ) from error
    if baseline.version != _VERSION:
        raise UsageError(
            f"the baseline has version {baseline.version}, this Seatrial reads {_VERSION}", where=str(file)
        )
    return frozenset(entry.fingerprint for entry in baseline.findings)


def write(file: Path, findings: Sequence[Finding], sources: Mapping[str, Source]) -> None:
    """Make the findings known; sorted, so that two runs give the same file.

    Raises:
        SeatrialError: the file cannot be written.
    """
    marks = fingerprints(findings, sources)
    entries = [
        Entry(mark, one.rule, one.path, one.message) for mark, one in zip(marks, findings, strict=True)
    ]
    entries.sort(key=lambda entry: (entry.path, entry.rule, entry.fingerprint))
    data = msgspec.json.format(msgspec.json.encode(Baseline(_VERSION, tuple(entries))), indent=2)
    write_atomic(file, data + b"\n")


def hide(
    findings: Sequence[Finding], sources: Mapping[str, Source], known: Iterable[str]
) -> tuple[list[Finding], int]:
    """Findings that are not known, and how many were hidden."""
    known = frozenset(known)
    marks = fingerprints(findings, sources)
    fresh = [one for mark, one in zip(marks, findings, strict=True) if mark not in known]
    return fresh, len(findings) - len(fresh)
