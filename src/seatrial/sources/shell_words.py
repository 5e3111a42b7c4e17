"""Words of a shell text from the nodes of its syntax tree.

Source: https://www.gnu.org/software/bash/manual/bash.html#Quoting and #Shell-Parameter-Expansion
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.sources.shell_model import Part, ShellWord

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tree_sitter import Node

    from seatrial.sources.dockerfile_text import Joined

_NAME = r"\$(?P<name>[A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])"
_UNQUOTED = re.compile(rf"\\(?:\n|(?P<kept>[^\n])|\Z)|{_NAME}")
_QUOTED = re.compile(rf'\\(?:\n|(?P<kept>[$`"\\]))|{_NAME}')
_DOCUMENT = re.compile(rf"\\(?:\n|(?P<kept>[$`\\]))|{_NAME}")
_ANSI = re.compile(
    r"\\(?:x(?P<hex>[0-9a-fA-F]{1,2})|u(?P<u>[0-9a-fA-F]{1,4})|(?P<oct>[0-7]{1,3})|(?P<kept>[^\n]))"
)
_ANSI_NAMES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "e": "\x1b", "f": "\f", "v": "\v"}
_OPERATOR = re.compile(r":?[-=?+]|##?|%%?|/[/#%]?|:|\^\^?|,,?|@")
_STRINGS = ("string", "raw_string", "ansi_c_string", "translated_string")
_SUBSTITUTIONS = ("command_substitution", "process_substitution", "arithmetic_expansion")
_SOLID = frozenset((*_STRINGS, "simple_expansion", "expansion", *_SUBSTITUTIONS))
_NEVER = re.compile(r"(?!)")
_NAMES = ("variable_name", "special_variable_name", "subscript")
_DEEPEST = 40


def word(whole: Joined, node: Node) -> ShellWord:
    """The word that a node is."""
    return word_between(whole, node.start_byte, node.end_byte, (node,))


def word_between(whole: Joined, first: int, last: int, nodes: Sequence[Node]) -> ShellWord:
    """The word between two places, in which these nodes stand."""
    if len(nodes) == 1 and not nodes[0].child_count and nodes[0].type not in _SOLID:
        text = whole.text[first:last]
        parts: tuple[Part, ...]
        if "\\" not in text and "$" not in text:
            # Nine words of ten.
            parts = (Part(whole=whole, first=first, last=last, kind="text", text=text),)
        else:
            parts = tuple(_literal(whole, first, last, _UNQUOTED, quoted=False))
    else:
        parts = tuple(_between(whole, first, last, _solid(nodes), _UNQUOTED, quoted=False, depth=0))
    return ShellWord(whole=whole, first=first, last=last, parts=parts)


def document(whole: Joined, first: int, last: int, expansions: Sequence[Node], *, plain: bool) -> ShellWord:
    """The content of a here-document; `plain` ones have no variables."""
    parts = (
        _literal(whole, first, last, _NEVER, quoted=True)
        if plain
        else _between(whole, first, last, _solid(expansions), _DOCUMENT, quoted=True, depth=0)
    )
    return ShellWord(whole=whole, first=first, last=last, parts=tuple(parts))


def _solid(nodes: Sequence[Node]) -> Iterator[Node]:
    """The expansions and strings among nodes and in them, in order."""
    waiting = list(reversed(nodes))
    while waiting:
        one = waiting.pop()
        if one.type in _SOLID:
            yield one
        elif one.child_count:
            waiting += reversed(one.children)


def _parts(whole: Joined, node: Node, *, quoted: bool, depth: int) -> Iterator[Part]:
    """What an expansion or a string gives to a word."""
    kind = node.type
    if kind in _STRINGS:
        yield from _string(whole, node, depth)
    elif kind == "simple_expansion":
        first, last = _start(whole, node), node.end_byte
        name = whole.text[first + 1 : last]
        yield Part(whole=whole, first=first, last=last, kind="variable", text=name, quoted=quoted)
    elif kind == "expansion":
        yield _expansion(whole, node, quoted=quoted, depth=depth)
    else:
        yield _substitution(whole, node, quoted=quoted)


def _start(whole: Joined, node: Node) -> int:
    """Where a node starts; within quotes the grammar counts blanks before `${` to it."""
    first = node.start_byte
    while whole.text[first] in " \t\r\n":
        first += 1
    return first


def _string(whole: Joined, node: Node, depth: int) -> Iterator[Part]:
    """A string in quotes of one kind or another; one that is not closed goes to the end."""
    first, last = node.start_byte, node.end_byte
    if node.type == "raw_string":
        parts = _literal(whole, first + 1, last - 1, _NEVER, quoted=True)
    elif node.type == "ansi_c_string":
        parts = _literal(whole, first + 2, last - 1, _ANSI, quoted=True)
    else:
        opens = whole.text.find('"', first, last) + 1
        closed = last - 1 if last > opens and whole.text[last - 1] == '"' else last
        inner = node.children if node.type == "string" else node.children[-1].children
        parts = _between(whole, opens, closed, _solid(inner), _QUOTED, quoted=True, depth=depth)
    # An empty string is a word all the same, as are variables in quotes that are empty.
    yield from list(parts) or [_text(whole, first, last, "", quoted=True)]


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
        start = _start(whole, node)
        if start < at or node.end_byte > last or (quoted and node.type in _STRINGS):
            continue
        yield from _literal(whole, at, start, escapes, quoted=quoted)
        yield from _parts(whole, node, quoted=quoted, depth=depth + 1)
        at = node.end_byte
    yield from _literal(whole, at, last, escapes, quoted=quoted)


def _literal(
    whole: Joined, first: int, last: int, escapes: re.Pattern[str], *, quoted: bool
) -> Iterator[Part]:
    """Plain text with its escapes, and the variables that the grammar leaves in it."""
    text = whole.text[first:last]
    at = 0
    if "\\" in text or "$" in text:
        for found in escapes.finditer(text):
            start, end = first + found.start(), first + found.end()
            if found.start() > at:
                yield _text(whole, first + at, start, text[at : found.start()], quoted=quoted)
            if name := found.groupdict().get("name"):
                yield Part(whole=whole, first=start, last=end, kind="variable", text=name, quoted=quoted)
            elif character := _escaped(found):
                yield _text(whole, start, end, character, quoted=True)
            at = found.end()
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


def _substitution(whole: Joined, node: Node, *, quoted: bool) -> Part:
    first, last = _start(whole, node), node.end_byte
    text = whole.text[first:last]
    return Part(whole=whole, first=first, last=last, kind="substitution", text=text, quoted=quoted)


def _expansion(whole: Joined, node: Node, *, quoted: bool, depth: int) -> Part:
    """`${NAME…}`; what has no plain name is an operator alone, which nobody can expand."""
    children = node.children
    first, last = _start(whole, node), node.end_byte
    named = next((n for n, child in enumerate(children) if child.type in _NAMES), None)
    if named is None or named > 1 or children[named].type == "subscript" or depth >= _DEEPEST:
        return _substitution(whole, node, quoted=quoted)
    name = children[named]
    found = _OPERATOR.match(whole.text, name.end_byte, last - 1)
    opens = found.end() if found else name.end_byte
    # The grammar may cut `\\/` between two nodes, so only what is no plain text is taken from it.
    rest = [one for one in _solid(children[named + 1 : -1]) if one.start_byte >= opens]
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
