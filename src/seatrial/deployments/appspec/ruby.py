"""Ruby's values, as far as a YAML file can hold them, and Ruby's words for them.

The agent is a Ruby program: what it refuses, and what its messages say, follows from how Ruby converts and prints.
A value is a `Node`: a scalar whose `value` is None, a bool, int, float, str or `Symbol`, a sequence of `items`, or a
mapping of `entries` without repeated keys.
"""

from __future__ import annotations

import math
import re
import unicodedata
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from seatrial.sources.tree import Node

_WHITE = " \t\n\v\f\r\0"
_INTEGER = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+(?:_[0-9]+)*)")
_REAL = re.compile(r"[ \t\n\v\f\r]*([+-]?[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?)")
_PLAIN_SYMBOL = re.compile(
    r"[^\W\d]\w*[?!=]?|\[\]=?|[+\-*/%<>~^&|!]|\*\*|<=>|===?|=~|<<|>>|<=|>=|!=|!~|[+-]@"
)
_LARGE, _SMALL = 1e16, 1e-4


class Symbol(msgspec.Struct, frozen=True):
    """`:name`."""

    name: str


class RubyError(Exception):
    """A Ruby program would stop here with an error of its own, which `args[0]` has the text of; `node` is why."""

    def __init__(self, message: str, node: Node) -> None:
        super().__init__(message)
        self.node = node


def is_truthy(node: Node | None) -> bool:
    """Whether a condition holds: everything but nil and false does."""
    return node is not None and not (node.kind == "scalar" and (node.value is None or node.value is False))


def is_nil(node: Node | None) -> bool:
    """Whether nothing stands there, or there is no such key."""
    return node is None or (node.kind == "scalar" and node.value is None)


def is_text(node: Node) -> bool:
    """Whether it is a String."""
    return node.kind == "scalar" and isinstance(node.value, str)


def value_of(node: Node, key: str) -> Node | None:
    """A mapping's value by a String key."""
    for name, value in node.entries:
        if is_text(name) and name.value == key:
            return value
    return None


def lookup(node: Node, key: str) -> Node | None:
    """What `node[key]` gives: a mapping's value, and for a text the key itself where the text has it.

    Raises:
        RubyError: the value has no such operator, or one that takes numbers.
    """
    if node.kind == "mapping":
        return value_of(node, key)
    if node.kind == "sequence" or _is_integer(node.value):
        raise RubyError("no implicit conversion of String into Integer", node)
    if isinstance(node.value, str | Symbol):
        held = node.value if isinstance(node.value, str) else node.value.name
        return msgspec.structs.replace(node, value=key) if key in held else None
    raise no_method("[]", node)


def each(node: Node) -> list[Node]:
    """What `each` walks over: the items of a sequence, the pairs of a mapping.

    Raises:
        RubyError: the value has no `each`.
    """
    if node.kind == "sequence":
        return node.items
    if node.kind == "mapping":
        from seatrial.sources.tree import Node as Pair

        return [Pair("sequence", key.start, value.end, items=[key, value]) for key, value in node.entries]
    raise no_method("each", node)


def no_method(name: str, node: Node) -> RubyError:
    """The error for a method that the value's class does not have."""
    shown = inspect(node)
    return RubyError(f"undefined method `{name}' for {shown}:{_class(node)}", node)


def text(node: Node | None) -> str:
    """`to_s`."""
    if node is None:
        return ""
    if node.kind == "scalar":
        if isinstance(node.value, str):
            return node.value
        if isinstance(node.value, Symbol):
            return node.value.name
        if node.value is None:
            return ""
    return inspect(node)


def strip(said: str) -> str:
    """`String#strip`: white space on both sides, and zero bytes at the end."""
    return said.rstrip(_WHITE).lstrip(_WHITE[:-1])


def integer(node: Node) -> int:
    """`to_i`: the digits a text begins with, 0 where there are none; a float without its fraction.

    Raises:
        RubyError: the value has no `to_i`, or is not finite.
    """
    value: Any = node.value if node.kind == "scalar" else node
    if value is None:
        return 0
    if _is_integer(value):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RubyError(_real(value), node)
        return int(value)
    if isinstance(value, str):
        return leading_integer(value)
    raise no_method("to_i", node)


def leading_integer(said: str) -> int:
    """`String#to_i`."""
    found = _INTEGER.match(said)
    return int(found[1].replace("_", "")) if found else 0


def leading_real(said: str) -> float:
    """`String#to_f`."""
    found = _REAL.match(said)
    return float(found[1].replace("_", "")) if found else 0.0


def inspect(node: Node) -> str:
    """`inspect`."""
    if node.kind == "sequence":
        return f"[{', '.join(map(inspect, node.items))}]"
    if node.kind == "mapping":
        return "{" + ", ".join(f"{inspect(key)}=>{inspect(value)}" for key, value in node.entries) + "}"
    return _shown(node.value)


def _shown(value: Any) -> str:
    if value is None:
        return "nil"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Symbol):
        plain = _PLAIN_SYMBOL.fullmatch(value.name)
        return f":{value.name}" if plain else f":{_quoted(value.name)}"
    if isinstance(value, float):
        return _real(value)
    return _quoted(value) if isinstance(value, str) else str(value)


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _class(node: Node) -> str:
    if node.kind != "scalar":
        return "Array" if node.kind == "sequence" else "Hash"
    if isinstance(node.value, bool):
        return "TrueClass" if node.value else "FalseClass"
    names = {type(None): "NilClass", int: "Integer", float: "Float", str: "String", Symbol: "Symbol"}
    return names[type(node.value)]


def _real(value: float) -> str:
    """Shortest digits, as Python's, but with an exponent from 1e16 on and below 1e-4, of two digits at least."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0 or _SMALL <= abs(value) < _LARGE:
        return repr(value)
    digits, _, exponent = f"{value!r}".partition("e")
    number = int(exponent)
    digits = digits if "." in digits else f"{digits}.0"
    return f"{digits}e{'-' if number < 0 else '+'}{abs(number):02d}"


_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\f": "\\f", "\v": "\\v", "\b": "\\b",
    "\a": "\\a", "\x1b": "\\e",
}  # fmt: skip


def _quoted(said: str) -> str:
    shown = []
    for index, letter in enumerate(said):
        if letter in _ESCAPES:
            shown.append(_ESCAPES[letter])
        elif letter == "#" and said[index + 1 : index + 2] in ("{", "$", "@"):
            shown.append("\\#")
        elif letter.isprintable() or unicodedata.category(letter) in ("Cf", "Zs"):
            shown.append(letter)
        elif ord(letter) < 0x80:  # noqa: PLR2004 - ASCII
            shown.append(f"\\x{ord(letter):02X}")
        else:
            code = f"{ord(letter):04X}"
            shown.append(f"\\u{code}" if len(code) == 4 else f"\\u{{{code}}}")  # noqa: PLR2004 - `\uXXXX`
    return f'"{"".join(shown)}"'
