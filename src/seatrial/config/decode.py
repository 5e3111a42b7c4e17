"""From a tree of settings to typed values, collecting every problem instead of stopping at the first."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import inspect

from seatrial.config import model
from seatrial.config.nearest import nearest
from seatrial.config.tree import Listing, Node, Place, Scalar, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Path = tuple[str, ...]
INVALID: Any = object()

# Mappings that may be written as one text.
SHORTHANDS: dict[type, tuple[model.Shorthand, Callable[[str], dict[str, Any]]]] = {
    model.Base: (model.BASE_SHORTHAND, model.base_from_text),
}


class Problem(NamedTuple):
    """What is wrong at a place. `instead` is what was probably meant, as text to put there."""

    rule: str
    place: Place
    message: str
    key: Path
    instead: str | None = None
    cause: str = ""


class Reference(NamedTuple):
    """A value that names a file or folder; whether it exists is looked up later."""

    kind: str
    name: str
    place: Place
    key: Path


class Decoded(NamedTuple):
    """The value (None when it has problems), where each setting was said, and the files it names."""

    value: Any
    problems: list[Problem]
    origins: dict[Path, Place]
    references: list[Reference]


@cache
def shape(kind: type) -> inspect.Type:
    """How a struct is made; asked once, since many folders may be checked by one process."""
    return inspect.type_info(kind)


def decode(node: Node, kind: type) -> Decoded:
    """Read `node` as the struct `kind`."""
    work = _Decoder()
    value = work.read(node, shape(kind), ())
    return Decoded(None if work.problems else value, work.problems, work.origins, work.references)


class _Decoder:
    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.origins: dict[Path, Place] = {}
        self.references: list[Reference] = []

    def read(self, node: Node, kind: inspect.Type, key: Path, extra: dict[str, Any] | None = None) -> Any:
        """The value of `node` read as `kind`, or INVALID after noting why not."""
        match kind:
            case inspect.Metadata():
                return self.read(node, kind.type, key, {**(extra or {}), **(kind.extra or {})})
            case inspect.UnionType():
                return self.read(node, _alternative(kind, node), key, extra)
            case inspect.StructType():
                return self.struct(node, kind, key)
            case inspect.DictType():
                return self.mapping(node, kind, key)
            case inspect.VarTupleType():
                return self.listing(node, kind, key)
            case _:
                return self.scalar(node, kind, key, extra or {})

    def wrong(self, node: Node, key: Path, wanted: str, **more: Any) -> Any:
        return self.note(
            "config/wrong-type", node.place, key, f"{dotted(key)} must be {wanted}, not {found(node)}", **more
        )

    def note(self, rule: str, place: Place, key: Path, message: str, **more: Any) -> Any:
        self.problems.append(Problem(rule, place, message, key, **more))
        return INVALID

    def struct(self, node: Node, kind: inspect.StructType, key: Path) -> Any:
        shorthand = SHORTHANDS.get(kind.cls)
        if isinstance(node, Scalar):
            if shorthand is not None and node.kind != "null" and re.search(shorthand[0].pattern, node.text):
                self.origins[key] = node.place
                return kind.cls(**shorthand[1](node.text))
            if node.kind == "null" and not node.loose:  # `check:` with nothing below it
                return self.whole(kind, {}, node, key)
        if not isinstance(node, Table):
            return self.wrong(node, key, "a text or a mapping" if shorthand else "a mapping")
        fields = {one.encode_name: one for one in kind.fields}
        values: dict[str, Any] = {}
        seen: set[str] = set()
        for name, value in node.entries:
            if name.text in seen:
                self.note(
                    "config/duplicate-key",
                    name.place,
                    (*key, name.text),
                    f"the key {name.text} is here twice",
                )
            seen.add(name.text)
            if name.text not in fields:
                self.unknown(name, fields, node, key)
                continue
            if isinstance(value, Scalar) and value.kind == "null" and not value.loose:
                if removable(fields[name.text]):
                    values[name.text] = None
                    self.origins[*key, name.text] = value.place
                continue  # any other key without a value keeps its default
            values[name.text] = self.read(value, fields[name.text].type, (*key, name.text))
        return INVALID if INVALID in values.values() else self.whole(kind, values, node, key)

    def whole(self, kind: inspect.StructType, values: dict[str, Any], node: Node, key: Path) -> Any:
        """The struct, after what its fields cannot say one by one."""
        cls = kind.cls
        given = {*values, *_meant(node, kind)}
        missing = [one.encode_name for one in kind.fields if one.required and one.encode_name not in given]
        if missing:
            what = f"{dotted(key) or 'the file'} needs {' and '.join(missing)}"
            return self.note("config/wrong-value", node.place, key, what)
        if any(one.required and one.encode_name not in values for one in kind.fields):
            return INVALID
        if cls is model.Base:
            chosen = [name for name in ("debian", "oci", "registry") if values.get(name)]
            if len(chosen) != 1:
                said = " and ".join(chosen) or "none of them"
                return self.note(
                    "config/wrong-value",
                    node.place,
                    key,
                    f"{dotted(key)} needs exactly one of debian, oci and registry, and has {said}",
                )
        return cls(**{one.name: values[one.encode_name] for one in kind.fields if one.encode_name in values})

    def unknown(self, name: Scalar, known: Iterable[str], table: Table, key: Path) -> None:
        near = nearest(name.text, known)
        free = near is not None and table.get(near.word) is None  # else the rename would make a second one
        hint = f"; the nearest one is {near.word}" if near else f"; there are {', '.join(known)}"
        self.note(
            "config/unknown-key",
            name.place,
            (*key, name.text),
            f"unknown key {name.text!r} in {dotted(key) or 'the file'}{hint}",
            instead=near.word if near and near.sure and free else None,
        )

    def mapping(self, node: Node, kind: inspect.DictType, key: Path) -> Any:
        if not isinstance(node, Table):
            return self.wrong(node, key, "a mapping")
        values: dict[str, Any] = {}
        for name, value in node.entries:
            place = (*key, name.text)
            if name.text in values:
                self.note("config/duplicate-key", name.place, place, f"the key {name.text} is here twice")
            if self.read(name, kind.key_type, place, {"text": True}) is INVALID:
                values[name.text] = INVALID
                continue
            self.origins.pop(place, None)
            values[name.text] = self.read(value, kind.value_type, place)
        return INVALID if INVALID in values.values() else values

    def listing(self, node: Node, kind: inspect.VarTupleType, key: Path) -> Any:
        if isinstance(node, Scalar) and node.loose:
            parts = [part.strip() for part in node.text.split(",")]
            node = Listing(
                tuple(Scalar(part, "text", node.place, loose=True) for part in parts if part), node.place
            )
        if not isinstance(node, Listing):
            return self.wrong(node, key, "a list", **_as_list(node))
        self.origins[key] = node.place
        if len(node.items) < (kind.min_length or 0):
            return self.note("config/wrong-value", node.place, key, f"{dotted(key)} must not be empty")
        values = [
            self.read(item, kind.item_type, (*key[:-1], f"{key[-1]}[{index}]"))
            for index, item in enumerate(node.items)
        ]
        return INVALID if INVALID in values else tuple(values)

    def scalar(self, node: Node, kind: inspect.Type, key: Path, extra: dict[str, Any]) -> Any:
        wanted = _wanted(kind)
        if not isinstance(node, Scalar):
            return self.wrong(node, key, wanted)
        value = _convert(node, kind, text=bool(extra.get("text")))
        if value is INVALID:
            return self.wrong(node, key, wanted, **_as_kind(node, kind))
        refusal = _refusal(value, kind) or _malformed(str(value), extra.get("form"))
        if refusal:
            choices = [str(one) for one in kind.values] if isinstance(kind, inspect.LiteralType) else []
            near = nearest(str(value), choices)
            return self.note(
                "config/wrong-value",
                node.place,
                key,
                f"{dotted(key)} {refusal}, not {node.text!r}",
                instead=near.word if near and near.sure else None,
            )
        self.origins[key] = node.place
        if "exists" in extra:
            self.references.append(Reference(extra["exists"], str(value), node.place, key))
        return value


def removable(field: inspect.Field) -> bool:
    """Whether null takes away what a setting has by default, instead of saying nothing."""
    kind = _plain(field.type)
    return (
        isinstance(field.default, msgspec.Struct)
        and isinstance(kind, inspect.UnionType)
        and kind.includes_none
    )


def _meant(node: Node, kind: inspect.StructType) -> set[str]:
    """What unknown keys of a mapping were probably meant to be: those are spoken of already."""
    if not isinstance(node, Table):
        return set()
    known = [one.encode_name for one in kind.fields]
    near = (nearest(name.text, known) for name, _ in node.entries if name.text not in known)
    return {one.word for one in near if one is not None}


def _alternative(kind: inspect.UnionType, node: Node) -> inspect.Type:
    """Which of several types a value is read as: a list where it is one, else the first that it may be."""
    kinds = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
    many = isinstance(node, Listing) or (isinstance(node, Scalar) and node.loose and "," in node.text)
    lists = [one for one in kinds if isinstance(_plain(one), inspect.VarTupleType)]
    single = [one for one in kinds if one not in lists]
    return (lists or single)[0] if many or not single else single[0]


def _plain(kind: inspect.Type) -> inspect.Type:
    return _plain(kind.type) if isinstance(kind, inspect.Metadata) else kind


def _wanted(kind: inspect.Type) -> str:
    match kind:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType():
            return "a whole number"
        case inspect.FloatType():
            return "a number"
        case inspect.LiteralType():
            return "one of " + ", ".join(str(one) for one in kind.values if one != "")
    return "a text"


def _as_list(node: Node) -> dict[str, str]:
    """How one text becomes a list, when that is evident."""
    if not isinstance(node, Scalar) or node.kind == "null":
        return {}
    if " " in node.text:
        return {"cause": "a list is written [one, two]; there is no shell that splits a text"}
    plain = node.kind == "text" and re.fullmatch(r"[A-Za-z0-9_./-]+", node.text)
    return {"instead": f"[{node.text if plain else quoted(node.text)}]"}


def _as_kind(node: Scalar, kind: inspect.Type) -> dict[str, str]:
    """How a scalar becomes one of the wanted type, when that is evident."""
    if node.place.said != "file" or node.kind == "null":
        return {}
    if isinstance(kind, inspect.StrType):
        return {"instead": quoted(node.text), "cause": "without quotes YAML reads another type"}
    value = _convert(msgspec.structs.replace(node, loose=True), kind, text=False)
    if value is INVALID:
        return {}
    text = str(value).lower() if isinstance(value, bool) else f"{value:g}"
    return {"instead": text, "cause": "YAML reads a text, because of the quotes or the way it is written"}


def _convert(node: Scalar, kind: inspect.Type, *, text: bool) -> Any:
    match kind:
        case inspect.StrType():
            return node.text if text or node.loose or node.kind == "text" else INVALID
        case inspect.LiteralType():
            return node.text
        case inspect.BoolType():
            words = {
                "true": True,
                "yes": True,
                "on": True,
                "1": True,
                "false": False,
                "no": False,
                "off": False,
                "0": False,
            }
            return words.get(node.text.lower(), INVALID) if node.loose or node.kind == "boolean" else INVALID
        case inspect.IntType():
            return _number(node, int, {"integer"})
        case inspect.FloatType():
            return _number(node, float, {"integer", "number"})
    raise NotImplementedError(kind)


def _number(node: Scalar, kind: type[int | float], kinds: set[str]) -> Any:
    if not node.loose and node.kind not in kinds:
        return INVALID
    text = node.text.replace("_", "") if node.kind != "text" else node.text
    try:
        # YAML writes .nan and .inf, which are numbers and out of every range.
        return kind(re.sub(r"^([-+]?)\.(?=nan|inf)", r"\1", text, flags=re.IGNORECASE))
    except ValueError:
        return INVALID


def _refusal(value: Any, kind: inspect.Type) -> str | None:
    """Why a value of the right type is not allowed, else None."""
    match kind:
        case inspect.LiteralType():
            return None if value in kind.values else _wanted(kind).replace("one of", "must be one of")
        case inspect.StrType():
            if kind.pattern is not None and not re.search(kind.pattern, value):
                return f"must match {kind.pattern}"
            if kind.min_length is not None and len(value) < kind.min_length:
                return "must not be empty"
            if kind.max_length is not None and len(value) > kind.max_length:
                return f"must have at most {kind.max_length} characters"
        case inspect.IntType() | inspect.FloatType():
            return _out_of_range(value, kind)
    return None


def _malformed(text: str, form: str | None) -> str | None:
    """Why a text is not written as it must be, else None."""
    if form == "pattern":
        from seatrial.config.patterns import PatternError, compiled

        try:
            compiled(text)
        except PatternError as error:
            return f"must be a regular expression of Go or RE2 ({error})"
    elif form == "json":
        import json

        try:
            json.loads(text)
        except ValueError as error:
            return f"must be JSON ({error})"
    return None


def _out_of_range(value: float, kind: inspect.IntType | inspect.FloatType) -> str | None:
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124 - NaN
        return "must be a finite number"
    if kind.gt is not None and value <= kind.gt:
        return f"must be more than {kind.gt:g}"
    if kind.ge is not None and value < kind.ge:
        return f"must be at least {kind.ge:g}"
    if kind.le is not None and value > kind.le:
        return f"must be at most {kind.le:g}"
    return None


def quoted(text: str) -> str:
    """The text in YAML's single quotes."""
    return "'" + text.replace("'", "''") + "'"


def dotted(key: Path) -> str:
    """`images.api.env.MODE`."""
    return ".".join(key)


def found(node: Node) -> str:
    """What a node is, in words."""
    if isinstance(node, Table):
        return "a mapping"
    if isinstance(node, Listing):
        return "a list"
    names = {
        "text": "the text",
        "integer": "the number",
        "number": "the number",
        "boolean": "the truth value",
    }
    return "nothing" if node.kind == "null" else f"{names[node.kind]} {node.text!r}"
