"""What changed between two sets of tables, and what cannot be right in the new one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from seatrial.images.facts.published import Release, Table, needs
from seatrial.images.facts.versions import key, minor, parsed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from seatrial.images.facts.refresh import Anchor

_MOST_LOST = 0.1
"""A table that loses a larger part of its releases than this is not believed: releases are withdrawn, hardly ever deleted."""


class Change(msgspec.Struct, frozen=True):
    """What is different about one release: a field (`linux`, `requires`, …), or `added`, `removed`."""

    package: str
    version: str
    what: str
    old: str = ""
    new: str = ""


def changes(old: Table | None, new: Table) -> tuple[Change, ...]:
    """Added, changed and removed releases, newest first."""
    before = {one.version: one for one in (old.releases if old else ())}
    after = {one.version: one for one in new.releases}
    found: list[Change] = []
    for version in sorted({*before, *after}, key=parsed, reverse=True):
        if version not in before:
            found.append(Change(new.package, version, "added", new=_brief(after[version])))
        elif version not in after:
            found.append(Change(new.package, version, "removed", old=_brief(before[version])))
        else:
            found += _fields(new.package, before[version], after[version])
    return tuple(found)


def _fields(package: str, before: Release, after: Release) -> Iterator[Change]:
    for field in msgspec.structs.fields(Release):
        left, right = getattr(before, field.name), getattr(after, field.name)
        if left != right:
            yield Change(package, after.version, field.name, _text(left), _text(right))


def _brief(one: Release) -> str:
    return f"{one.uploaded}, {' '.join(one.linux) or 'source only'}"


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def problems(
    old: Mapping[str, Table], new: Mapping[str, Table], anchors: Sequence[Anchor]
) -> tuple[str, ...]:
    """Sentences about what cannot be right; none when the new tables can be used."""
    found: list[str] = []
    for name, table in new.items():
        found += _shrunk(old.get(name), table)
    for anchor in anchors:
        if anchor.name in new:
            found += _anchored(new[anchor.name], anchor)
    return (*found, *contradictions(new))


def _shrunk(old: Table | None, new: Table) -> Iterator[str]:
    if old is None or not old.releases:
        if not new.releases:
            yield f"{new.package}: the index has no release"
        return
    kept = {one.version for one in new.releases}
    lost = [one.version for one in old.releases if one.version not in kept]
    if len(lost) > _MOST_LOST * len(old.releases):
        yield f"{new.package}: {len(lost)} of {len(old.releases)} releases are gone, among them {lost[0]}"
    unread = sum(one.requires is None for one in new.releases) - sum(
        one.requires is None for one in old.releases
    )
    if unread > _MOST_LOST * len(old.releases):
        yield f"{new.package}: the metadata of {unread} releases could not be read any more"


def _anchored(table: Table, anchor: Anchor) -> Iterator[str]:
    one = _find(table, anchor.version)
    if one is None:
        yield f"{anchor.name} {anchor.version} is missing"
    elif one.requires is None or not any(line.split(";")[0].strip() == anchor.needs for line in one.requires):
        yield f"{anchor.name} {anchor.version} does not say that it needs {anchor.needs}"


def contradictions(tables: Mapping[str, Table]) -> tuple[str, ...]:
    """Where the hand-kept facts say something else than the metadata in `tables`."""
    from seatrial.images.facts.pairing import built

    found: list[str] = []
    if "torch" in tables:
        found += _torch_builds(tables["torch"])
    for row in built():
        one = _find(tables[row.package], row.version) if row.package in tables else None
        said = None if one is None else needs(one, "torch")
        if said is not None and not said.contains(row.torch):
            found.append(
                f"libraries.yaml has {row.package} {row.version} built with torch {row.torch}, metadata says {said}"
            )
    return tuple(found)


def _torch_builds(table: Table) -> Iterator[str]:
    """The default CUDA version also follows from the CUDA packages that the metadata pins."""
    from seatrial.images.facts.torch import default_cuda

    for one in table.releases:
        said = default_cuda(one.version)
        pinned = _cuda_of(one)
        if said and pinned and said != pinned:
            yield f"torch.yaml has CUDA {said} as the default of torch {one.version}, its metadata {pinned}"


def _cuda_of(one: Release) -> str:
    for name in ("nvidia-cuda-runtime-cu12", "nvidia-cuda-runtime-cu11", "cuda-toolkit"):
        for clause in needs(one, name) or ():
            if clause.operator == "==":
                return minor(clause.version)
    return ""


def _find(table: Table, version: str) -> Release | None:
    return next((one for one in table.releases if key(one.version) == key(version)), None)
