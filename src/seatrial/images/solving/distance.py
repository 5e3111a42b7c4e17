"""How far versions are apart, and writing a specifier anew in its own style."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packaging.version import Version

Distance = tuple[int, int, int]
"""Level (0 the same, 1 patch, 2 minor, 3 major), steps on that level, 1 where it is lower."""

MAJOR, MINOR, PATCH = 3, 2, 1


@lru_cache(8192)
def parsed(text: str) -> Version:
    from packaging.version import Version

    return Version(text)


def distance(asked: str, other: str) -> Distance:
    """From the version asked for to another one. What leads to `0.x` counts its second number as minor, as all do."""
    before, after = _numbers(asked), _numbers(other)
    lower = int(parsed(other) < parsed(asked))
    for level, first, second in zip((MAJOR, MINOR), before, after, strict=False):
        if first != second:
            return level, abs(first - second), lower
    if before == after and parsed(asked).public == parsed(other).public:
        return 0, 0, 0
    return PATCH, abs(before[2] - after[2]), lower


def _numbers(text: str) -> tuple[int, int, int]:
    release = (*parsed(text).release, 0, 0, 0)
    return release[0], release[1], release[2]


def nearest(asked: str, versions: Iterable[str], count: int = 3) -> tuple[str, ...]:
    """The `count` final releases nearest to `asked` (pre-releases where it is one itself), lowest first."""
    pre = parsed(asked).is_prerelease
    known = [one for one in versions if pre or not parsed(one).is_prerelease]
    return tuple(sorted(sorted(known, key=lambda one: distance(asked, one))[:count], key=parsed))


def anchor(specifier: str) -> str | None:
    """The version that a specifier is about: of its pin, else of its lower bound, else of its upper one."""
    clauses = _clauses(specifier)
    for operators in (("==", "===", "~="), (">=", ">"), ("<=", "<")):
        for operator, version in clauses:
            if operator in operators:
                bare = version.removesuffix(".*")
                return bare if re.fullmatch(r"[\w.!+-]*\d[\w.!+-]*", bare) and _is_version(bare) else None
    return None


def _is_version(text: str) -> bool:
    from packaging.version import InvalidVersion

    try:
        parsed(text)
    except InvalidVersion:
        return False
    return True


def respecified(specifier: str, version: str) -> str:
    """The specifier changed as little as lets `version` in: `==` stays a pin, a bound stays a bound, at the same precision."""
    clauses = _clauses(specifier)
    if not clauses:
        return f"=={version}"
    return ",".join(dict.fromkeys(filter(None, (_clause(one, was, version) for one, was in clauses))))


def _clause(operator: str, was: str, version: str) -> str:
    from packaging.specifiers import SpecifierSet

    if operator not in ("==", "===") and SpecifierSet(f"{operator}{was}").contains(version, prereleases=True):
        return f"{operator}{was}"
    if operator == "!=":
        return ""
    if operator in ("==", "==="):
        return f"=={_cut(version, was.removesuffix('.*'))}.*" if was.endswith(".*") else f"=={version}"
    if operator == "~=":
        return f"~={_cut(version, was)}"
    if operator == "<":
        return f"<{_after(version, was)}"
    return f"<={version}" if operator == "<=" else f">={version}"


def _cut(version: str, pattern: str) -> str:
    """`version` with as many numbers as `pattern` has."""
    count = len(parsed(pattern).release)
    return ".".join(str(n) for n in (*parsed(version).release, 0, 0, 0)[:count])


def _after(version: str, pattern: str) -> str:
    """The first number after `version` at the precision of `pattern`: `<2` becomes `<3`, `<4.40` becomes `<4.43`."""
    release = [*parsed(version).release, 0, 0, 0][: len(parsed(pattern).release)]
    release[-1] += 1
    return ".".join(map(str, release))


def _clauses(specifier: str) -> list[tuple[str, str]]:
    return re.findall(r"(===|==|~=|!=|<=|>=|<|>)\s*([^\s,]+)", specifier)
