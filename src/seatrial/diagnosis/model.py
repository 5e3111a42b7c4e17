"""What a signature is, and what an explanation says."""

from __future__ import annotations

from typing import Literal

import msgspec

from seatrial.findings import Finding  # noqa: TC001 - msgspec reads the annotations

Confidence = Literal["high", "medium", "low"]
CONFIDENCES: tuple[Confidence, ...] = ("high", "medium", "low")
Rank = Literal["root", "symptom", "consequence"]
RANKS: tuple[Rank, ...] = ("root", "symptom", "consequence")
Retry = Literal["never", "transient", "after-change"]
Confirmed = Literal["yes", "no", "unknown"]
Outcome = Literal["failed", "succeeded", "unknown"]


class Sequence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Several lines of one source in this order, the last at most `within` lines after the first."""

    lines: tuple[str, ...]
    within: int = 40


class Needs(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What must hold besides the pattern. Empty: nothing is asked.

    `earlier`, `later` and `absent` are regular expressions for one line anywhere before, after, and nowhere in the log.
    `outcome`: how the log must have gone. Without it, a log that went well has no cause.
    """

    earlier: str = ""
    later: str = ""
    absent: str = ""
    phase: tuple[str, ...] = ()
    exit_code: tuple[int, ...] = ()
    outcome: tuple[Outcome, ...] = ()


class Repair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What to do: a sentence, a command that can be copied, and the rule whose finding carries an edit."""

    text: str = ""
    command: str = ""
    rule: str = ""


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How one cause shows in a log. `origin` is the file and line it comes from; see docs/reference/signatures.md."""

    id: str
    service: str
    title: str
    patterns: tuple[str | Sequence, ...]
    cause: str
    fix: Repair
    needs: Needs = Needs()
    retry: Retry = "never"
    rank: Rank = "root"
    follows: tuple[str, ...] = ()
    confidence: Confidence = "medium"
    source: str = ""
    examples: tuple[str, ...] = ()
    counter_examples: tuple[str, ...] = ()
    origin: str = ""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What is known besides the log. `secrets` are values that must not be shown."""

    exit_code: int | None = None
    phase: str = ""
    step: str = ""
    error: str = ""
    secrets: tuple[str, ...] = ()


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the log, from 1; `text` has no colours, time stamps, prefixes or secrets."""

    line: int
    text: str
    source: str = ""


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One answer.

    `count`: how many lines say so; `others`: further lines with other values, a few; `confirmed`: what a look at the
    repository or account says, with `findings` that carry edits.
    """

    id: str
    service: str
    title: str
    cause: str
    fix: str
    confidence: Confidence
    evidence: Evidence
    command: str = ""
    rule: str = ""
    retry: Retry = "never"
    rank: Rank = "root"
    phase: str = ""
    count: int = 1
    others: tuple[Evidence, ...] = ()
    captures: dict[str, str] = {}
    reference: str = ""
    confirmed: Confirmed = "unknown"
    findings: tuple[Finding, ...] = ()


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a log failed, best first. Without causes, `lines` has the most informative lines in their order.

    `follows` are ids that also showed and are consequences; `total` counts lines.
    """

    causes: tuple[Cause, ...] = ()
    lines: tuple[Evidence, ...] = ()
    follows: tuple[str, ...] = ()
    outcome: Outcome = "unknown"
    phase: str = ""
    exit_code: int | None = None
    total: int = 0
