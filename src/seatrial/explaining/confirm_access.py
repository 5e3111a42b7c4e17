"""A denied action: do the policies that stand in the repository allow it."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from seatrial.explaining.confirm_verdict import Verdict, finding
from seatrial.findings import Edit, Fix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.diagnosis.model import Cause

_DENIED = frozenset({"iam-action-denied", "ecr-push-denied"})
_SUFFIXES = (".json", ".yml", ".yaml", ".tf", ".template")
_ACTION = re.compile(
    r"""(?P<quote>["']?)(?P<action>[a-z][a-z0-9-]{1,30}:(?:[A-Z][A-Za-z]*\*?|\*))(?P=quote)(?=\s*(?:[,\]\n#]|$))"""
)
_POLICY = re.compile(r"""["']?\b(?:Action|actions|NotAction)\b["']?\s*[:=]""")


class _Named(NamedTuple):
    path: str
    line: int
    column: int
    action: str
    text: str
    """The whole line."""


def verdict(cause: Cause, repo: Path) -> Verdict:
    """Confirmed when no policy of the repository allows the action; an allowing one may be another role's."""
    action = cause.captures.get("action", "")
    if cause.id not in _DENIED or ":" not in action:
        return Verdict()
    named = list(_named(repo))
    allowing = [one for one in named if allows(one.action, action)]
    if allowing:
        one = allowing[0]
        said = f"this policy names {one.action}: it was not applied, is another role's, or a resource or condition of it does not fit"
        return Verdict("unknown", (finding("action-present", said, path=one.path, line=one.line, column=one.column, severity="note"),))  # fmt: skip
    if not named:
        return Verdict()
    service = action.split(":")[0]
    one = next((one for one in named if one.action.split(":")[0] == service), named[0])
    said = f"no policy here allows {action}"
    return Verdict("yes", (finding("action-absent", said, path=one.path, line=one.line, column=one.column, fix=_fix(one, action)),))  # fmt: skip


def allows(pattern: str, action: str) -> bool:
    """Whether an action of a policy, with * and ?, is this one. IAM compares without case."""
    return fnmatchcase(action.lower(), pattern.lower())


def _fix(one: _Named, action: str) -> Fix:
    """Put the action before one that is there: beside it in a list on one line, else on a line of its own."""
    match = next(match for match in _ACTION.finditer(one.text) if match.start() + 1 == one.column)
    written = f"{match['quote']}{action}{match['quote']}"
    before = one.text[: match.start()]
    if before.strip() in ("", "-"):
        separator = "" if before.strip() == "-" else ","
        edit = Edit(
            path=one.path, start=(one.line, 1), end=(one.line, 1), text=f"{before}{written}{separator}\n"
        )
    elif "[" in before:
        edit = Edit(
            path=one.path, start=(one.line, one.column), end=(one.line, one.column), text=f"{written}, "
        )
    else:
        end = (one.line, match.end() + 1)
        edit = Edit(path=one.path, start=(one.line, one.column), end=end, text=f"[{written}, {match[0]}]")
    return Fix(title=f"allow {action}", safe=False, edits=(edit,))


def _named(repo: Path) -> Iterator[_Named]:
    """Every action that a policy document of the repository names."""
    from seatrial.explaining.confirm_files import files, read

    for path in files(repo):
        if not path.endswith(_SUFFIXES):
            continue
        text = read(repo / path)
        if not _POLICY.search(text):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if line.lstrip().startswith(("#", "//")):
                continue
            for match in _ACTION.finditer(line):
                yield _Named(path, number, match.start() + 1, match["action"], line)
