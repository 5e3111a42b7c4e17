"""Access control lists and SELinux contexts of a permission, as the agent's parser goes through them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.deployments.appspec import refusals as words
from seatrial.deployments.appspec.model import Ace, Context, Range
from seatrial.deployments.appspec.ruby import (
    each,
    inspect,
    is_nil,
    is_text,
    is_truthy,
    lookup,
    no_method,
    text,
)

if TYPE_CHECKING:
    from seatrial.deployments.appspec.refusing import Refusing
    from seatrial.sources.tree import Node

_DEFAULT = ("d", "default")
_KINDS = {
    "m": "mask", "mask": "mask", "o": "other", "other": "other", "g": "group", "group": "group", "u": "user",
    "user": "user",
}  # fmt: skip
_FEWEST, _MOST = 2, 4
_HIGHEST_CATEGORY = 1023
_LEVEL = re.compile(r"s[0-9]+")
_CATEGORY = re.compile(r"c[0-9]+")


class _RefusedError(Exception):
    """The agent's message."""


def acls(refusing: Refusing, node: Node | None) -> tuple[Ace, ...] | None:
    """The entries of a list; None where there is none.

    Raises:
        RubyError: the list is none, or an entry is no text.
    """
    if node is None or is_nil(node):
        return None
    found = []
    for one in each(node):
        if not is_text(one):
            raise no_method("split", one)
        try:
            found.append(_ace(one.value))
        except _RefusedError as error:
            refusing.say("acl", one, str(error))
    return tuple(found)


def entry(said: str) -> Ace | None:
    """One entry, or None where it is refused."""
    try:
        return _ace(said)
    except _RefusedError:
        return None


def _ace(entry: str) -> Ace:
    parts = entry.split(":") if entry else []
    if not _FEWEST <= len(parts) <= _MOST:
        raise _RefusedError(words.ace(entry))
    *before, last, rights = parts
    is_default, kind = _before(entry, before)
    name = last
    if kind is None and _KINDS.get(last) in ("mask", "other"):
        kind, name = _KINDS[last], ""
    elif _KINDS.get(last) in ("mask", "other"):
        name = _KINDS[last]
    kind = kind or "user"
    if kind in ("mask", "other") and name:
        raise _RefusedError(words.ace(entry))
    if not is_default and kind != "mask" and not name:
        raise _RefusedError(words.ace_base(entry))
    read, write, execute = _rights(entry, rights)
    return Ace(kind, name, read, write, execute, is_default)


def _before(entry: str, parts: list[str]) -> tuple[bool, str | None]:
    """What stands before the name: `default`, a type, or both in this order."""
    is_default = False
    if len(parts) == 2:  # noqa: PLR2004 - both
        if parts[0] not in _DEFAULT:
            raise _RefusedError(words.ace(entry))
        is_default = True
    if not parts:
        return False, None
    said = parts[-1]
    if said in _DEFAULT and not is_default:
        return True, None
    if said not in _KINDS:
        raise _RefusedError(words.ace(entry))
    return is_default, _KINDS[said]


def _rights(entry: str, said: str) -> tuple[bool, bool, bool]:
    if len(said) == 1 and "0" <= said <= "7":
        bits = int(said)
        return bool(bits & 4), bool(bits & 2), bool(bits & 1)
    wrong = next((one for one in said if one not in "rwx-"), None)
    if wrong is not None:
        raise _RefusedError(words.ace_character(entry, wrong))
    return "r" in said, "w" in said, "x" in said


def context(refusing: Refusing, node: Node | None) -> Context | None:
    """An SELinux context; None where there is none.

    Raises:
        RubyError: it is no mapping, or its range is no text.
    """
    if node is None or is_nil(node):
        return None
    kind = lookup(node, "type")
    if kind is None or is_nil(kind):
        refusing.say("context", node, words.context_type(inspect(node)))
        return None
    said = lookup(node, "range")
    try:
        span = None if said is None or is_nil(said) else _range(said)
    except _RefusedError as error:
        refusing.say("context", said, str(error))
        return None
    user = lookup(node, "name")
    return Context(text(kind), text(user) if is_truthy(user) else None, span)


def _range(node: Node) -> Range:
    if not is_text(node):
        raise no_method("include?" if node.kind == "scalar" else "split", node)
    said = node.value
    levels, *rest = _parts(said, ":")
    numbers = [_level(one) for one in _parts(levels, "-")]
    if numbers[-1] < numbers[0]:
        raise _RefusedError(words.range_order(said))
    return Range(numbers[0], numbers[-1], _categories(rest[0]) if rest else None)


def _parts(said: str, at: str) -> list[str]:
    parts = said.split(at, 1)
    if not all(parts):
        raise _RefusedError(f"invalid range part {said}")
    return parts


def _level(said: str) -> int:
    if not _LEVEL.fullmatch(said):
        raise _RefusedError(f"invalid sensitivity {said}")
    return int(said[1:])


def _category(said: str) -> int:
    if not _CATEGORY.fullmatch(said) or int(said[1:]) > _HIGHEST_CATEGORY:
        raise _RefusedError(f"invalid category {said}")
    return int(said[1:])


def _categories(said: str) -> tuple[int, ...]:
    found: list[int] = []
    for part in said.rstrip(",").split(",") if said.strip(",") else []:
        ends = [_category(one) for one in (_parts(part, ".") if "." in part else [part])]
        if ends[-1] < ends[0]:
            raise _RefusedError(f"invalid category range {part}")
        found += range(ends[0], ends[-1] + 1)
    if len(set(found)) != len(found):
        raise _RefusedError(words.CATEGORIES_TWICE)
    return tuple(sorted(found))
