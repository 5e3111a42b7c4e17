"""Every rule there is. Each capability contributes a tuple of them."""

from __future__ import annotations

import importlib
from functools import cache
from typing import TYPE_CHECKING

from seatrial.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.checking.subject import Subject
    from seatrial.findings import Finding, Rule

# Modules with a tuple `RULES`.
AREAS = (
    "seatrial.sources.rules",
    "seatrial.checking.rules",
    "seatrial.config.check",
    "seatrial.images.rules",
    "seatrial.builds.rules",
    "seatrial.deployments.appspec.rules",
)

# Modules with `check(subjects)`, which see all recognised files at once: rules about one file, then about several.
CHECKS = (
    "seatrial.checking.syntax",
    "seatrial.checking.settings_file",
    "seatrial.checking.images",
    "seatrial.checking.buildspecs",
    "seatrial.checking.appspecs",
)


def run(subjects: Sequence[Subject]) -> list[Finding]:
    """Every finding of every check."""
    return [one for name in CHECKS for one in importlib.import_module(name).check(subjects)]


@cache
def rules() -> dict[str, Rule]:
    """All rules by id, in the order of their ids."""
    found = [rule for area in AREAS for rule in importlib.import_module(area).RULES]
    return {rule.id: rule for rule in sorted(found, key=lambda rule: rule.id)}


def rule(identifier: str) -> Rule:
    """One rule.

    Raises:
        UsageError: there is no such rule; the message names the nearest.
    """
    known = rules()
    if identifier in known:
        return known[identifier]
    near = nearest(identifier)
    raise UsageError(
        f"there is no rule {identifier!r}",
        fix=f"did you mean {near!r}? `seatrial rules` lists them all"
        if near
        else "`seatrial rules` lists them all",
    )


def nearest(identifier: str) -> str | None:
    """The known rule, or `area/*`, that looks most like `identifier`."""
    import difflib

    known = [*rules(), *sorted({f"{name.split('/')[0]}/*" for name in rules()})]
    close = difflib.get_close_matches(identifier, known, n=1, cutoff=0.6)
    if not close and "/" not in identifier:
        close = [name for name in known if name.split("/")[1] == identifier][:1]
    return close[0] if close else None


def matches(pattern: str, identifier: str) -> bool:
    """Whether `pattern` (a rule's id, `area/*` or `*`) covers a rule."""
    if pattern.endswith("*"):
        return identifier.startswith(pattern[:-1])
    return pattern == identifier


def is_known(pattern: str) -> bool:
    """Whether a pattern covers any rule at all."""
    return any(matches(pattern, identifier) for identifier in rules())
