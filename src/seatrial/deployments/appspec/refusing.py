"""Gathering refusals while a file is read on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from seatrial.deployments.appspec.refusals import SPEC
from seatrial.deployments.appspec.ruby import RubyError, each
from seatrial.sources.text import finding

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.findings import Finding, Place
    from seatrial.sources.text import Source
    from seatrial.sources.tree import Node

T = TypeVar("T")


class Refusing:
    """The refusals of one file, in the order in which its reader meets them."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.findings: list[Finding] = []

    def place(self, node: Node | None) -> Place:
        """Where a node is; the beginning of the file where there is none."""
        if node is None:
            return self.source.place(0, 0)
        return self.source.place(node.start, max(node.end, node.start))

    def say(
        self, rule: str, node: Node | None, message: str, *, cause: str = "", missing: Node | None = None
    ) -> None:
        """Note a refusal at a node. Where a key is `missing` from a mapping, the place is where the mapping begins."""
        place = self.source.place(missing.start, missing.start) if missing is not None else self.place(node)
        self.findings.append(finding(f"appspec/{rule}", "error", place, message, cause=cause, source=SPEC))

    def every(self, items: Node, read: Callable[[Node], T | None]) -> tuple[T, ...]:
        """What `read` gives for each item; of a mapping, whose pairs are no items, the first tells enough.

        Raises:
            RubyError: the value is nothing that Ruby walks over.
        """
        found = []
        for one in each(items):
            before = len(self.findings)
            found.append(self.attempt(partial(read, one)))
            if items.kind == "mapping" and len(self.findings) > before:
                break
        return tuple(one for one in found if one is not None)

    def attempt(self, read: Callable[[], T]) -> T | None:
        """What `read` gives, or None where the agent would end with an error of Ruby's, which is then noted."""
        try:
            return read()
        except RubyError as error:
            self.say(
                "shape", error.node, error.args[0], cause="the agent fails here with an error of its own"
            )
            return None
