"""The properties of a resource, with refusals for those that are missing or cannot be."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from seatrial.deployments.appspec.walking import Entry, entries, is_placeholder, word

if TYPE_CHECKING:
    from seatrial.deployments.appspec.refusing import Refusing
    from seatrial.sources.tree import Node

NOT_WELL_FORMED = "The input AppSpec file is a not well-formed yaml. The template cannot be parsed."
_CLOSE = 0.75
_INTEGER = re.compile(r"-?\d+")


def need(refusing: Refusing, node: Node, owner: Node | None, name: str, of: str) -> Entry | None:
    """A property that must be there and have a value. `owner` is where it is said to be missing."""
    entry = entries(node).get(name.lower())
    if entry is None:
        near = nearest(name, [key.text for key, _ in node.entries])
        cause = f"{near!r} is not what it is called" if near else ""
        refusing.say("property-missing", owner or node, f"{of} has no {name}", cause=cause)
        return None
    if entry[1].kind == "scalar" and not word(entry[1]).strip():
        refusing.say("property-missing", entry[0], f"{of} has no value for {name}")
        return None
    return entry


def nearest(name: str, known: list[str]) -> str | None:
    """What looks like a misspelling of a name."""
    close = difflib.get_close_matches(name.lower(), [one.lower() for one in known], n=1, cutoff=_CLOSE)
    return next((one for one in known if close and one.lower() == close[0]), None)


def scalar(refusing: Refusing, entry: Entry | None, name: str) -> str | None:
    """The text of a property that is a single value."""
    if entry is None:
        return None
    if entry[1].kind != "scalar":
        refusing.say("form", entry[1], NOT_WELL_FORMED, cause=f"`{name}` is a single value")
        return None
    return word(entry[1])


def matching(
    refusing: Refusing, entry: Entry | None, name: str, pattern: re.Pattern[str], rule: str
) -> str | None:
    """The text of a property that has a form; a placeholder is taken as it is."""
    said = scalar(refusing, entry, name)
    if said is None or entry is None:
        return None
    if not is_placeholder(said) and not pattern.fullmatch(said):
        refusing.say("property-value", entry[1], f"{name} is {said!r}; it is {rule}")
        return None
    return said


def whole(
    refusing: Refusing, entry: Entry | None, name: str, least: int, most: int, rule: str = "property-value"
) -> int | None:
    """A whole number within limits; a placeholder counts as the least."""
    said = scalar(refusing, entry, name)
    if said is None or entry is None:
        return None
    if is_placeholder(said):
        return least
    if not _INTEGER.fullmatch(said) or not least <= int(said) <= most:
        refusing.say(rule, entry[1], f"{name} is {said!r}; it is a whole number from {least} to {most}")
        return None
    return int(said)


def texts(refusing: Refusing, entry: Entry | None, name: str, most: int) -> tuple[str, ...] | None:
    """A list of texts with at least one item."""
    if entry is None:
        return None
    node = entry[1]
    if node.kind == "scalar" and is_placeholder(word(node)):
        return (word(node),)
    if node.kind != "sequence":
        refusing.say("form", node, NOT_WELL_FORMED, cause=f"`{name}` is a list")
        return None
    empty = [one for one in node.items if one.kind != "scalar" or not word(one).strip()]
    if not node.items or empty:
        refusing.say(
            "network",
            empty[0] if empty else entry[0],
            f"{name} has no value" if not node.items else f"an item of {name} is empty",
        )
        return None
    if len(node.items) > most:
        refusing.say("network", entry[0], f"{name} has {len(node.items)} items; {most} are the most")
        return None
    return tuple(map(word, node.items))
