"""Installed versions against the lock, and every distribution's requirements (what `pip check` would say)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images.testing.model import Check, Subject, failed, passed, skipped
from seatrial.images.testing.python import normalize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.testing.python import Distribution, Python


def check_versions(subject: Subject) -> Iterator[Check]:
    """What the lock names is installed, in that version."""
    if subject.lock is None:
        yield skipped("versions", "no lock was given")
        return
    if subject.python is None and subject.trouble is not None:
        yield skipped("versions", subject.no_python())
        return
    if subject.python is None:
        yield failed(
            "versions", "there is a lock, but the image has no Python", "take a base that has Python"
        )
        return
    installed = {d.name: d.version for d in subject.python.distributions}
    wrong = []
    for name, version in sorted(subject.lock.items()):
        found = installed.get(normalize(name))
        if found is None:
            wrong.append(f"{name}=={version} is locked but not installed")
        elif not _same(found, version):
            wrong.append(f"{name} is {found}, the lock says {version}")
    if wrong:
        message = (
            wrong[0] if len(wrong) == 1 else f"{len(wrong)} distributions differ from the lock: {wrong[0]}"
        )
        yield failed("versions", message, "assemble the image again from the lock", wrong)
    else:
        yield passed("versions", f"{len(subject.lock)} distributions are as locked")


def check_dependencies(subject: Subject) -> Iterator[Check]:
    """Every requirement of an installed distribution is met. The operating system's own are not asked."""
    if subject.python is None:
        yield skipped("dependencies", subject.no_python())
        return
    installed = {d.name: d for d in subject.python.distributions}
    asked = [d for d in subject.python.distributions if not d.system]
    unmet = [line for d in asked for line in _unmet(d, installed, subject.python)]
    if unmet:
        message = unmet[0] if len(unmet) == 1 else f"{len(unmet)} requirements are not met: {unmet[0]}"
        yield failed("dependencies", message, "change the pin that is in the way and lock again", unmet)
    elif asked:
        yield passed("dependencies", f"the requirements of {len(asked)} distributions are met")
    else:
        yield skipped("dependencies", "no distributions are installed beside the system's")


def _unmet(distribution: Distribution, installed: dict[str, Distribution], python: Python) -> Iterator[str]:
    from packaging.requirements import InvalidRequirement, Requirement

    who = f"{distribution.name} {distribution.version}"
    for text in distribution.requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue  # pip ignores what it cannot read, too
        if requirement.marker and not requirement.marker.evaluate({**python.markers, "extra": ""}):
            continue
        found = installed.get(normalize(requirement.name))
        if found is None:
            yield f"{who} needs {requirement.name}{requirement.specifier}, which is not installed"
        elif not requirement.specifier.contains(found.version, prereleases=True):
            yield f"{who} needs {requirement.name}{requirement.specifier}, but {found.version} is installed"


def _same(left: str, right: str) -> bool:
    from packaging.version import InvalidVersion, Version

    try:
        return Version(left) == Version(right)
    except InvalidVersion:
        return left == right
