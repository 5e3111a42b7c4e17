"""What Go's readers of YAML and JSON make of values, where that is not what is made of them here.

Sources: gopkg.in/yaml.v2, resolve.go and decode.go; Go's encoding/json and strconv.ParseInt.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from seatrial.config.tree import Listing, Scalar, Table, at

_NUMBERS = frozenset({"exitCode", "uid", "gid"})
_WORDS = frozenset({"args", "command", "entrypoint", "cmd"})
_OCTAL = re.compile(r"^([-+]?)0([0-7]+)$")


def yaml(table: Table) -> Table:
    """Whole numbers in any base, also such as 0.0; and a word without a value, which is an empty one."""
    read: Table = _read(table)
    return read


def _read(node: Any, key: str = "", *, listed: bool = False) -> Any:
    if isinstance(node, Table):
        return Table(tuple((name, _read(value, name.text)) for name, value in node.entries), node.place)
    if isinstance(node, Listing):
        return Listing(tuple(_read(item, key, listed=True) for item in node.items), node.place)
    if key in _NUMBERS and node.kind in ("integer", "number"):
        return _whole(node)
    if listed and key in _WORDS and node.kind == "null":
        return msgspec.structs.replace(node, text="", kind="text")
    return node


def _whole(node: Scalar) -> Scalar:
    plain = node.text.replace("_", "")
    try:
        value = float(plain) if node.kind == "number" else int(_OCTAL.sub(r"\g<1>0o\g<2>", plain), 0)
    except ValueError:
        return node
    if value != value or value in (float("inf"), float("-inf")) or value != int(value):  # noqa: PLR0124 - no number
        return node
    return msgspec.structs.replace(node, text=str(int(value)), kind="integer")


def json(table: Table) -> Table:
    """Any case of letters, and zeros where nothing is said.

    Defaults for files (they exist, whoever owns them) are those of the YAML reader alone. `isDirectory`, which the
    first files of version 1.0.0 had, is a key that the JSON reader passes over.
    """
    table = _respelt(table, _spelling())
    listed = at(table, ("fileExistenceTests",))
    version = table.get("schemaVersion")
    if not isinstance(listed, Listing):
        return table
    zeros = {"shouldExist": ("false", "boolean")}
    old = not isinstance(version, Scalar) or version.text != "2.0.0"
    if not old:
        zeros |= {"uid": ("0", "integer"), "gid": ("0", "integer")}
    items = tuple(
        _filled(_without(item, "isdirectory") if old else item, zeros) if isinstance(item, Table) else item
        for item in listed.items
    )
    return table.replaced("fileExistenceTests", Listing(items, listed.place), listed.place)


def _without(table: Table, key: str) -> Table:
    return Table(tuple(entry for entry in table.entries if entry[0].text.lower() != key), table.place)


def _filled(table: Table, zeros: dict[str, Any]) -> Table:
    for name, (text, kind) in zeros.items():
        if table.get(name) is None:
            table = table.replaced(name, Scalar(text, kind, table.place), table.place)
    return table


def _respelt(node: Any, spelt: dict[str, str]) -> Any:
    if isinstance(node, Listing):
        return Listing(tuple(_respelt(item, spelt) for item in node.items), node.place)
    if not isinstance(node, Table):
        return node
    entries = tuple(
        (Scalar(spelt.get(key.text.lower(), key.text), "text", key.place), _respelt(value, spelt))
        for key, value in node.entries
    )
    return Table(entries, node.place)


def _spelling() -> dict[str, str]:
    from seatrial.images.testing.declared import structure

    kinds = [
        one for one in vars(structure).values() if isinstance(one, type) and issubclass(one, structure.Struct)
    ]
    names = {name.lower(): name for kind in kinds for name in kind.__struct_encode_fields__}
    # In Go the field has another name than in YAML.
    return {**names, "tty": "allocateTty"}
