"""An application specification as its rules see it, and how they say what they found."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from seatrial.deployments.appspec.reading import Reading, read
from seatrial.deployments.appspec.ruby import is_truthy, value_of
from seatrial.findings import Edit, Fix
from seatrial.sources.edits import edited
from seatrial.sources.text import Source, finding
from seatrial.sources.tree import Node  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from seatrial.findings import Finding, Severity


class Beside(msgspec.Struct, frozen=True):
    """What lies around a file: its `folder`, how far up the project goes, and how other files are read by their path."""

    folder: Path
    depth: int
    read: Callable[[str], Source | None]


class Look(msgspec.Struct, frozen=True, dict=True):
    """A file that is YAML and a mapping. `beside` is None where only the text is known."""

    source: Source
    reading: Reading
    root: Node
    beside: Beside | None = None

    @cached_property
    def hooks(self) -> tuple[tuple[Node, Node], ...]:
        """The events of a file for hosts, with what stands there."""
        node = value_of(self.root, "hooks")
        return tuple(node.entries) if node is not None else ()

    @cached_property
    def scripts(self) -> tuple[tuple[Node, Node], ...]:
        """Every script that is a mapping, after the key of its event."""
        return tuple(
            (event, one)
            for event, listed in self.hooks
            if listed.kind == "sequence"
            for one in listed.items
            if one.kind == "mapping"
        )

    @cached_property
    def mappings(self) -> tuple[Node, ...]:
        """The items of `files` that are mappings."""
        return self._items("files")

    @cached_property
    def permissions(self) -> tuple[Node, ...]:
        """The items of `permissions` that are mappings."""
        return self._items("permissions")

    def _items(self, key: str) -> tuple[Node, ...]:
        node = value_of(self.root, key)
        if node is None or node.kind != "sequence":
            return ()
        return tuple(one for one in node.items if one.kind == "mapping")

    def at(
        self,
        rule: str,
        severity: Severity,
        node: Node,
        message: str,
        *,
        cause: str = "",
        source: str = "",
        fix: Fix | None = None,
    ) -> Finding:
        """A finding about a node."""
        place = self.source.place(node.start, max(node.end, node.start))
        return finding(f"appspec/{rule}", severity, place, message, cause=cause, source=source, fix=fix)

    def replace(self, node: Node, text: str, title: str, *, safe: bool) -> Fix:
        """Put a text in the place of a node; what is quoted stays quoted, if it does not become a number."""
        quote = self.source.text[node.start : node.start + 1]
        if quote in ("'", '"') and text[0] not in "'\"" and not text.replace(".", "").isdigit():
            text = f"{quote}{text}{quote}"
        return Fix(title=title, safe=safe, edits=(edit(self.source, node.start, node.end, text),))

    def helps(self, fix: Fix | None) -> Fix | None:
        """The fix, if AWS has one reason less to refuse the file with it."""
        after = self.after(fix)
        if after is None or any(one.rule == "source/yaml-syntax" for one in after.refusals):
            return None
        return fix if len(after.refusals) < len(self.reading.refusals) else None

    def harmless(self, fix: Fix | None) -> Fix | None:
        """The fix, if AWS has no reason more to refuse the file with it."""
        after = self.after(fix)
        return fix if after is not None and len(after.refusals) <= len(self.reading.refusals) else None

    def after(self, fix: Fix | None) -> Reading | None:
        """What the file would say with a fix; None without one, and when enough were tried.

        Each trial reads the whole file, so a large file with a thousand mistakes is mended in several rounds.
        """
        if fix is None or self._trials[0] <= 0:
            return None
        self._trials[0] -= 1
        return read_after(self.source, self.reading, fix)

    @cached_property
    def _trials(self) -> list[int]:
        """How many are left."""
        return [min(max(_READ_AT_MOST // (len(self.source.text) + 1), _FEWEST), _MOST)]


_READ_AT_MOST = 120_000
"""Characters."""
_FEWEST, _MOST = 4, 60


def read_after(source: Source, reading: Reading, fix: Fix) -> Reading:
    """What a file would say with a fix, read for the same platform."""
    spans = tuple((source.offset(one.start), source.offset(one.end), one.text) for one in fix.edits)
    return read(edited(source, spans), reading.platform, host=reading.host)


def edit(source: Source, start: int, end: int, text: str) -> Edit:
    """Replace what stands between two offsets of a file."""
    return Edit(path=source.path, start=source.position(start), end=source.position(end), text=text)


def is_block(source: Source, node: Node) -> bool:
    """Whether a collection is written without brackets."""
    return source.text[node.start : node.start + 1] not in ("{", "[")


def lines_of(source: Source, key: Node, value: Node) -> range:
    """The lines that an entry of a block mapping stands on."""
    first = source.position(key.start)[0]
    last = source.position(max(value.end - 1, key.start))[0]
    return range(first, max(last, first) + 1)


def shifted(source: Source, lines: range, width: int) -> tuple[Edit, ...]:
    """Move lines to the right, or with a negative `width` to the left as far as they have spaces."""
    edits = []
    for number in lines:
        text, start = source.line(number), source.starts[number - 1]
        if not text.strip():
            continue
        if width > 0:
            edits.append(edit(source, start, start, " " * width))
        elif text[:-width].isspace() or not text[:-width].strip(" "):
            edits.append(edit(source, start, start - width, ""))
    return tuple(edits)


def holds(node: Node | None) -> bool:
    """Whether a value stands there that Ruby takes for one."""
    return is_truthy(node)
