"""Whether a lock still says what its pyproject.toml asks for. Nothing is resolved for that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.errors import SeatrialError
from seatrial.images.story.requests import normalised

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from seatrial.images.inputs.needs import Need, Reading
    from seatrial.images.story.pyproject import Project


def check_lock(needs: Iterable[Need], locked: Mapping[str, list[str]], lock: Path, command: str) -> None:
    """Raise where the lock lacks what the project asks for, or has it in a version that the project excludes.

    `locked`: name → versions, empty for what lies at a place of its own. `command` writes the lock again.

    Raises:
        SeatrialError: the lock is stale; the place is that of the request.
    """
    from packaging.specifiers import SpecifierSet

    for need in needs:
        versions = locked.get(need.name)
        if versions is None:
            raise _stale(f"{need.name} is not in {lock.name}", need, command)
        known = [one for one in versions if one]
        if need.location is None and known and need.specifier:
            allowed = SpecifierSet(need.specifier)
            if not any(allowed.contains(one, prereleases=True) for one in known):
                raise _stale(f"{lock.name} has {need.name} {known[0]}, not {need.specifier}", need, command)


def _stale(what: str, need: Need, command: str) -> SeatrialError:
    return SeatrialError(
        what, where=need.where, why="the lock is older than what the project asks for",
        fix=f"write the lock again: `{command}`",
    )  # fmt: skip


def changed_needs(content: dict[str, Any], reading: Reading, project: Project, lock: Path) -> tuple[str, ...]:
    """A note where uv.lock was made of other dependencies than the project file now has; it satisfies them all the same."""
    own = next(
        (one for one in content.get("package", ()) if normalised(str(one.get("name", ""))) == reading.name),
        None,
    )
    metadata = own.get("metadata") if isinstance(own, dict) else None
    if not reading.complete or not isinstance(metadata, dict):
        return ()
    before = {
        (normalised(str(one["name"])), _sorted(one.get("specifier", "")))
        for one in metadata.get("requires-dist", ())
    }
    now = {(name, _sorted(specifier)) for name, specifier in _stated(project, reading.name)}
    differ = sorted({name for name, _ in before ^ now})
    if not differ:
        return ()
    what = f"{lock.name} was made before pyproject.toml asked for {', '.join(differ)} as it does now"
    return (f"{what}; it was used as it is (`uv lock` writes it again)",)


def _stated(project: Project, own: str) -> Iterable[tuple[str, str]]:
    from packaging.requirements import InvalidRequirement, Requirement

    table = project.data.get("project", {})
    texts = [*table.get("dependencies", ())]
    for extra in table.get("optional-dependencies", {}).values():
        texts += extra
    for one in texts:
        try:
            requirement = Requirement(one)
        except InvalidRequirement:
            continue
        name = normalised(requirement.name)
        if name != own:
            yield name, str(requirement.specifier)


def _sorted(specifier: str) -> str:
    return ",".join(sorted(part.strip() for part in specifier.split(",") if part.strip()))
