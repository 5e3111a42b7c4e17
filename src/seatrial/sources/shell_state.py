"""What is known while the commands of a shell text are read: variables, functions, and how sure each place is to run."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.sources.shell_expand import expand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from seatrial.sources.dockerfile_text import Joined
    from seatrial.sources.shell_model import Assignment, Redirect, ShellCommand

Status = bool | Literal["assumed"] | None
"""Whether a command succeeds: known, assumed because it is no test, or None where it cannot be told."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a command's surroundings say of it; the fields are those of `ShellCommand`."""

    certain: bool = True
    ignored: bool = False
    scope: tuple[int, ...] = ()
    reads: bool = False
    writes: bool = False
    captured: bool = False
    broken: bool = False
    redirects: tuple[Redirect, ...] = ()
    depth: int = 0

    def having(self, **changes: object) -> Context:
        """The same with these changes."""
        return msgspec.structs.replace(self, **changes)


class State:
    """What is shared by a text and the texts inside it. `touched`: the variables set in each part that may not run."""

    def __init__(self, variables: dict[str, str]) -> None:
        self.variables = variables
        self.found: list[ShellCommand] = []
        self.functions: dict[str, tuple[Joined, Node]] = {}
        self.called: set[str] = set()
        self.running: list[str] = []
        self.scopes = 0
        self.touched: list[set[str]] = []

    def remember(self, assignments: tuple[Assignment, ...]) -> None:
        """The values that variables have now; of one whose value is not known, that it is not."""
        for one in assignments:
            value = expand(one.value, self.variables)
            before = self.variables.get(one.name) if one.append else ""
            if value.unknown or before is None or one.value.raw.startswith("("):
                self.forget(one.name)
            else:
                self.variables[one.name] = before + value.text
                self.touch(one.name)

    def forget(self, name: str) -> None:
        """The value of a variable is no longer known."""
        self.variables.pop(name, None)
        self.touch(name)

    def touch(self, name: str) -> None:
        for touched in self.touched[-1:]:
            touched.add(name)

    @contextmanager
    def guarded(self, *, unsure: bool) -> Iterator[None]:
        """After what was not sure to run, the variables that it set are no longer known."""
        self.touched.append(set())
        yield
        touched = self.touched.pop()
        if unsure:
            for name in touched:
                self.variables.pop(name, None)
        if self.touched:
            self.touched[-1] |= touched


def after(operator: str, before: Status, result: Status) -> Status:
    """The status of a chain after one more link that may have run."""
    if operator == "&&":
        return None if before is None else result
    if operator == "||":
        if before == "assumed":
            return "assumed"
        if before is None:
            return "assumed" if result in (True, "assumed") else None
    return result
