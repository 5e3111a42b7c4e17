"""One package that a project file asks for, with the place where it does."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - msgspec reads the annotation

import msgspec

from seatrial.images.inputs.asked import Asked, Draft, Gap
from seatrial.images.inputs.locations import Location  # noqa: TC001 - msgspec reads the annotation


class Need(msgspec.Struct, frozen=True, kw_only=True):
    """A package by its normalised name, wanted for the target. `index` is the address of the only index it comes from.

    `location` is where it lies when not on an index. `where` is `file:line:column`.
    """

    name: str
    specifier: str = ""
    extras: tuple[str, ...] = ()
    index: str = ""
    location: Location | None = None
    where: str = ""

    @property
    def line(self) -> str:
        """As a line of a requirement file."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        return f"{self.name}{extras}{self.specifier}"


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What a pyproject.toml says. `installed`: the project itself goes into the image, with `extras`.

    `complete` is false where only the project's build knows what it depends on. `python` is its `requires-python`.
    """

    path: Path
    name: str = ""
    needs: tuple[Need, ...] = ()
    installed: bool = False
    complete: bool = True
    packaged: bool = False
    extras: tuple[str, ...] = ()
    python: str = ""
    index: str = ""
    extra_indexes: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def asked_of(name: str, needs: tuple[Need, ...], *, first: tuple[Gap, ...] = ()) -> Asked:
    """The needs as a draft called `name`, after what is built `first`."""
    parts: list[str | Gap] = [part for gap in first for part in (gap, "\n")]
    placed: list[tuple[str, str]] = []
    notes: list[str] = []
    for need in needs:
        if need.location is not None and need.location.unbuilt is not None:
            unbuilt = need.location.unbuilt
            parts += [Gap(unbuilt, need.extras), "\n"]
            if unbuilt.editable:
                notes.append(
                    f"{need.where}: the image gets a copy of {need.name or unbuilt.url}, not a link to it"
                )
        elif need.location is not None:
            extras = f"[{','.join(need.extras)}]" if need.extras else ""
            parts.append(f"{need.name}{extras} @ {need.location.url}\n")
        elif need.index:
            placed.append((need.line, need.index))
        else:
            parts.append(f"{need.line}\n")
    pins = frozenset(need.line for need in needs if need.specifier.startswith("=="))
    return Asked(
        requirements=(name,),
        drafts=(Draft(name, tuple(parts)),),
        placed=tuple(placed),
        pins=pins,
        notes=tuple(notes),
    )
