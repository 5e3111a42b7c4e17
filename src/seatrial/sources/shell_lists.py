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

    from seatrial.sources.dockerfile_text import Joined

_OPERATORS = ("&&", "||")
_PIPES = ("|", "|&")
REDIRECTS = ("file_redirect", "heredoc_redirect", "herestring_redirect")
_DEEPEST = 60


class Member(msgspec.Struct):
    """One command of a pipeline, with the redirections written after it."""

    node: Node | None
    redirects: list[Node] = []


class Link(msgspec.Struct):
    """One pipeline of a chain; `operator` is what stands before it, empty for the first."""

    operator: str
    members: list[Member]


def chain(node: Node, depth: int = 0) -> list[Link]:
    """The pipelines of a statement."""
    if depth <= _DEEPEST:
        if node.type == "list":
            return _list(node, depth)
        if node.type == "pipeline":
            links: list[Link] = []
            _pipe(links, node, depth)
            return links
        if node.type == "redirected_statement":
            return _redirected(node, depth)
    return [Link("", [Member(node)])]


def _list(node: Node, depth: int) -> list[Link]:
    # Lists nest to the left, one level for each operator, so they are taken apart without recursion.
    later: list[tuple[str, Node]] = []
    left: Node | None = node
    while left is not None and left.type == "list":
        operator = next((child.type for child in left.children if child.type in _OPERATORS), "&&")
        named = left.named_children
        if len(named) > 1:
            later.append((operator, named[-1]))
        left = named[0] if named else None
    links = chain(left, depth + 1) if left is not None else []
    for operator, right in reversed(later):
        links += _led(operator, chain(right, depth + 1))
    return links


def _led(operator: str, links: list[Link]) -> list[Link]:
    if links:
        links[0].operator = operator
    return links


def _pipe(links: list[Link], node: Node, depth: int) -> None:
    """Add a pipeline: its first command is piped into by the last one that is there."""
    for child in node.named_children:
        found = chain(child, depth + 1)
        if links and found:
            links[-1].members += found.pop(0).members
        links += found


def _redirected(node: Node, depth: int) -> list[Link]:
    body = node.child_by_field_name("body")
    links = chain(body, depth + 1) if body is not None else [Link("", [Member(None)])]
    for child in node.children:
        if child.type in REDIRECTS and links:
            links[-1].members[-1].redirects.append(child)
        if child.type == "heredoc_redirect":
            _continue(links, child, depth)
    return links


def _continue(links: list[Link], redirect: Node, depth: int) -> None:
    """Add the commands that stand on the line where a here-document is asked for."""
    operator = ""
    for child in redirect.children:
        if child.type in _OPERATORS:
            operator = child.type
        elif child.type == "pipeline":
            _pipe(links, child, depth)
        elif operator and child.is_named and not child.type.startswith("heredoc"):
            links += _led(operator, chain(child, depth + 1))
            operator = ""


def rescued(whole: Joined, links: list[Link]) -> list[bool]:
    """For each link, whether its failure does not count, because something after `||` follows that may succeed."""
    found: list[bool] = []
    after_it = False
    for link in reversed(links):
        found.append(after_it)
        after_it = after_it or (link.operator == "||" and not _fails(whole, link))
    return found[::-1]


def _fails(whole: Joined, link: Link) -> bool:
    """Whether what stands after `||` fails in its turn: it ends with `exit 1`, `false` or `return 1`."""
    node = link.members[-1].node
    while node is not None and node.type in (
        "compound_statement",
        "subshell",
        "list",
        "redirected_statement",
    ):
        named = [child for child in node.named_children if child.type not in (*REDIRECTS, "comment")]
        node = named[-1] if named else None
    if node is None or node.type != "command":
        return False
    words = whole.text[node.start_byte : node.end_byte].split()
    return words[:1] == ["false"] or (words[:1] in (["exit"], ["return"]) and words[1:2] != ["0"])


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
