"""Words of a shell text from the nodes of its syntax tree.

Source: https://www.gnu.org/software/bash/manual/bash.html#Quoting and #Shell-Parameter-Expansion
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.sources.shell_model import Part, ShellWord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tree_sitter import Node

    from seatrial.sources.dockerfile_text import Joined

_UNQUOTED = re.compile(r"\\(?:\n|(?P<kept>[^\n])|\Z)")
_QUOTED = re.compile(r'\\(?:\n|(?P<kept>[$`"\\]))')
_DOCUMENT = re.compile(r"\\(?:\n|(?P<kept>[$`\\]))")
_ANSI = re.compile(
    r"\\(?:x(?P<hex>[0-9a-fA-F]{1,2})|u(?P<u>[0-9a-fA-F]{1,4})|(?P<oct>[0-7]{1,3})|(?P<kept>[^\n]))"
)
_ANSI_NAMES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}
_OPERATOR = re.compile(r":?[-=?+]|##?|%%?|/[/#%]?|:|\^\^?|,,?|@")
_NEVER = re.compile(r"(?!)")
_SUBSTITUTIONS = ("command_substitution", "process_substitution", "arithmetic_expansion")
_EXPANSIONS = ("simple_expansion", "expansion", *_SUBSTITUTIONS)
_NAMES = ("variable_name", "special_variable_name", "subscript")
_DEEPEST = 40


def word(whole: Joined, node: Node) -> ShellWord:
    """The word that a node is."""
    parts = tuple(parts_of(whole, node))
    return ShellWord(whole=whole, first=node.start_byte, last=node.end_byte, parts=parts)


def document(whole: Joined, first: int, last: int, expansions: Iterable[Node], *, plain: bool) -> ShellWord:
    """The content of a here-document; `plain` ones have no variables."""
    parts = (
        _literal(whole, first, last, _NEVER, quoted=True)
        if plain
        else _between(whole, first, last, expansions, _DOCUMENT, quoted=True, depth=0)
    )
    return ShellWord(whole=whole, first=first, last=last, parts=tuple(parts))


def parts_of(whole: Joined, node: Node, *, quoted: bool = False, depth: int = 0) -> Iterator[Part]:
    """What a word is made of, in order."""
    kind = node.type
    first, last = node.start_byte, node.end_byte
    if kind in ("word", "number") and not node.child_count:
        yield from _literal(whole, first, last, _UNQUOTED, quoted=quoted)
    elif kind == "string":
        closed = last - 1 if last - first > 1 and whole.text[last - 1] == '"' else last
        yield from _between(whole, first + 1, closed, node.children, _QUOTED, quoted=True, depth=depth)
    elif kind == "raw_string":
        yield from _literal(whole, first + 1, last - 1, _NEVER, quoted=True)
    elif kind == "ansi_c_string":
        yield from _literal(whole, first + 2, last - 1, _ANSI, quoted=True)
    elif kind == "translated_string":
        for child in node.children[1:]:
            yield from parts_of(whole, child, quoted=True, depth=depth)
    elif kind == "simple_expansion":
        name = whole.text[first + 1 : last]
        yield Part(whole=whole, first=first, last=last, kind="variable", text=name, quoted=quoted)
    elif kind == "expansion":
        yield _expansion(whole, node, quoted=quoted, depth=depth)
    elif kind in _SUBSTITUTIONS:
        text = whole.text[first:last]
        yield Part(whole=whole, first=first, last=last, kind="substitution", text=text, quoted=quoted)
    elif node.child_count and depth < _DEEPEST:
        yield from _between(whole, first, last, node.children, _UNQUOTED, quoted=quoted, depth=depth)
    else:
        yield from _literal(whole, first, last, _UNQUOTED, quoted=quoted)


def _between(
    whole: Joined,
    first: int,
    last: int,
    nodes: Iterable[Node],
    escapes: re.Pattern[str],
    *,
    quoted: bool,
    depth: int,
) -> Iterator[Part]:
    """The nodes that are no plain text, and the text between them, which the grammar does not always make a node."""
    at = first
    for node in nodes:
        if quoted and node.type not in _EXPANSIONS:
            continue
        if not quoted and not node.is_named:
            continue
        if node.start_byte < at or node.end_byte > last:
            continue
        yield from _literal(whole, at, node.start_byte, escapes, quoted=quoted)
        yield from parts_of(whole, node, quoted=quoted, depth=depth + 1)
        at = node.end_byte
    yield from _literal(whole, at, last, escapes, quoted=quoted)


def _literal(
    whole: Joined, first: int, last: int, escapes: re.Pattern[str], *, quoted: bool
) -> Iterator[Part]:
    text = whole.text[first:last]
    at = 0
    if "\\" in text:
        for escape in escapes.finditer(text):
            if escape.start() > at:
                yield _text(
                    whole, first + at, first + escape.start(), text[at : escape.start()], quoted=quoted
                )
            if character := _escaped(escape):
                yield _text(whole, first + escape.start(), first + escape.end(), character, quoted=True)
            at = escape.end()
    if at < len(text):
        yield _text(whole, first + at, last, text[at:], quoted=quoted)


def _text(whole: Joined, first: int, last: int, text: str, *, quoted: bool) -> Part:
    return Part(whole=whole, first=first, last=last, kind="text", text=text, quoted=quoted)


def _escaped(escape: re.Match[str]) -> str:
    """The character that an escape stands for; none for a line that goes on."""
    groups = escape.groupdict()
    if groups.get("hex") or groups.get("u"):
        return chr(int(groups["hex"] or groups["u"], 16))
    if groups.get("oct"):
        return chr(int(groups["oct"], 8) & 0xFF)
    kept = groups["kept"] or ""
    return _ANSI_NAMES.get(kept, kept) if "oct" in groups else kept


def _expansion(whole: Joined, node: Node, *, quoted: bool, depth: int) -> Part:
    """`${NAME…}`; what has no plain name is an operator alone, which nobody can expand."""
    children = node.children
    first, last = node.start_byte, node.end_byte
    named = next((n for n, child in enumerate(children) if child.type in _NAMES), None)
    if named is None or named > 1 or children[named].type == "subscript" or depth >= _DEEPEST:
        text = whole.text[first:last]
        return Part(whole=whole, first=first, last=last, kind="substitution", text=text, quoted=quoted)
    name = children[named]
    found = _OPERATOR.match(whole.text, name.end_byte, last - 1)
    opens = found.end() if found else name.end_byte
    rest = [child for child in children[named + 1 : -1] if child.start_byte >= opens]
    argument = _between(whole, opens, last - 1, rest, _UNQUOTED, quoted=False, depth=depth + 1)
    return Part(
        whole=whole,
        first=first,
        last=last,
        kind="variable",
        text=whole.text[name.start_byte : name.end_byte],
        quoted=quoted,
        operator=found[0] if found else "",
        argument=tuple(argument),
    )
