"""Semantic versions: reading, comparing, and which one comes next after some commits.

Sources: semver.org 2.0.0; conventionalcommits.org 1.0.0. Before 1.0.0 nothing is promised: what would be a major
change makes a minor version there, and 1.0.0 is only made when asked for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

Bump = Literal["major", "minor", "patch"]

_NUMBER = r"(?:0|[1-9][0-9]*)"
_VERSION = re.compile(
    rf"[vV]?(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER})"
    r"(?:-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*))?(?:[+_](?P<build>[0-9A-Za-z.-]+))?"
)
_HEADER = re.compile(r"(?P<type>[A-Za-z]+)(?:\([^()]*\))?(?P<breaking>!)?: \S")
_FOOTER = re.compile(r"^BREAKING[ -]CHANGE: \S", re.MULTILINE)


class Version(NamedTuple):
    """`pre` are the identifiers after the dash: empty for a release. Build metadata counts for nothing and is dropped."""

    major: int
    minor: int
    patch: int
    pre: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        return text + (f"-{'.'.join(self.pre)}" if self.pre else "")

    @property
    def order(self) -> tuple[object, ...]:
        """By what versions are compared: a release is above its pre-releases, numbers are below words."""
        pre = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.pre)
        return self.major, self.minor, self.patch, not self.pre, pre


class Commit(NamedTuple):
    """A commit's id and whole message."""

    id: str
    message: str

    @property
    def subject(self) -> str:
        return self.message.strip().partition("\n")[0]


def read(text: str) -> Version | None:
    """The version that a tag such as `v1.2.3` or `1.2.3-rc.1` names; None when it names none."""
    found = _VERSION.fullmatch(text)
    if found is None:
        return None
    pre = tuple(found["pre"].split(".")) if found["pre"] else ()
    if any(len(part) > 1 and part.isdigit() and part.startswith("0") for part in pre):
        return None
    return Version(int(found["major"]), int(found["minor"]), int(found["patch"]), pre)


def sort_key(text: str) -> tuple[object, ...]:
    """For sorting tags by version; those that are none come below, by name."""
    version = read(text)
    if version is None:
        partial = re.fullmatch(rf"[vV]?({_NUMBER})(?:\.({_NUMBER}))?", text)
        if partial is None:
            return (0, (), text)
        # `1.4` floats over all of 1.4: it stands above them.
        parts = [int(part) for part in partial.groups() if part is not None]
        return (1, (*parts, *[float("inf")] * (3 - len(parts)), True, ()), text)
    return (1, version.order, text)


def needed(commits: Iterable[Commit]) -> tuple[Bump, Commit | None]:
    """How large a step the commits ask for, and the one that asks for the most."""
    largest: tuple[Bump, Commit | None] = ("patch", None)
    for commit in commits:
        header = _HEADER.match(commit.subject)
        if (header and header["breaking"]) or _FOOTER.search(commit.message):
            return "major", commit
        if header and header["type"].lower() == "feat" and largest[0] == "patch":
            largest = "minor", commit
    return largest


def after(last: Version, bump: Bump, *, asked: bool = False) -> Version:
    """The release that follows. `asked`: a person wants exactly this step, so that 0.y.z may become 1.0.0."""
    if bump == "major" and last.major == 0 and not asked:
        bump = "minor"
    if bump == "major":
        return Version(last.major + 1, 0, 0)
    if bump == "minor":
        return Version(last.major, last.minor + 1, 0)
    return Version(last.major, last.minor, last.patch + 1)
