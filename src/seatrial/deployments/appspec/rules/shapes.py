"""Repairs of a value that is a list where a mapping is needed, or the other way round: a few are tried."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.deployments.appspec.rules.look import edit, is_block
from seatrial.findings import Fix

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.deployments.appspec.rules.look import Look
    from seatrial.sources.tree import Node

_NAMED = {
    "type": "a list of `file` and `directory`",
    "except": "a list of patterns",
    "acls": "a list of entries",
    "files": "a list of mappings with `source` and `destination`",
    "permissions": "a list of mappings with `object`",
    "hooks": "a mapping of events, each with a list of scripts",
    "timeout": "a number of seconds",
}


def reshape(look: Look, offset: int) -> tuple[str, Fix | None]:
    """What is wrong with the form of the value at an offset, and a repair that helps."""
    parent, key, node = _found(look.root, offset)
    cause = _cause(look, parent, key, node)
    fixes = list(_candidates(look, key, node))
    line = look.source.position(offset)[0]
    best = next((one for one in fixes if look.helps(one) is not None), None)
    return cause, best or next((one for one in fixes if _is_gone(look, one, line)), None)


def _is_gone(look: Look, fix: Fix, line: int) -> bool:
    """Whether nothing is wrong with the form of the line any more; behind it the agent may find more to refuse."""
    after = look.after(fix)
    return after is not None and not any(
        one.rule == "source/yaml-syntax" or (one.rule == "appspec/shape" and one.line == line)
        for one in after.refusals
    )


def _found(root: Node, offset: int) -> tuple[Node | None, Node | None, Node]:
    """The outermost value that begins at an offset and is no mapping with a place of its own, with its key."""
    parent: Node | None = None
    key: Node | None = None
    node = root
    while True:
        inner = next(
            (
                (name, one)
                for name, one in (*node.entries, *((None, item) for item in node.items))
                if one.start <= offset <= max(one.end, one.start)
            ),
            None,
        )
        if inner is None or (node is not root and node.start == offset):
            return parent, key, node
        parent, (key, node) = node, inner


def _cause(look: Look, parent: Node | None, key: Node | None, node: Node) -> str:
    named = key.text if key is not None else ""
    if node is look.root:
        return "the file is no mapping with `version`, `os`, `files` and `hooks`"
    if named in _NAMED:
        return f"`{named}` is {_NAMED[named]}"
    if key is not None and any(key is one for one, _ in look.hooks):
        return f"`{named}` is a list of mappings with `location`"
    if parent is not None and any(parent is one for _, one in look.hooks):
        return "a script is a mapping with `location`"
    return "the agent expects a value of another form here, and fails with an error of Ruby's"


def _candidates(look: Look, key: Node | None, node: Node) -> Iterator[Fix]:
    source = look.source
    if node.kind == "scalar" and node.end > node.start:
        at, end = node.start, node.end
        yield Fix(title="make it a list", safe=True, edits=(
            edit(source, at, at, "["), edit(source, end, end, "]"),
        ))  # fmt: skip
        yield Fix(title="say that it is the location", safe=True, edits=(edit(source, at, at, "location: "),))
        if key is not None:
            yield Fix(title="make it a list of one script", safe=True, edits=(
                edit(source, at, at, "[{location: "), edit(source, end, end, "}]"),
            ))  # fmt: skip
    if node.kind == "mapping" and node.entries:
        yield from _as_item(look, node)


def _as_item(look: Look, node: Node) -> Iterator[Fix]:
    """A mapping as the one item of a list."""
    source = look.source
    if not is_block(source, node):
        yield Fix(title="make it a list", safe=True, edits=(
            edit(source, node.start, node.start, "["), edit(source, node.end, node.end, "]"),
        ))  # fmt: skip
        return
    first, column = source.position(node.start)
    if source.line(first)[: column - 1].strip():
        return
    last = source.position(max(node.end - 1, node.start))[0]
    edits = [edit(source, node.start, node.start, "- ")]
    for number in range(first + 1, last + 1):
        if source.line(number).strip():
            start = source.starts[number - 1]
            edits.append(edit(source, start, start, "  "))
    yield Fix(title="make it a list of one", safe=True, edits=tuple(edits))
