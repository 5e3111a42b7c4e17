"""The layers of an image before they are made, and why each is a layer of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.images.assemble import groups, layers
from seatrial.images.outputs.records import LayerRecord, hashed
from seatrial.reports.units import counted, size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.assemble.accounts import Ground
    from seatrial.images.assemble.layers import LayerPlan
    from seatrial.images.assemble.source_layer import SourceFile
    from seatrial.images.lock import LockedWheel
    from seatrial.images.probe import Interpreter


class Part(NamedTuple):
    """A layer to be: its plan, why it is a layer, what is remembered of it; `files` of the source with hashes."""

    plan: LayerPlan
    why: str
    record: LayerRecord
    files: dict[str, str]


def ground_part(plan: LayerPlan, ground: Ground) -> Part:
    """Accounts, folders and removals."""
    user = ground.account
    facts = {
        "user": f"{user.name} ({user.uid}:{user.gid})",
        "working folder": ground.workdir,
        "folders": ", ".join(ground.folders),
        "removed files of the base": hashed(ground.removed) if ground.removed else "",
        "accounts of the base": hashed([user.passwd.decode("latin-1"), user.group.decode("latin-1")]),
    }
    why = "the program's account, and folders that it needs"
    if ground.removed:
        why += "; hides what of the base is replaced"
    return _part("ground", plan, why, facts=facts)


def packages_part(
    plan: LayerPlan,
    wheels: tuple[LockedWheel, ...],
    room: int,
    interpreter: Interpreter,
    *,
    half: bool = False,
) -> Part:
    """The installed files of some wheels, or of one half of a very large one."""
    why = f"half of a very large wheel: {size(wheels[0].size)}" if half else _why_together(wheels, room)
    return _part("packages", plan, why, wheels, _group_facts(wheels, room, interpreter))


def bytecode_part(
    plan: LayerPlan, wheels: tuple[LockedWheel, ...], room: int, interpreter: Interpreter
) -> Part:
    """The bytecode of some wheels."""
    why = f"compiled by the image's own Python {interpreter.version}"
    facts = {**_group_facts(wheels, room, interpreter), "Python": interpreter.version}
    return _part("bytecode", plan, why, wheels, facts)


def source_part(
    plan: LayerPlan, files: Sequence[SourceFile], workdir: str, owner: tuple[int, int], mtime: int
) -> Part:
    """The project's own files."""
    hashes = {file.path: file.content for file in files if file.kind == "file"}
    facts = {
        "working folder": workdir,
        "owner": "{}:{}".format(*owner),
        "SOURCE_DATE_EPOCH": str(mtime),
        "executable files": hashed([f.path for f in files if f.kind == "file" and f.mode & 0o111]),
        "folders and links": hashed([(f.path, f.content) for f in files if f.kind != "file"]),
    }  # fmt: skip
    why = f"{counted(len(hashes), 'file')} of the project; last, as they change most"
    return _part("source", plan, why, facts=facts)._replace(files=hashes)


def lazily(part: Part, first: Sequence[str]) -> Part:
    """The same part as a layer that can be pulled lazily; the files of `first` come first in it."""
    plan = layers.lazily(part.plan, first)
    facts = {**part.record.facts, "lazy pulling": f"on {hashed(sorted(set(first)))[:8]}" if first else "on"}
    return part._replace(plan=plan, record=msgspec.structs.replace(part.record, key=plan.key, facts=facts))


def _part(
    kind: str,
    plan: LayerPlan,
    why: str,
    wheels: tuple[LockedWheel, ...] = (),
    facts: dict[str, str] | None = None,
) -> Part:
    record = LayerRecord(kind=kind, key=plan.key, what=plan.what, wheels=wheels, facts=facts or {})
    return Part(plan, why, record, {})


def _why_together(wheels: tuple[LockedWheel, ...], room: int) -> str:
    if len(wheels) == 1 and groups.is_large(wheels[0]):
        return f"alone, as its wheel is large: {size(wheels[0].size)}"
    number, of = groups.shared(wheels[0].name, room)
    return f"small packages, group {number} of {of} by a hash of the name"


def _group_facts(wheels: tuple[LockedWheel, ...], room: int, interpreter: Interpreter) -> dict[str, str]:
    alone = len(wheels) == 1 and groups.is_large(wheels[0])
    group = wheels[0].name if alone else "shared {} of {}".format(*groups.shared(wheels[0].name, room))
    return {"group": group, "folders of the base's Python": hashed(interpreter.scheme)}
