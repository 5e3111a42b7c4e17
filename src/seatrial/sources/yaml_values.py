"""From the parser's nodes to plain values with places.

Scalars are typed as YAML 1.1 says, except that dates and binary data stay text and a tag nobody knows
(`!Ref`, `!vault`) leaves its value as it is. Keys are always text: `on:`, `NO:` and `1:` are what they say. An alias is the same node again, so a document that expands to
gigabytes stays small.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from seatrial.sources.text import Source, SourceError, finding
from seatrial.sources.tree import Document, Duplicate, Node

if TYPE_CHECKING:
    from collections.abc import Callable

_STANDARD = "tag:yaml.org,2002:"
_MERGE = f"{_STANDARD}merge"
_DEEPEST = 200


class TooDeepError(Exception):
    """Nesting beyond the limit, at `offset`."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


class _Work:
    """What is known while one document is read."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.done: dict[int, Node] = {}
        self.open: set[int] = set()
        self.duplicates: list[Duplicate] = []


def build(source: Source, root: Any) -> Document:
    """Read a composed PyYAML node.

    Raises:
        SourceError: an alias holds itself, or a key is a collection.
        TooDeepError: collections are nested too deep.
    """
    work = _Work(source)
    node = _node(work, root, 0)
    return Document(source, node, tuple(work.duplicates))


def _node(work: _Work, raw: Any, depth: int) -> Node:
    identity = id(raw)
    known = work.done.get(identity)
    if known is not None:
        return known
    start, end = raw.start_mark.index, raw.end_mark.index
    if raw.id == "scalar":
        node = Node("scalar", start, end, _scalar(raw.tag, raw.value), raw.value, raw.tag)
    else:
        if identity in work.open:
            raise _wrong(work, start, "an alias refers to the collection that it is part of")
        if depth > _DEEPEST:
            raise TooDeepError(start)
        work.open.add(identity)
        node = _mapping(work, raw, depth) if raw.id == "mapping" else _sequence(work, raw, depth)
        work.open.discard(identity)
    work.done[identity] = node
    return node


def _sequence(work: _Work, raw: Any, depth: int) -> Node:
    items = [_node(work, item, depth + 1) for item in raw.value]
    end = raw.end_mark.index
    if not raw.flow_style and items:
        end = _own_end(raw, items[-1], raw.value[-1])
    return Node(
        "sequence", raw.start_mark.index, end, [item.value for item in items], tag=raw.tag, items=items
    )


def _mapping(work: _Work, raw: Any, depth: int) -> Node:
    entries: list[tuple[Node, Node]] = []
    merged: list[Node] = []
    for raw_key, raw_value in raw.value:
        if raw_key.id != "scalar":
            raise _wrong(work, raw_key.start_mark.index, "a mapping's key must be a single value")
        value = _node(work, raw_value, depth + 1)
        if raw_key.tag == _MERGE:
            merged += _merge(work, value)
        else:
            entries.append((_node(work, raw_key, depth + 1), value))
    end = raw.end_mark.index
    if not raw.flow_style and raw.value:
        end = _own_end(raw, _node(work, raw.value[-1][1], depth + 1), raw.value[-1][1])
    plain: dict[str, Any] = {}
    for other in reversed(merged):
        plain.update(other.value)
    _find_duplicates(work, entries)
    for key, value in entries:
        plain[key.text] = value.value
    return Node("mapping", raw.start_mark.index, end, plain, tag=raw.tag, entries=entries, merged=merged)


def _own_end(raw: Any, last: Node, raw_last: Any) -> int:
    """A block collection ends with its last value, not with the blank lines and comments that follow.

    An alias as the last value is written elsewhere: then the parser's mark has to do.
    """
    end: int = raw.end_mark.index
    inside = raw.start_mark.index <= raw_last.start_mark.index <= end
    return min(end, last.end) if inside else end


def _merge(work: _Work, value: Node) -> list[Node]:
    sources = value.items if value.kind == "sequence" else [value]
    for source in sources:
        if source.kind != "mapping":
            raise _wrong(work, source.start, "`<<` needs a mapping or a list of mappings")
    return list(sources)


def _find_duplicates(work: _Work, entries: list[tuple[Node, Node]]) -> None:
    seen: dict[str, Node] = {}
    for key, _ in entries:
        first = seen.setdefault(key.text, key)
        if first is not key:
            work.duplicates.append(
                Duplicate(
                    key.text,
                    work.source.place(first.start, first.end),
                    work.source.place(key.start, key.end),
                )
            )


def _wrong(work: _Work, offset: int, message: str) -> SourceError:
    return SourceError(finding("source/yaml-syntax", "error", work.source.place(offset), message))


def _scalar(tag: str, text: str) -> Any:
    read = _READ.get(tag)
    if read is None:
        return text
    try:
        return read(text)
    except (ValueError, OverflowError, KeyError):
        # `!!int x`, `0b_`, ten thousand digits: text is what it is.
        return text


def _integer(text: str) -> int:
    plain = text.replace("_", "")
    sign = -1 if plain.startswith("-") else 1
    plain = plain.lstrip("+-")
    if plain.startswith(("0b", "0x")):
        return sign * int(plain, 0)
    if ":" in plain:
        return sign * int(_sexagesimal(plain))
    return sign * int(plain, 8 if plain.startswith("0") and plain != "0" else 10)


def _real(text: str) -> float:
    plain = text.replace("_", "").lower()
    sign = -1.0 if plain.startswith("-") else 1.0
    plain = plain.lstrip("+-")
    if plain in (".inf", ".nan"):
        return sign * float(plain[1:])
    return sign * (_sexagesimal(plain) if ":" in plain else float(plain))


def _sexagesimal(text: str) -> float:
    total = 0.0
    for part in text.split(":"):
        total = total * 60 + float(part)
    return total


def _boolean(text: str) -> bool:
    return {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}[text.lower()]


def _nothing(text: str) -> None:
    if text.lower() not in ("", "~", "null"):
        raise ValueError(text)


_READ: dict[str, Callable[[str], Any]] = {
    f"{_STANDARD}int": _integer,
    f"{_STANDARD}float": _real,
    f"{_STANDARD}bool": _boolean,
    f"{_STANDARD}null": _nothing,
}
