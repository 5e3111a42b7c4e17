"""Plain values that know where they were written: what the YAML and JSON readers give."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.findings import Place
    from seatrial.sources.text import Source

Step = str | int
"""A mapping's key or a sequence's index."""


class Node(msgspec.Struct):
    """One value. `start` and `end` are offsets; `text` is a scalar's text before it was given a type.

    `tag` is an explicit or resolved YAML tag, empty for JSON. `entries` are a mapping's keys and values in
    the order of the file, `items` a sequence's values, `merged` what `<<` brings in, nearest first.
    """

    kind: Literal["mapping", "sequence", "scalar"]
    start: int
    end: int
    value: Any = None
    text: str = ""
    tag: str = ""
    entries: list[tuple[Node, Node]] = []
    items: list[Node] = []
    merged: list[Node] = []


class Duplicate(msgspec.Struct, frozen=True):
    """A key that a mapping has twice; readers that accept that take the later one."""

    key: str
    first: Place
    again: Place


class Document(msgspec.Struct, frozen=True):
    """One document. `value` holds dicts with text as keys, lists, strings, numbers, booleans and None."""

    source: Source
    root: Node
    duplicates: tuple[Duplicate, ...] = ()

    @property
    def value(self) -> Any:
        return self.root.value

    def node(self, path: Sequence[Step]) -> Node:
        """The value at `path`; keys match by their text, an integer also by its digits.

        Raises:
            KeyError: there is no such value.
        """
        return self._entry(path)[1]

    def has(self, path: Sequence[Step]) -> bool:
        """Whether there is a value at `path`."""
        try:
            self._entry(path)
        except KeyError:
            return False
        return True

    def place(self, path: Sequence[Step] = ()) -> Place:
        """Where the value at `path` is. Raises KeyError when there is none."""
        node = self.node(path)
        return self.source.place(node.start, node.end)

    def key_place(self, path: Sequence[Step]) -> Place:
        """Where the key of the value at `path` is; for a sequence's item, the item itself."""
        key, value = self._entry(path)
        node = key or value
        return self.source.place(node.start, node.end)

    def nearest_place(self, path: Sequence[Step]) -> Place:
        """Where `path` is, or the key of the deepest part of it that exists."""
        for length in range(len(path), 0, -1):
            if self.has(path[:length]):
                return self.key_place(path[:length])
        return self.source.place(self.root.start)

    def text(self, path: Sequence[Step]) -> str:
        """The text of the scalar at `path` as written: `0644` stays `0644`. Quotes and escapes are resolved."""
        return self.node(path).text

    def _entry(self, path: Sequence[Step]) -> tuple[Node | None, Node]:
        key: Node | None = None
        node = self.root
        for step in path:
            found = _child(node, step)
            if found is None:
                raise KeyError(tuple(path))
            key, node = found
        return key, node


def _child(node: Node, step: Step) -> tuple[Node | None, Node] | None:
    if node.kind == "sequence":
        if isinstance(step, int) and -len(node.items) <= step < len(node.items):
            return None, node.items[step]
        return None
    for key, value in reversed(node.entries):
        if key.text == str(step):
            return key, value
    for merged in node.merged:
        found = _child(merged, step)
        if found is not None:
            return found
    return None
