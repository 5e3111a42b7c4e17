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
    from collections.abc import Callable, Iterator, Mapping, Sequence

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
_LONGEST = 60


def evaluate(whole: Joined, node: Node, variables: Mapping[str, str]) -> bool | None:
    """The answer of `[ … ]` or `[[ … ]]`; None where it cannot be told."""
    if node.has_error or not node.children:
        return None
    opening = node.children[0].type
    inner = node.children[1:-1]
    if opening == "[":
        # The grammar knows the precedence of [[ alone; for the command [ its arguments count.
        return answer([_value(whole, one, variables) for one in _arguments(inner)])
    if opening != "[[" or len(inner) != 1:
        return None
    return _expression(whole, inner[0], variables, 0)


def answer(arguments: Sequence[str | None]) -> bool | None:
    """The answer of the command `test` with these arguments, of which None is not known."""
    count = len(arguments)
    if count > _LONGEST:
        return None
    for operator in ("-o", "-a"):
        if operator in arguments[1:-1]:
            at = arguments.index(operator, 1)
            return _either(answer(arguments[:at]), answer(arguments[at + 1 :]), decisive=operator == "-o")
    if count > 1 and arguments[0] == "!":
        result = answer(arguments[1:])
        return None if result is None else not result
    if count in (2, 3):
        return _unary(*arguments) if count == 2 else _binary(*arguments)  # noqa: PLR2004 - operator and operand
    known = arguments[0] if arguments else ""
    return None if known is None or count > 1 else known != ""


def _either(left: bool | None, right: bool | None, *, decisive: bool) -> bool | None:
    """`or` where True decides, `and` where False does."""
    if decisive in (left, right):
        return decisive
    return None if left is None or right is None else not decisive


def _arguments(nodes: Sequence[Node]) -> Iterator[Node]:
    waiting = list(reversed(nodes))
    while waiting:
        one = waiting.pop()
        if one.type in ("unary_expression", "binary_expression", "parenthesized_expression"):
            waiting += reversed(one.children)
        else:
            yield one


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


def _expression(whole: Joined, node: Node, variables: Mapping[str, str], depth: int) -> bool | None:
    """What stands in `[[ … ]]`."""
    kind = node.type
    named = node.named_children
    if depth > _DEEPEST:
        return None
    if kind == "parenthesized_expression" and len(named) == 1:
        return _expression(whole, named[0], variables, depth + 1)
    if kind == "unary_expression" and named:
        operator = whole.text[node.children[0].start_byte : node.children[0].end_byte]
        if operator == "!":
            result = _expression(whole, named[-1], variables, depth + 1)
            return None if result is None else not result
        return _unary(operator, _value(whole, named[-1], variables))
    if kind == "binary_expression" and len(node.children) > 2:  # noqa: PLR2004 - operand, operator, operand
        return _two(whole, node, variables, depth)
    value = _value(whole, node, variables)
    return None if value is None else value != ""


def _two(whole: Joined, node: Node, variables: Mapping[str, str], depth: int) -> bool | None:
    left, middle, right = node.children[0], node.children[1:-1], node.children[-1]
    operator = whole.text[middle[0].start_byte : middle[-1].end_byte].strip()
    if operator in ("&&", "||"):
        answers = [_expression(whole, one, variables, depth + 1) for one in (left, right)]
        return _either(*answers, decisive=operator == "||")
    if operator in ("=", "==", "!="):
        value, pattern = _value(whole, left, variables), _pattern(whole, right, variables)
        if value is None or pattern is None:
            return None
        return fnmatchcase(value, pattern) == (operator != "!=")
    return _binary(_value(whole, left, variables), operator, _value(whole, right, variables))


def _unary(operator: str | None, value: str | None) -> bool | None:
    if value is None or operator not in ("-z", "-n"):
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
