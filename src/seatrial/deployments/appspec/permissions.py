"""The section `permissions`, as the agent's parser goes through it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from seatrial.deployments.appspec import refusals as words
from seatrial.deployments.appspec.access import acls, context
from seatrial.deployments.appspec.model import Permission
from seatrial.deployments.appspec.ruby import (
    each,
    is_nil,
    is_text,
    is_truthy,
    lookup,
    no_method,
    strip,
    text,
)

if TYPE_CHECKING:
    from seatrial.deployments.appspec.refusing import Refusing
    from seatrial.sources.tree import Node

TYPES = ("file", "directory")
_SHORTEST, _LONGEST = 3, 4


def permissions(refusing: Refusing, node: Node | None, *, on_windows: bool) -> tuple[Permission, ...]:
    """All entries that are not refused.

    Raises:
        RubyError: the section is nothing that Ruby walks over.
    """
    if node is None or not is_truthy(node):
        return ()
    found = (
        refusing.attempt(partial(_permission, refusing, one, on_windows=on_windows)) for one in each(node)
    )
    return tuple(one for one in found if one is not None)


def _permission(refusing: Refusing, node: Node, *, on_windows: bool) -> Permission | None:
    if node.kind != "mapping":
        raise no_method("has_key?", node)
    said = lookup(node, "object")
    if said is None or is_nil(said):
        refusing.say("permission-object", said or node, words.NO_OBJECT)
        return None
    if on_windows:
        refusing.say("windows-permissions", node, words.ON_WINDOWS)
        return None
    before = len(refusing.findings)
    pattern = lookup(node, "pattern")
    made = Permission(
        object=strip(text(said)),
        place=refusing.place(node),
        pattern=text(pattern) if is_truthy(pattern) else "**",
        except_=_except(lookup(node, "except")),
        type=_types(refusing, lookup(node, "type")),
        owner=_name(lookup(node, "owner")),
        group=_name(lookup(node, "group")),
        mode=_mode(refusing, lookup(node, "mode")),
        acls=acls(refusing, lookup(node, "acls")),
        context=context(refusing, lookup(node, "context")),
    )
    if not made.object:
        refusing.say("permission-object", said, words.NO_OBJECT)
    return made if len(refusing.findings) == before else None


def _name(node: Node | None) -> str | None:
    return text(node) if is_truthy(node) else None


def _except(node: Node | None) -> tuple[str, ...]:
    return tuple(map(text, each(node))) if node is not None and is_truthy(node) else ()


def _types(refusing: Refusing, node: Node | None) -> tuple[str, ...]:
    if node is None or not is_truthy(node):
        return TYPES
    found = []
    for one in each(node):
        if is_text(one) and one.value in TYPES:
            found.append(one.value)
        else:
            refusing.say("permission-type", one, words.object_type(text(one)))
    return tuple(found)


def _mode(refusing: Refusing, node: Node | None) -> str | None:
    if node is None or is_nil(node):
        return None
    mode = text(node).rjust(_SHORTEST, "0")
    wrong = next((one for one in mode if not "0" <= one <= "7"), None)
    if len(mode) > _LONGEST:
        refusing.say("permission-mode", node, words.mode_length(mode))
    elif wrong is not None:
        refusing.say("permission-mode", node, words.mode_character(mode, wrong))
    return mode
