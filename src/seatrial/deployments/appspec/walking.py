"""Looking into the tree of a Lambda or ECS file, whose keys are the same in upper and lower case."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from seatrial.sources.tree import Node

Entry = tuple["Node", "Node"]

# What a template leaves to be filled in: <NAME>, {{NAME}}, ${NAME}, $NAME, %NAME%, __NAME__, [the name of …].
_PLACEHOLDER = re.compile(
    r"<[^<>\n]+>|\{\{.+?\}\}|\$\{[^}\n]+\}|\$\([^)\n]+\)|\$[A-Z_][A-Z0-9_]{2,}\b|%[A-Z_]+%|__[A-Za-z_]+__|^\[.*\]$|.-or-."
)
_NOT_FILLED_IN = re.compile(r"\$LATEST\b")


def entries(node: Node | None) -> dict[str, Entry]:
    """A mapping's entries by key in lower case, the later of two, `<<` included; empty for anything else."""
    if node is None or node.kind != "mapping":
        return {}
    found: dict[str, Entry] = {}
    for one in reversed(node.merged):
        found.update(entries(one))
    found.update({key.text.lower(): (key, value) for key, value in node.entries})
    return found


def word(node: Node | None) -> str:
    """A scalar's text as written; empty for nothing and for collections."""
    if node is None or node.kind != "scalar" or node.value is None:
        return ""
    return node.text


def is_placeholder(text: str) -> bool:
    """Whether something else is to be put in the place of a text, or of a part of it."""
    return _PLACEHOLDER.search(_NOT_FILLED_IN.sub("", text)) is not None
