"""What is wrong with an application specification, or will surprise: one module for each family of rules.

An error is what AWS refuses, or what must fail. What AWS takes and may well work is a warning or a note.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from seatrial.deployments.appspec.reading import read
from seatrial.deployments.appspec.rules import clouds, keys, placing, refusable, refused, scripts, values
from seatrial.deployments.appspec.rules.look import Look
from seatrial.sources.text import finding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.deployments.appspec.reading import Reading
    from seatrial.deployments.appspec.rules.look import Beside
    from seatrial.findings import Finding, Rule
    from seatrial.sources.text import Source


class RuleModule(Protocol):
    """A family of rules."""

    RULES: tuple[Rule, ...]

    def check(self, look: Look, /) -> Iterable[Finding]:
        """What it finds in a file that is a mapping."""


SERVER: tuple[RuleModule, ...] = (keys, values, placing, scripts)
CLOUD: tuple[RuleModule, ...] = (clouds,)

RULES: tuple[Rule, ...] = (
    *refusable.RULES,
    *(rule for module in (*SERVER, *CLOUD) for rule in module.RULES),
)


def check(source: Source, reading: Reading | None = None, beside: Beside | None = None) -> list[Finding]:
    """Everything that is known to be wrong with an application specification, refusals first.

    `reading` is what `read` gave for it; `beside` is what lies around the file, where that is known.
    """
    reading = reading or read(source)
    if reading.root is None or reading.root.kind != "mapping":
        return refused.unreadable(source, reading) if reading.refusals else []
    look = Look(source, reading, reading.root, beside)
    found = refused.explained(look)
    if any(one.rule == "appspec/other-file" for one in found):
        return found
    for one in reading.duplicates:
        told = f"the key {one.key!r} is given twice; the first is on line {one.first.line}"
        cause = "this value counts, and the first is dropped without a word"
        found.append(finding("source/duplicate-key", "warning", one.again, told, cause=cause))
    for module in SERVER if reading.platform == "server" else CLOUD:
        found += module.check(look)
    return found
