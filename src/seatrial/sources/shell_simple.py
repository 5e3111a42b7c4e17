"""A simple command from the nodes of a syntax tree: words, assignments, redirections.

Source: https://www.gnu.org/software/bash/manual/bash.html#Simple-Commands and #Redirections
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.sources.shell_lists import REDIRECTS, redirect_words
from seatrial.sources.shell_model import Assignment, Redirect, ShellCommand, ShellWord
from seatrial.sources.shell_words import document, word, word_between

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tree_sitter import Node

    from seatrial.sources.dockerfile_text import Joined
    from seatrial.sources.shell_lists import Member

SIMPLE = frozenset(
    ("command", "declaration_command", "unset_command", "variable_assignment", "variable_assignments")
)
"""The nodes that are simple commands."""

WORDS = frozenset(
    (
        "word",
        "number",
        "string",
        "raw_string",
        "ansi_c_string",
        "translated_string",
        "simple_expansion",
        "expansion",
        "command_substitution",
        "process_substitution",
        "arithmetic_expansion",
        "concatenation",
        "brace_expression",
        "variable_name",
        "regex",
        "extglob_pattern",
        "test_operator",
        "array",
    )
)
"""The nodes that are words."""

_KEYWORDS = frozenset(("export", "declare", "typeset", "readonly", "local", "unset", "unsetenv"))
_LEFT_OUT = re.compile(r"(?:\\(?!\r?\n)[^\n]|[^\s\\])+")
_QUOTE = re.compile(r"[\"'\\]")


def simple(whole: Joined, member: Member) -> ShellCommand:
    """The command of a node of a kind in SIMPLE, or of redirections alone; it says nothing of when it runs."""
    node = member.node
    nodes = [] if node is None else [node] if node.type == "variable_assignment" else list(node.children)
    around = [*(child for child in nodes if child.type in REDIRECTS), *member.redirects]
    extra = [one for redirect in around for one in redirect_words(redirect)]
    items = [item for one in (*nodes, *extra) if (item := _item(whole, one)) is not None]
    items += [_Item(*range_) for one in around for range_ in _ranges(one)]
    if around:
        items.sort(key=_first)
    if nodes and items:
        items.append(_Item(nodes[-1].end_byte, nodes[-1].end_byte))
    words, assignments = _assembled(whole, items)
    own = [*words, *assignments]
    return ShellCommand(
        whole=whole,
        first=min((one.first for one in own), default=around[0].start_byte if around else 0),
        last=max((one.last for one in own), default=around[-1].end_byte if around else 0),
        words=tuple(words),
        assignments=tuple(assignments),
        redirects=tuple(found for one in around for found in redirects(whole, one)),
        broken=any(one.has_error and one.start_byte < one.end_byte for one in (*nodes, *member.redirects)),
    )


class _Item(msgspec.Struct, frozen=True):
    """Words side by side, an assignment, or what stands between words without being one."""

    first: int
    last: int
    nodes: tuple[Node, ...] = ()
    assignment: Assignment | None = None
    literal: bool = False


def _ranges(redirect: Node) -> Iterator[tuple[int, int]]:
    """Where redirections stand, without the words that the grammar counts to them."""
    ends = ("heredoc_start", *WORDS)
    last = next(
        (child.end_byte for child in redirect.children if child.is_named and child.type in ends), None
    )
    yield redirect.start_byte, redirect.end_byte if last is None else last
    for child in redirect.children:
        if child.type == "file_redirect":
            yield from _ranges(child)


def _item(whole: Joined, node: Node) -> _Item | None:
    kind = node.type
    first, last = node.start_byte, node.end_byte
    if first == last:
        # A redirection without a command has a name of no length.
        return None
    if kind in REDIRECTS:
        inner = [
            child for child in node.children if child.is_named and child.type in ("heredoc_start", *WORDS)
        ]
        return _Item(first, inner[0].end_byte if inner else last)
    if kind == "variable_assignment":
        value = node.child_by_field_name("value")
        return _Item(first, last, (value,) if value else (), assignment(whole, node))
    if kind in WORDS or kind == "command_name" or (kind in _KEYWORDS and not node.is_named):
        return _Item(first, last, (node,))
    return None


def _assembled(whole: Joined, items: list[_Item]) -> tuple[list[ShellWord], list[Assignment]]:
    """The words and assignments. What touches is one: the grammar cuts words at an escaped blank, and drops some."""
    words: list[ShellWord] = []
    assignments: list[Assignment] = []
    pending: _Item | None = None
    for item in (*_filled(whole, items), None):
        if (
            item
            and pending
            and (item.literal or item.nodes)
            and not item.assignment
            and pending.last == item.first
        ):
            pending = msgspec.structs.replace(pending, last=item.last, nodes=pending.nodes + item.nodes)
            continue
        if pending is not None and pending.assignment is not None:
            assignments.append(_extended(whole, pending.assignment, pending))
        elif pending is not None:
            words.append(word_between(whole, pending.first, pending.last, pending.nodes))
        pending = item if item and (item.nodes or item.assignment or item.literal) else None
    return words, assignments


def _extended(whole: Joined, one: Assignment, item: _Item) -> Assignment:
    if item.last == one.last:
        return one
    value = word_between(whole, one.value.first, item.last, item.nodes)
    return msgspec.structs.replace(one, last=item.last, value=value)


def _filled(whole: Joined, items: list[_Item]) -> Iterator[_Item]:
    """The items with those that the tree does not have, which stand between them."""
    at = items[0].last if items else 0
    for item in items:
        gap = whole.text[at : item.first]
        if gap and gap != " " and not gap.isspace():
            for found in _LEFT_OUT.finditer(gap):
                if found[0].startswith("#"):
                    break
                yield _Item(at + found.start(), at + found.end(), literal=True)
        yield item
        at = max(at, item.last)


def assignment(whole: Joined, node: Node) -> Assignment:
    """`NAME=value`, `NAME+=value` or `NAME[i]=value`."""
    name, value = node.child_by_field_name("name"), node.child_by_field_name("value")
    first, last = node.start_byte, node.end_byte
    named = last if name is None else name.end_byte
    nothing = ShellWord(whole=whole, first=last, last=last, parts=())
    return Assignment(
        whole=whole,
        first=first,
        last=last,
        name=whole.text[first:named],
        value=nothing if value is None else word(whole, value),
        append=whole.text.startswith("+=", named),
    )


def redirects(whole: Joined, node: Node) -> Iterator[Redirect]:
    """The redirections of a node; one with a here-document may hold more."""
    if node.type == "heredoc_redirect":
        yield _here_document(whole, node)
        for child in node.children:
            if child.type == "file_redirect":
                yield from redirects(whole, child)
        return
    descriptor, operator, target = "", "", None
    for child in node.children:
        if child.type == "file_descriptor":
            descriptor = whole.text[child.start_byte : child.end_byte]
        elif not child.is_named and not operator:
            operator = whole.text[child.start_byte : child.end_byte]
        elif child.is_named and target is None:
            target = word(whole, child)
    yield Redirect(
        whole=whole,
        first=node.start_byte,
        last=target.last if target else node.end_byte,
        operator=operator,
        target=target,
        descriptor=descriptor,
    )


def _here_document(whole: Joined, node: Node) -> Redirect:
    parts = {child.type: child for child in node.children}
    body, start = parts.get("heredoc_body"), parts.get("heredoc_start")
    content = None
    if body is not None:
        plain = start is not None and _QUOTE.search(whole.text, start.start_byte, start.end_byte) is not None
        content = document(whole, body.start_byte, body.end_byte, body.children, plain=plain)
    return Redirect(
        whole=whole,
        first=node.start_byte,
        last=node.end_byte if start is None else start.end_byte,
        operator="<<-" if "<<-" in parts else "<<",
        target=content,
    )


def substitutions(whole: Joined, member: Member) -> Iterator[Node]:
    """The `$(…)`, `<(…)` and backquotes in a command, in order; not those within them."""
    for one in (member.node, *member.redirects):
        if one is None:
            continue
        raw = whole.text[one.start_byte : one.end_byte]
        if "(" in raw or "`" in raw:
            yield from _within(one)


def _within(node: Node) -> Iterator[Node]:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if one.type in ("command_substitution", "process_substitution"):
            yield one
        else:
            # The commands that stand after a here-document's name are commands of their own.
            waiting += reversed(
                [child for child in one.children if child.child_count and child.type not in _OTHERS]
            )


_OTHERS = frozenset(("command", "declaration_command", "list", "pipeline", "redirected_statement"))


def _first(item: _Item) -> int:
    return item.first
