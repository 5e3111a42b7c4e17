"""The JSON Schema of seatrial.yaml, made from the types that read it."""

from __future__ import annotations

from typing import Any, cast

import msgspec
from msgspec import inspect

from seatrial.config import model
from seatrial.config.decode import SHORTHANDS, removable

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema() -> dict[str, Any]:
    """The schema, for editors and for whoever writes the file by program."""
    definitions: dict[str, Any] = {}
    root = _struct(cast("inspect.StructType", inspect.type_info(model.Config)), definitions)
    return {
        "$schema": DIALECT,
        "title": "seatrial.yaml",
        **root,
        "$defs": dict(sorted(definitions.items())),
    }


def _struct(kind: inspect.StructType, definitions: dict[str, Any]) -> dict[str, Any]:
    properties = {}
    for one in kind.fields:
        described = _type(one.type, definitions)
        if removable(one):
            reference, words = {"$ref": described.pop("$ref")}, described
            described = {"anyOf": [reference, {"type": "null"}], **words}
        default = _default(one)
        properties[one.encode_name] = described if default is None else {**described, "default": default}
    shape = {
        "type": "object",
        "description": (kind.cls.__doc__ or "").strip(),
        "additionalProperties": False,
        "properties": properties,
    }
    required = [one.encode_name for one in kind.fields if one.required]
    if required:
        shape["required"] = required
    if kind.cls is model.Base:
        shape["oneOf"] = [{"required": [name]} for name in ("debian", "oci", "registry")]
    return shape


def _default(one: inspect.Field) -> Any:
    value = one.default
    if value is msgspec.NODEFAULT or value is None or isinstance(value, msgspec.Struct) or value == ():
        return None
    return msgspec.to_builtins(value, builtin_types=()) if not isinstance(value, tuple) else list(value)


def _type(kind: inspect.Type, definitions: dict[str, Any]) -> dict[str, Any]:
    match kind:
        case inspect.Metadata():
            return {**_type(kind.type, definitions), **(kind.extra_json_schema or {})}
        case inspect.UnionType():
            kinds = [_type(one, definitions) for one in kind.types if not isinstance(one, inspect.NoneType)]
            return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        case inspect.StructType():
            return _reference(kind, definitions)
        case inspect.DictType():
            return _dictionary(kind, definitions)
        case inspect.VarTupleType():
            least = {"minItems": kind.min_length} if kind.min_length else {}
            return {"type": "array", "items": _type(kind.item_type, definitions), **least}
    return _scalar(kind)


def _dictionary(kind: inspect.DictType, definitions: dict[str, Any]) -> dict[str, Any]:
    names = _type(kind.key_type, definitions)
    names.pop("type", None)
    return {
        "type": "object",
        "additionalProperties": _type(kind.value_type, definitions),
        **({"propertyNames": names} if names else {}),
    }


def _reference(kind: inspect.StructType, definitions: dict[str, Any]) -> dict[str, Any]:
    name = kind.cls.__name__
    if name not in definitions:
        definitions[name] = {}  # taken, so that a type may contain itself
        definitions[name] = _struct(kind, definitions)
    reference = {"$ref": f"#/$defs/{name}"}
    shorthand = SHORTHANDS.get(kind.cls)
    if shorthand is None:
        return reference
    text = {"type": "string", "pattern": shorthand[0].pattern, "description": shorthand[0].description}
    return {"anyOf": [text, reference]}


def _scalar(kind: inspect.Type) -> dict[str, Any]:
    if isinstance(kind, inspect.LiteralType):
        return {"enum": list(kind.values)}
    names = {"StrType": "string", "IntType": "integer", "FloatType": "number", "BoolType": "boolean"}
    limits = {
        "ge": "minimum",
        "gt": "exclusiveMinimum",
        "le": "maximum",
        "lt": "exclusiveMaximum",
        "pattern": "pattern",
        "min_length": "minLength",
        "max_length": "maxLength",
    }
    found = {word: getattr(kind, limit, None) for limit, word in limits.items()}
    return {
        "type": names[type(kind).__name__],
        **{word: limit for word, limit in found.items() if limit is not None},
    }
