"""What a check says: rule, place, cause, fix. Everything static in Seatrial yields these."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")

Position = tuple[int, int]
"""Line and column, 1-based, counted in code points."""


class Place(msgspec.Struct, frozen=True):
    """From `start` up to but not including `end`, in the file `path`."""

    path: str
    start: Position
    end: Position

    @property
    def line(self) -> int:
        return self.start[0]

    @property
    def column(self) -> int:
        return self.start[1]

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}"


class Edit(msgspec.Struct, frozen=True, kw_only=True):
    """Replace the text from `start` up to but not including `end` by `text`.

    `path` is relative to the folder that was checked, with forward slashes.
    """

    path: str
    start: Position
    end: Position
    text: str


class Fix(msgspec.Struct, frozen=True, kw_only=True):
    """Edits that belong together. `safe` ones cannot break what works and are applied by `--fix`."""

    title: str
    safe: bool
    edits: tuple[Edit, ...]


class Finding(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One answer of one rule.

    `severity`: error, it will fail; warning, likely to fail or dangerous; note, worth knowing.
    `fix` is the best alternative; `alternatives` are others, best first.
    """

    rule: str
    severity: Severity
    path: str
    line: int
    column: int
    message: str
    cause: str = ""
    source: str = ""
    fix: Fix | None = None
    alternatives: tuple[Fix, ...] = ()


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One thing Seatrial knows how to find. `id` is `area/name`; `source` says where the fact comes from."""

    id: str
    severity: Severity
    title: str
    explanation: str
    source: str
    example: str = ""
