"""Settings from variables and flags, laid over those of the file."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import inspect

from seatrial.config import model
from seatrial.config.decode import shape
from seatrial.config.nearest import nearest
from seatrial.config.tree import Listing, Node, Place, Scalar, Table, put
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Path = tuple[str, ...]
PREFIX = "SEATRIAL_"


class Flag(NamedTuple):
    """A value given on the command line, with the option as its user typed it (`--platform`)."""

    option: str
    value: Any


class Slot(NamedTuple):
    """A setting that a variable or flag can give."""

    path: Path
    type: inspect.Type


def slots(said: Table) -> list[Slot]:
    """Every single setting of the project: for named things, those that exist in `said`."""
    return list(_walk(shape(model.Config), (), said))


def _walk(kind: inspect.Type, path: Path, said: Node | None) -> Iterator[Slot]:
    bare = _bare(kind)
    if isinstance(bare, inspect.StructType):
        if bare.cls is model.Base:
            yield Slot(path, kind)
        for one in bare.fields:
            inner = said.get(one.encode_name) if isinstance(said, Table) else None
            yield from _walk(one.type, (*path, one.encode_name), inner)
    elif isinstance(bare, inspect.DictType):
        for name, value in said.entries if isinstance(said, Table) else ():
            yield from _walk(bare.value_type, (*path, name.text), value)
    elif not (
        isinstance(bare, inspect.VarTupleType) and isinstance(_bare(bare.item_type), inspect.StructType)
    ):
        yield Slot(path, kind)


def _bare(kind: inspect.Type) -> inspect.Type:
    while True:
        if isinstance(kind, inspect.Metadata):
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            kind = next(one for one in kind.types if not isinstance(one, inspect.NoneType))
        else:
            return kind


def variable(path: Path) -> str:
    """The variable of a setting: `images.api.base` is SEATRIAL_IMAGES_API_BASE."""
    return PREFIX + re.sub(r"[^A-Za-z0-9]", "_", "_".join(path)).upper()


def with_environment(said: Table, environ: Mapping[str, str]) -> Table:
    """`said` with the settings that variables give.

    Raises:
        UsageError: a variable begins like a setting of this project and is none.
    """
    known = {variable(slot.path): slot.path for slot in slots(said)}
    for name in sorted(environ):
        path = known.get(name)
        if path is not None:
            said = put(said, path, Scalar(environ[name], "text", Place("environment", name), loose=True))
        elif _is_meant(name, said):
            near = nearest(
                name.removeprefix(PREFIX).lower(), [one.removeprefix(PREFIX).lower() for one in known]
            )
            raise UsageError(
                f"the environment variable {name} is no setting of this project",
                fix=f"did you mean {PREFIX}{near.word.upper()}?"
                if near
                else "`--explain-config` lists the settings",
            )
    return said


def _is_meant(name: str, said: Table) -> bool:
    """Whether a variable belongs to a section with fixed names, or to an image or service that exists."""
    if name.startswith((PREFIX + "CHECK_", PREFIX + "SHIP_")):
        return True
    for section in ("images", "services"):
        table = said.get(section)
        names = [key.text for key, _ in table.entries] if isinstance(table, Table) else []
        if any(name.startswith(variable((section, one)) + "_") for one in names):
            # Names of free-form variables cannot be told from a slip once they are in capitals.
            return not any(f"_{word}_" in name for word in ("ENV", "LABELS", "VERIFY", "INFERENCE"))
    return False


def with_flags(said: Table, flags: Mapping[str, Any]) -> Table:
    """`said` with the settings that flags give: dotted setting → value, or `Flag` with the option's own name.

    A value of None means that the flag was not given.
    `*` as the name of an image or service means each one there is.

    Raises:
        UsageError: there is no such setting.
    """
    for dotted, given in flags.items():
        option, value = given if isinstance(given, Flag) else (f"--set {dotted}", given)
        if value is None:
            continue
        for path in _meant(dotted, said):
            said = put(said, path, _node(value, Place("flag", option)))
    return said


def _meant(dotted: str, said: Table) -> list[Path]:
    """The settings that a dotted name means; names of images and labels may have dots of their own."""
    known = {".".join(slot.path): slot.path for slot in slots(said)}
    if "*" in dotted:
        pattern = re.compile(r"[^.]+".join(re.escape(part) for part in dotted.split("*")))
        return [path for name, path in known.items() if pattern.fullmatch(name)]
    if dotted in known:
        return [known[dotted]]
    for table in _open_tables(shape(model.Config), (), said):
        prefix = ".".join(table) + "."
        if dotted.startswith(prefix) and dotted != prefix:
            return [(*table, dotted.removeprefix(prefix))]
    near = nearest(dotted, known)
    hint = f"did you mean {near.word}?" if near else "`--explain-config` lists the settings"
    raise UsageError(f"there is no setting {dotted}", fix=hint)


def _open_tables(kind: inspect.Type, path: Path, said: Node | None) -> Iterator[Path]:
    """The tables whose keys are free: variables and labels."""
    bare = _bare(kind)
    if isinstance(bare, inspect.StructType):
        for one in bare.fields:
            inner = said.get(one.encode_name) if isinstance(said, Table) else None
            yield from _open_tables(one.type, (*path, one.encode_name), inner)
    elif isinstance(bare, inspect.DictType):
        if not isinstance(_bare(bare.value_type), inspect.StructType):
            yield path
        for name, value in said.entries if isinstance(said, Table) else ():
            yield from _open_tables(bare.value_type, (*path, name.text), value)


def _node(value: Any, place: Place) -> Node:
    if isinstance(value, list | tuple):
        return Listing(tuple(_node(one, place) for one in value), place)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return Scalar(text, "text", place, loose=True)
