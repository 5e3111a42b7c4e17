"""seatrial.yaml as text, to a tree of settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.config.tree import Kind, Listing, Node, Place, Scalar, Table
from seatrial.findings import Finding

if TYPE_CHECKING:
    from seatrial.sources.text import Source
    from seatrial.sources.tree import Node as Written

_KINDS: dict[str, Kind] = {"int": "integer", "float": "number", "bool": "boolean", "null": "null"}
_LIMIT = 50_000
"""More values than this come from aliases of aliases, not from a person."""


class UnreadableError(Exception):
    """The text is no mapping of settings; `finding` says where and why."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def read_table(path: str, text: str) -> Table:
    """The settings in a file's text; an empty file has none.

    Raises:
        UnreadableError: the text is not YAML, or not a mapping.
    """
    from seatrial.sources import yaml
    from seatrial.sources.text import SourceError

    try:
        document = yaml.read_text(path, text)
    except SourceError as error:
        there = error.finding
        raise UnreadableError(syntax(path, there.line, there.column, there.message, there.cause)) from error
    node = _Reader(document.source).node(document.root)
    if isinstance(node, Scalar) and node.kind == "null":
        return Table((), node.place)
    if not isinstance(node, Table):
        place = node.place
        raise UnreadableError(
            syntax(
                path,
                place.line,
                place.column,
                "the file must be a mapping of settings, such as `images:`",
                "",
            )
        )
    return node


def syntax(path: str, line: int, column: int, message: str, cause: str) -> Finding:
    return Finding(
        rule="config/syntax",
        severity="error",
        path=path,
        line=line,
        column=column,
        message=message,
        cause=cause,
    )


class _Reader:
    def __init__(self, source: Source) -> None:
        self.source = source
        self.count = 0

    def node(self, written: Written) -> Node:
        place = self.place(written)
        self.count += 1
        if self.count > _LIMIT:
            raise UnreadableError(
                syntax(
                    place.name,
                    place.line,
                    place.column,
                    "aliases make this file endless",
                    "an alias contains itself",
                )
            )
        if written.kind == "mapping":
            return self.table(written, place)
        if written.kind == "sequence":
            return Listing(tuple(self.node(item) for item in written.items), place)
        return Scalar(written.text, _KINDS.get(written.tag.rpartition(":")[2], "text"), place)

    def table(self, written: Written, place: Place) -> Table:
        entries = tuple((self.key(key), self.node(value)) for key, value in written.entries)
        names = {key.text for key, _ in entries}
        for merged in written.merged:
            inner = self.node(merged)
            if isinstance(inner, Table):
                new = tuple(entry for entry in inner.entries if entry[0].text not in names)
                names |= {key.text for key, _ in new}
                entries += new
        return Table(entries, place)

    def key(self, written: Written) -> Scalar:
        place = self.place(written)
        if written.kind != "scalar":
            raise UnreadableError(syntax(place.name, place.line, place.column, "a key must be a text", ""))
        return Scalar(written.text, "text", place)

    def place(self, written: Written) -> Place:
        line, column = self.source.position(written.start)
        end_line, end_column = self.source.position(written.end)
        return Place("file", self.source.path, line, column, end_line, end_column)
