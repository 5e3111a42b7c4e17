"""Lists and pipelines of a shell text, flat and in order.

The grammar nests them, and puts what follows a redirection or a here-document (`cat <<EOF > f && next`) inside it;
here each is a chain of pipelines joined by `&&` and `||`, and each command has its own redirections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

_OPERATORS = ("&&", "||")
_PIPES = ("|", "|&")
REDIRECTS = ("file_redirect", "heredoc_redirect", "herestring_redirect")
_DEEPEST = 60


class Member(msgspec.Struct, frozen=True):
    """One command of a pipeline, with the redirections written after it."""

    node: Node | None
    redirects: tuple[Node, ...] = ()


class Link(msgspec.Struct, frozen=True):
    """One pipeline of a chain; `operator` is what stands before it, empty for the first."""

    operator: str
    members: tuple[Member, ...]


def chain(node: Node, depth: int = 0) -> list[Link]:
    """The pipelines of a statement."""
    if depth > _DEEPEST:
        return [Link("", (Member(node),))]
    if node.type == "list":
        return _list(node, depth)
    if node.type == "pipeline":
        return _pipeline(node, depth)
    if node.type == "redirected_statement":
        return _redirected(node, depth)
    return [Link("", (Member(node),))]


def _list(node: Node, depth: int) -> list[Link]:
    # Lists nest to the left, one level for each operator, so they are taken apart without recursion.
    later: list[list[Link]] = []
    left: Node | None = node
    while left is not None and left.type == "list":
        operator = next((child.type for child in left.children if child.type in _OPERATORS), "&&")
        named = left.named_children
        if len(named) > 1:
            later.append(_led(operator, chain(named[-1], depth + 1)))
        left = named[0] if named else None
    links = chain(left, depth + 1) if left is not None else []
    for part in reversed(later):
        links += part
    return links


def _led(operator: str, links: list[Link]) -> list[Link]:
    return [Link(operator, links[0].members), *links[1:]] if links else []


def _pipeline(node: Node, depth: int) -> list[Link]:
    links: list[Link] = []
    for child in node.named_children:
        links = _piped(links, chain(child, depth + 1))
    return links


def _piped(before: list[Link], after: list[Link]) -> list[Link]:
    """`before | after`: the last command of the one pipes into the first of the other."""
    if not before or not after:
        return before + after
    last = before[-1]
    return [*before[:-1], Link(last.operator, last.members + after[0].members), *after[1:]]


def _redirected(node: Node, depth: int) -> list[Link]:
    body = node.child_by_field_name("body")
    links = chain(body, depth + 1) if body is not None else [Link("", (Member(None),))]
    for child in node.children:
        if child.type not in REDIRECTS:
            continue
        last = links[-1]
        member = last.members[-1]
        redirected = Member(member.node, (*member.redirects, child))
        links[-1] = Link(last.operator, (*last.members[:-1], redirected))
        if child.type == "heredoc_redirect":
            links = _continued(links, child, depth)
    return links


def _continued(links: list[Link], redirect: Node, depth: int) -> list[Link]:
    """With the commands that stand on the line where a here-document is asked for."""
    operator = ""
    for child in redirect.children:
        if child.type in _OPERATORS:
            operator = child.type
        elif child.type == "pipeline":
            links = _piped(links, _pipeline(child, depth + 1))
        elif operator and child.is_named and not child.type.startswith("heredoc"):
            links = links + _led(operator, chain(child, depth + 1))
            operator = ""
    return links


def redirect_words(redirect: Node) -> Iterator[Node]:
    """The words of the command that the grammar counts to a redirection: `echo > file word`."""
    if redirect.type == "file_redirect":
        named = [child for child in redirect.children if child.is_named and child.type != "file_descriptor"]
        yield from named[1:]
    elif redirect.type == "heredoc_redirect":
        started = False
        for child in redirect.children:
            if child.type in _OPERATORS or child.type in ("pipeline", "heredoc_body"):
                return
            if child.type == "file_redirect":
                yield from redirect_words(child)
            elif started and child.is_named:
                yield child
            started = started or child.type == "heredoc_start"
