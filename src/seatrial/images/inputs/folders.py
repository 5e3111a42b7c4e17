"""Folders that say where their own dependencies come from: those are asked for as well, since their wheels do not say it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.inputs.asked import Asked, Draft, Gap
from seatrial.images.inputs.needs import asked_of
from seatrial.images.inputs.project import read_project
from seatrial.images.inputs.requirement_files import draft_name

if TYPE_CHECKING:
    from seatrial.images.inputs.needs import Reading
    from seatrial.images.inputs.requirement_files import Place


def with_folders(asked: Asked, place: Place) -> Asked:
    """`asked` with what local projects need by `[tool.uv.sources]` or Poetry's path, git and source entries.

    Raises:
        SeatrialError: one of these cannot be read or is not there.
    """
    seen: set[tuple[str, tuple[str, ...]]] = set()
    waiting = list(asked.drafts)
    done: list[Draft] = []
    found = msgspec.structs.replace(asked, drafts=())
    while waiting:
        draft = waiting.pop(0)
        parts: list[str | Gap] = []
        for part in draft.parts:
            reading = _reading(part, place) if isinstance(part, Gap) else None
            if reading is None or not isinstance(part, Gap):
                parts.append(part)
                continue
            parts.append(Gap(msgspec.structs.replace(part.unbuilt, name=reading.name), bare=True))
            if (part.unbuilt.url, part.extras) not in seen:
                seen.add((part.unbuilt.url, part.extras))
                more = asked_of(f"{len(seen)}-{draft_name(reading.path)}", reading.needs)
                waiting += more.drafts
                found += msgspec.structs.replace(more, drafts=())
                found += Asked(files=(reading.path,))
        done.append(Draft(draft.name, tuple(parts)))
    return msgspec.structs.replace(found, drafts=tuple(done))


def _reading(gap: Gap, place: Place) -> Reading | None:
    """What the gap's project says, if it says where something comes from."""
    if gap.bare or gap.unbuilt.kind != "folder":
        return None
    path = Path(gap.unbuilt.url) / gap.unbuilt.subfolder / "pyproject.toml"
    if not path.is_file():
        return None
    reading = read_project(path, place, extras=gap.extras, install=True, lenient=True)
    says = any(need.location is not None or need.index for need in reading.needs)
    return reading if says and reading.complete and reading.name else None
