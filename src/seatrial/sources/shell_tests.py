"""Whether a test of a shell text is true, as far as its variables are known.

Source: https://www.gnu.org/software/bash/manual/bash.html#Bash-Conditional-Expressions
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from seatrial.sources.shell_expand import expand
from seatrial.sources.shell_words import word

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tree_sitter import Node

    from seatrial.sources.dockerfile_text import Joined

TESTS = frozenset(("test", "[", "command", "which", "type", "hash", "grep", "egrep", "fgrep", "cmp", "diff"))
"""Commands that are asked for their answer: what stands after `&&` may well not run."""

_NUMBERS: dict[str, Callable[[int, int], bool]] = {
    "-eq": lambda a, b: a == b,
    "-ne": lambda a, b: a != b,
    "-lt": lambda a, b: a < b,
    "-le": lambda a, b: a <= b,
    "-gt": lambda a, b: a > b,
    "-ge": lambda a, b: a >= b,
}
_INTEGER = re.compile(r"[-+]?[0-9]+")
_DEEPEST = 40


def evaluate(whole: Joined, node: Node, variables: Mapping[str, str], depth: int = 0) -> bool | None:
    """The answer of `[ … ]` or `[[ … ]]`, or of an expression in it; None where it cannot be told."""
    if depth > _DEEPEST or node.has_error:
        return None
    if node.type in ("test_command", "parenthesized_expression"):
        patterns = node.children[0].type == "[["
        inner = node.named_children
        if node.type == "test_command" and node.children[0].type not in ("[", "[["):
            return None
        return _expression(whole, inner[0], variables, depth, patterns=patterns) if len(inner) == 1 else None
    return None


def answer(arguments: Sequence[str | None]) -> bool | None:
    """The answer of `test` with these arguments, of which None is not known."""
    known = list(arguments)
    negated = known[:1] == ["!"]
    if negated:
        known = known[1:]
    result = None
    if len(known) == 1:
        result = None if known[0] is None else known[0] != ""
    elif len(known) == 2:  # noqa: PLR2004 - operator and operand
        result = _unary(known[0], known[1])
    elif len(known) == 3:  # noqa: PLR2004 - operand, operator, operand
        result = _binary(known[0], known[1], known[2])
    return (not result) if negated and result is not None else result


def case_matches(
    whole: Joined, value: str, patterns: Sequence[Node], variables: Mapping[str, str]
) -> bool | None:
    """Whether one of the patterns of a case matches; None where that cannot be told."""
    result: bool | None = False
    for node in patterns:
        pattern = _pattern(whole, node, variables)
        if pattern is None:
            result = None
        elif fnmatchcase(value, pattern):
            return True
    return result


def _expression(
    whole: Joined, node: Node, variables: Mapping[str, str], depth: int, *, patterns: bool
) -> bool | None:
    kind = node.type
    named = node.named_children
    if depth > _DEEPEST:
        return None
    if kind == "parenthesized_expression" and len(named) == 1:
        return _expression(whole, named[0], variables, depth + 1, patterns=patterns)
    if kind == "unary_expression":
        operator = whole.text[node.children[0].start_byte : node.children[0].end_byte]
        if operator == "!":
            result = _expression(whole, named[-1], variables, depth + 1, patterns=patterns)
            return None if result is None else not result
        return _unary(operator, _value(whole, named[-1], variables))
    if kind == "binary_expression":
        return _two(whole, node, variables, depth, patterns=patterns)
    value = _value(whole, node, variables)
    return None if value is None else value != ""


def _two(
    whole: Joined, node: Node, variables: Mapping[str, str], depth: int, *, patterns: bool
) -> bool | None:
    left, middle, right = node.children[0], node.children[1:-1], node.children[-1]
    operator = whole.text[middle[0].start_byte : middle[-1].end_byte].strip() if middle else ""
    if operator in ("&&", "||", "-a", "-o"):
        answers = [_expression(whole, one, variables, depth + 1, patterns=patterns) for one in (left, right)]
        decisive = operator in ("||", "-o")
        if decisive in answers:
            return decisive
        return None if None in answers else not decisive
    if patterns and operator in ("=", "==", "!="):
        value, pattern = _value(whole, left, variables), _pattern(whole, right, variables)
        if value is None or pattern is None:
            return None
        return fnmatchcase(value, pattern) == (operator != "!=")
    return _binary(_value(whole, left, variables), operator, _value(whole, right, variables))


def _unary(operator: str | None, value: str | None) -> bool | None:
    if value is None or operator not in ("-z", "-n", "!"):
        return None
    return (value != "") == (operator == "-n")


def _binary(left: str | None, operator: str | None, right: str | None) -> bool | None:
    if left is None or right is None:
        return None
    if operator in ("=", "==", "!="):
        return (left == right) == (operator != "!=")
    compare = _NUMBERS.get(operator or "")
    if compare and _INTEGER.fullmatch(left) and _INTEGER.fullmatch(right):
        return compare(int(left[:19]), int(right[:19]))
    return None


def _value(whole: Joined, node: Node, variables: Mapping[str, str]) -> str | None:
    value = expand(word(whole, node), variables)
    return None if value.unknown else value.text


def _pattern(whole: Joined, node: Node, variables: Mapping[str, str]) -> str | None:
    """A pattern for fnmatch: what is quoted stands for itself."""
    texts: list[str] = []
    for piece in expand(word(whole, node), variables).pieces:
        if piece.part.kind == "substitution" or (
            piece.part.kind == "variable" and piece.part.text not in variables
        ):
            return None
        text = piece.part.text if piece.part.kind == "text" else variables[piece.part.text]
        texts.append(re.sub(r"([*?\[])", r"[\1]", text) if piece.part.quoted else text)
    return "".join(texts)
