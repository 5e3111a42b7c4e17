"""A buildspec as its rules see it, and how they say what they found."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from seatrial.builds.nodes import child, children, is_empty, word
from seatrial.builds.reading import Reading, spec
from seatrial.builds.refusals import PHASE_NAMES
from seatrial.findings import Edit, Fix
from seatrial.sources.text import Source, finding
from seatrial.sources.tree import Document, Node  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from seatrial.builds.model import Buildspec
    from seatrial.findings import Finding, Severity

_HEAD = re.compile(r"(?:[&!][^\s]*[ \t]+)*")
_ORDER = ("install", "pre_build", "build", "post_build")


class Command(msgspec.Struct, frozen=True, dict=True):
    """One command: where it stands and its text. `kind` is `commands` or `finally`."""

    source: Source
    phase: str
    kind: str
    index: int
    node: Node
    text: str

    @cached_property
    def begin(self) -> int:
        """The offset of its first character, after an anchor or tag; of the `|`, `>` or quote where there is one."""
        found = _HEAD.match(self.source.text, self.node.start)
        return found.end() if found else self.node.start

    @cached_property
    def style(self) -> str:
        """`|`, `>`, `'`, `"`, or empty for a plain scalar."""
        first = self.source.text[self.begin : self.begin + 1]
        return first if first in ("|", ">", "'", '"') else ""

    @cached_property
    def content(self) -> int:
        """The offset where its text begins."""
        if self.style in ("|", ">"):
            line = self.source.text.find("\n", self.begin)
            return line + 1 if line >= 0 else self.begin
        return self.begin + (1 if self.style else 0)

    def offset(self, index: int) -> int:
        """Where the character `text[index]` stands in the file: white space may be different there, nothing else."""
        wanted = sum(1 for one in self.text[:index] if not one.isspace())
        position, text = self.content, self.source.text
        end = max(self.node.end, position)
        while position < end:
            if not text[position].isspace():
                if wanted == 0:
                    return position
                wanted -= 1
                pair = text[position : position + 2]
                if (self.style == "'" and pair == "''") or (self.style == '"' and pair in ('\\"', "\\\\")):
                    position += 1
            position += 1
        return end

    def line_offset(self, line: int) -> int:
        """Where the first character of a line of its text, counted from 1, stands in the file."""
        index = 0
        for _ in range(line - 1):
            found = self.text.find("\n", index)
            if found < 0:
                break
            index = found + 1
        while index < len(self.text) and self.text[index].isspace():
            index += 1
        return self.offset(index)


class Look(msgspec.Struct, frozen=True, dict=True):
    """A file that is YAML. `spec` is what it would mean if nothing of it were refused."""

    source: Source
    reading: Reading
    document: Document

    @property
    def root(self) -> Node:
        return self.document.root

    @cached_property
    def spec(self) -> Buildspec:
        return self.reading.spec or spec(self.document)

    @cached_property
    def shell(self) -> str:
        """`bash`, `sh`, or the Windows shell that `env.shell` names."""
        return self.spec.env.shell.rsplit("/", 1)[-1] or "sh"

    @cached_property
    def is_posix(self) -> bool:
        """Whether commands run in a Bourne shell; a file for Windows may not say that it is one."""
        return self.shell in ("sh", "bash") and not any(_WINDOWS.search(one.text) for one in self.commands)

    @cached_property
    def phases(self) -> dict[str, tuple[Node, Node]]:
        """The phases with known names, as they run."""
        found = children(child(self.root, "phases"))
        return {name: found[name] for name in _ORDER if name in found and name in PHASE_NAMES}

    @cached_property
    def commands(self) -> tuple[Command, ...]:
        """Every command, as they run."""
        return tuple(
            Command(self.source, phase, kind, index, item, word(item))
            for phase, (_, node) in self.phases.items()
            for kind in ("commands", "finally")
            if (listed := child(node, kind)) is not None
            for index, item in enumerate(listed.items if listed.kind == "sequence" else [listed])
            if item.kind == "scalar" and not is_empty(item)
        )

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
        alternatives: tuple[Fix, ...] = (),
    ) -> Finding:
        """A finding about a node."""
        return self.within(
            rule, severity, (node.start, max(node.end, node.start)), message,
            cause=cause, source=source, fix=fix, alternatives=alternatives,
        )  # fmt: skip

    def within(
        self,
        rule: str,
        severity: Severity,
        span: tuple[int, int],
        message: str,
        *,
        cause: str = "",
        source: str = "",
        fix: Fix | None = None,
        alternatives: tuple[Fix, ...] = (),
    ) -> Finding:
        """A finding about what stands between two offsets."""
        return finding(
            f"buildspec/{rule}", severity, self.source.place(*span), message,
            cause=cause, source=source, fix=fix, alternatives=alternatives,
        )  # fmt: skip

    def edit(self, start: int, end: int, text: str) -> Edit:
        """Replace what stands between two offsets."""
        return edit(self.source, start, end, text)

    def replace(self, node: Node, text: str, title: str, *, safe: bool) -> Fix:
        """Put a text in the place of a node."""
        return Fix(title=title, safe=safe, edits=(self.edit(node.start, node.end, text),))


_WINDOWS = re.compile(
    r"^\s*(?:\$[\w:]+\s*=[^=]|(?:Get|Set|New|Write|Remove|Invoke|Import)-[A-Z]\w+|choco |powershell |cmd /c)",
    re.MULTILINE,
)


def edit(source: Source, start: int, end: int, text: str) -> Edit:
    """Replace what stands between two offsets of a file."""
    return Edit(path=source.path, start=source.position(start), end=source.position(end), text=text)
