"""Settings before they have types: texts, lists and mappings that know where they were said."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["text", "integer", "number", "boolean", "null"]
Said = Literal["file", "environment", "flag", "detected", "default"]


class Place(msgspec.Struct, frozen=True):
    """Who said a value. `name` is the file, the variable, the flag or the file it was detected from.

    `line` and `column` are 1-based, `end_line` and `end_column` exclusive; all 0 outside a file.
    """

    said: Said
    name: str
    line: int = 0
    column: int = 0
    end_line: int = 0
    end_column: int = 0

    def __str__(self) -> str:
        if self.said == "file":
            return f"{self.name}:{self.line}:{self.column}"
        if self.said == "environment":
            return f"environment variable {self.name}"
        if self.said == "default":
            return "default"
        return f"{self.said}: {self.name}" if self.said == "detected" else f"{self.said} {self.name}"


class Scalar(msgspec.Struct, frozen=True):
    """One value. `text` is what was written, without quotes; `kind` is what YAML makes of it.

    Values of variables and flags have no YAML type: `loose` ones may be read as whatever is wanted.
    """

    text: str
    kind: Kind
    place: Place
    loose: bool = False


class Listing(msgspec.Struct, frozen=True):
    items: tuple[Node, ...]
    place: Place


class Table(msgspec.Struct, frozen=True):
    """Keys in the order in which they were written; the last of equal ones counts, as YAML readers do it."""

    entries: tuple[tuple[Scalar, Node], ...]
    place: Place

    def get(self, key: str) -> Node | None:
        for name, value in reversed(self.entries):
            if name.text == key:
                return value
        return None

    def replaced(self, key: str, value: Node, place: Place) -> Table:
        """The same table with `key` set to `value`, in its old position when it has one."""
        if self.get(key) is None:
            return Table((*self.entries, (Scalar(key, "text", place), value)), self.place)
        return Table(
            tuple((name, value if name.text == key else old) for name, old in self.entries), self.place
        )


Node = Scalar | Listing | Table


def at(root: Table, path: tuple[str, ...]) -> Node | None:
    """The node at `path`, or None when nothing was said there."""
    node: Node | None = root
    for key in path:
        if not isinstance(node, Table):
            return None
        node = node.get(key)
    return node


def put(root: Table, path: tuple[str, ...], value: Node) -> Table:
    """The tree with `value` at `path`; tables on the way are made, anything else there is replaced."""
    key, rest = path[0], path[1:]
    if rest:
        inner = root.get(key)
        table = inner if isinstance(inner, Table) else Table((), value.place)
        value = put(table, rest, value)
    return root.replaced(key, value, value.place)
