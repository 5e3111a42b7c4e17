"""Looking into a YAML tree the way CodeBuild's agent does: by what stands there, not by what type it was given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.builds.model import Text

if TYPE_CHECKING:
    from seatrial.sources.text import Source
    from seatrial.sources.tree import Node

Entry = tuple["Node", "Node"]
"""A key and its value."""

_YES = frozenset({"yes", "true", "on", "y", "1"})


def children(node: Node | None) -> dict[str, Entry]:
    """A mapping's entries by key, the later of two with the same key, `<<` included; empty for anything else."""
    if node is None or not (node.entries or node.merged):
        return {}
    if not node.merged:
        return {entry[0].text: entry for entry in node.entries}
    found: dict[str, Entry] = {}
    for other in reversed(node.merged):
        found.update(children(other))
    found.update({key.text: (key, value) for key, value in node.entries})
    return found


def child(node: Node | None, *path: str) -> Node | None:
    """The value at a path of keys."""
    for key in path:
        if node is None:
            return None
        node = _value(node, key)
    return node


def _value(node: Node, key: str) -> Node | None:
    for name, value in reversed(node.entries):
        if name.text == key:
            return value
    for other in node.merged:
        found = _value(other, key)
        if found is not None:
            return found
    return None


def is_empty(node: Node | None) -> bool:
    """Whether nothing stands there: `key:` with no value, `~`, or no such key."""
    return node is None or (node.kind == "scalar" and node.value is None)


def word(node: Node | None) -> str:
    """A scalar's text as written; empty for nothing and for collections."""
    if node is None or node.kind != "scalar" or node.value is None:
        return ""
    return node.text


def flag(node: Node | None) -> bool:
    """A yes/no value, with or without quotes."""
    return word(node).strip().lower() in _YES


def text(source: Source, node: Node) -> Text:
    """A scalar's text and place."""
    return Text(word(node), source.place(node.start, node.end))


def texts(source: Source, node: Node | None) -> tuple[Text, ...]:
    """The scalars of a list; one scalar alone counts as a list of one, an empty item does not count."""
    if node is None:
        return ()
    items = node.items if node.kind == "sequence" else [node]
    return tuple(text(source, one) for one in items if one.kind == "scalar" and not is_empty(one))


def words(node: Node | None) -> tuple[str, ...]:
    """Like `texts`, without places."""
    if node is None:
        return ()
    items = node.items if node.kind == "sequence" else [node]
    return tuple(word(one) for one in items if one.kind == "scalar" and not is_empty(one))


def table(source: Source, node: Node | None) -> dict[str, Text]:
    """A mapping of scalars. What is no scalar has an empty text."""
    return {name: text(source, value) for name, (_, value) in children(node).items()}


def plain_table(node: Node | None) -> dict[str, str]:
    """Like `table`, without places."""
    return {name: word(value) for name, (_, value) in children(node).items()}
