"""What is wrong with a buildspec, or will surprise: one module for each family of rules.

An error is what ends the build for certain. What CodeBuild accepts and may well work is a warning or a note.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from seatrial.builds.reading import read
from seatrial.builds.rules import (
    bashisms,
    batches,
    docker,
    duplicates,
    here,
    keys,
    outputs,
    refused,
    runtimes,
    shapes,
    shell,
    state,
    traps,
    variables,
)
from seatrial.builds.rules.look import Look

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.builds.reading import Reading
    from seatrial.findings import Finding, Rule
    from seatrial.sources.text import Source


class RuleModule(Protocol):
    """A family of rules."""

    RULES: tuple[Rule, ...]

    def check(self, look: Look, /) -> Iterable[Finding]:
        """What it finds in a file that is YAML."""


MODULES: tuple[RuleModule, ...] = (
    keys,
    shapes,
    duplicates,
    shell,
    traps,
    state,
    bashisms,
    docker,
    variables,
    outputs,
    runtimes,
    batches,
)

RULES: tuple[Rule, ...] = (
    *refused.RULES,
    *here.RULES,
    *(rule for module in MODULES for rule in module.RULES),
)


def check(source: Source, reading: Reading | None = None) -> list[Finding]:
    """Everything that is known to be wrong with a buildspec, refusals first. `reading` is what `read` gave for it."""
    reading = reading or read(source)
    found = refused.explained(source, reading)
    if reading.document is None or reading.document.root.kind != "mapping":
        return found
    look = Look(source, reading, reading.document)
    for module in MODULES:
        found += module.check(look)
    return found
