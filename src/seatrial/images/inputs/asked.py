"""What uv is asked for an image: requirement files with gaps where something has to be built first."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - msgspec reads the annotation

import msgspec

from seatrial.images.inputs.model import Unbuilt  # noqa: TC001 - msgspec reads the annotation


class Gap(msgspec.Struct, frozen=True):
    """A requirement that becomes the wheel that is built of it. `bare`: what it needs is asked for elsewhere."""

    unbuilt: Unbuilt
    extras: tuple[str, ...] = ()
    marker: str = ""
    bare: bool = False


class Draft(msgspec.Struct, frozen=True):
    """A requirement file as it is written for uv: `name` in a private folder, and its text."""

    name: str
    parts: tuple[str | Gap, ...]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the files of an image ask for.

    `requirements` name the drafts that uv is given (others are included by them). `placed` are requirements with the
    index that they alone come from. `hashes` (normalised name → sha256) bind when `hashed`. `no_binary` and `only_binary`
    are normalised names or `:all:`. `pins` are `name==version`. `files` were read, so their content decides.
    """

    requirements: tuple[str, ...] = ()
    drafts: tuple[Draft, ...] = ()
    constraints: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    placed: tuple[tuple[str, str], ...] = ()
    index: str = ""
    extra_indexes: tuple[str, ...] = ()
    find_links: tuple[str, ...] = ()
    no_index: bool = False
    no_deps: bool = False
    hashed: bool = False
    hashes: dict[str, frozenset[str]] = {}
    no_binary: frozenset[str] = frozenset()
    only_binary: frozenset[str] = frozenset()
    pins: frozenset[str] = frozenset()
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    def __add__(self, other: Asked) -> Asked:
        """Both together, as one command with several files."""
        names = {*self.hashes, *other.hashes}
        return Asked(
            requirements=self.requirements + other.requirements,
            drafts=self.drafts + other.drafts,
            constraints=self.constraints + other.constraints,
            overrides=self.overrides + other.overrides,
            placed=self.placed + other.placed,
            index=other.index or self.index,
            extra_indexes=tuple(dict.fromkeys(self.extra_indexes + other.extra_indexes)),
            find_links=tuple(dict.fromkeys(self.find_links + other.find_links)),
            no_index=self.no_index or other.no_index,
            no_deps=self.no_deps or other.no_deps,
            hashed=self.hashed or other.hashed,
            hashes={
                name: self.hashes.get(name, frozenset()) | other.hashes.get(name, frozenset())
                for name in names
            },
            no_binary=self.no_binary | other.no_binary,
            only_binary=self.only_binary | other.only_binary,
            pins=self.pins | other.pins,
            files=tuple(dict.fromkeys(self.files + other.files)),
            notes=tuple(dict.fromkeys(self.notes + other.notes)),
        )

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What has to be built before uv can be asked."""
        return tuple(part for draft in self.drafts for part in draft.parts if isinstance(part, Gap))
