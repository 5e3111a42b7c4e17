"""Put failures in order: causes before consequences, and each consequence says of what it is one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.images.testing.model import Check

# What can bring down what is behind it: a missing library an import, an import the service.
_RANKS = (
    "libraries",
    "python",
    "versions",
    "dependencies",
    "entrypoint",
    "permissions",
    "settings",
    "imports",
)
_LAST = ("secrets", "vulnerabilities", "size")
_MODULE = re.compile(r"No module named '([^'.]+)")
_FOREIGN = re.compile(r"cannot open shared object|wrong ELF class|invalid ELF header|Exec format error")
_NAME = re.compile(r"^([A-Za-z0-9][\w.-]*?)(?:==| is | [0-9][^ ]* needs )")


def in_order(checks: Iterable[Check]) -> tuple[Check, ...]:
    """Failures first, a consequence right behind its cause; then what passed, then what was skipped."""
    listed = list(checks)
    failures = sorted((c for c in listed if c.status == "fail"), key=_rank)
    marked = [_marked(check, failures[:number]) for number, check in enumerate(failures)]
    ids = {check.id for check in failures}
    done: list[Check] = []
    for check in marked:
        if check.because not in ids:
            done += _with_consequences(check, marked)
    done += [check for check in marked if check not in done]
    return (*done, *(c for c in listed if c.status == "pass"), *(c for c in listed if c.status == "skip"))


def _with_consequences(cause: Check, checks: list[Check], seen: frozenset[str] = frozenset()) -> list[Check]:
    found = [cause]
    for check in checks:
        if check.because == cause.id and check.id not in seen | {cause.id}:
            found += _with_consequences(check, checks, seen | {cause.id})
    return found


def _rank(check: Check) -> int:
    area = check.id.partition(":")[0]
    if area in _LAST:
        return len(_RANKS) + 1
    return _RANKS.index(area) if area in _RANKS else len(_RANKS)


def _marked(check: Check, before: list[Check]) -> Check:
    because = check.because or next((cause.id for cause in before if _brings_down(cause, check)), "")
    if not because:
        return check
    details = (f"a consequence of {because}", *check.details)
    return msgspec.structs.replace(check, because=because, details=details)


def _brings_down(cause: Check, check: Check) -> bool:
    """By the words of both: what the loader, the interpreter or the server said names what is missing."""
    words = "\n".join([check.message, *check.details])
    area, _, name = cause.id.partition(":")
    mine = check.id.partition(":")[0]
    if mine in _LAST or area == mine == "libraries":
        return False
    if area == "libraries" and name == "architecture":
        return mine in ("entrypoint", "python") or bool(_FOREIGN.search(words))
    if area in ("versions", "dependencies"):
        return mine != "entrypoint" and bool(_named(cause) & _touched(check, words))
    said = cause.message.partition("fails: ")[2]
    brought = {
        "python": mine not in ("permissions", "settings", "versions"),
        "libraries": bool(name) and name in words,
        "permissions": "Permission denied" in words or "PermissionError" in words,
        "entrypoint": mine in ("service", "ping", "stop"),
        "imports": mine not in ("imports", "entrypoint") and bool(said) and said in words,
    }
    return brought.get(area, False)


def _named(cause: Check) -> set[str]:
    """The distributions that drifted or are not there."""
    found = (_NAME.match(line) for line in cause.details or (cause.message,))
    absent = (re.search(r"needs ([\w.-]+?)(?:[<>=!~,].*)?, which", line) for line in cause.details)
    return {_plain(match[1]) for match in [*found, *absent] if match}


def _touched(check: Check, words: str) -> set[str]:
    """What a failure is about: the module that did not import, those it did not find, a drifted requirement."""
    area, _, name = check.id.partition(":")
    if area == "dependencies":
        found = re.findall(r"needs ([A-Za-z0-9][\w.-]*)", words)
    else:
        found = _MODULE.findall(words) + re.findall(r"cannot import name '[^']+' from '([^'.]+)", words)
        found += re.findall(r"module '([^'.]+)[^']*' has no attribute", words)
    return {_plain(word) for word in [*found, *([name] if area == "imports" else [])]}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
