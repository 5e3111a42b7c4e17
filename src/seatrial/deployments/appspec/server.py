"""An application specification for hosts, as the agent's parser goes through it.

The parser stops at the first thing that it refuses. Here the rest is looked at as well, so that one reading tells
everything; the first refusal is the one that the agent would report.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal

from seatrial.deployments.appspec import refusals as words
from seatrial.deployments.appspec.model import (
    DEFAULT_TIMEOUT,
    FILE_EXISTS,
    FileExists,
    Mapping,
    Os,
    Script,
    Server,
)
from seatrial.deployments.appspec.permissions import permissions
from seatrial.deployments.appspec.refusing import Refusing
from seatrial.deployments.appspec.ruby import (
    integer,
    is_nil,
    is_text,
    is_truthy,
    lookup,
    no_method,
    strip,
    text,
)

if TYPE_CHECKING:
    from seatrial.findings import Finding
    from seatrial.sources.text import Source
    from seatrial.sources.tree import Node

Host = Literal["linux", "windows"]


def server(source: Source, root: Node | None, host: Host) -> tuple[Server | None, tuple[Finding, ...]]:
    """What an agent on `host` understands, or None and why it refuses, first what it says first."""
    refusing = Refusing(source)
    if not is_truthy(root):
        refusing.say("empty", root, words.EMPTY)
        return None, tuple(refusing.findings)
    spec = refusing.attempt(lambda: _server(refusing, root, host)) if root else None
    return (None if refusing.findings else spec), tuple(refusing.findings)


def _server(refusing: Refusing, root: Node, host: Host) -> Server:
    """Ruby's `[]` decides what a file that is no mapping is refused for: hence `lookup`."""
    version = _version(refusing, root)
    system = _system(refusing, root, host)
    hooks = refusing.attempt(lambda: _hooks(refusing, lookup(root, "hooks")))
    files = refusing.attempt(lambda: _files(refusing, lookup(root, "files")))
    allowed = refusing.attempt(
        lambda: permissions(refusing, lookup(root, "permissions"), on_windows=system == "windows")
    )
    return Server(
        version=version,
        os=system,
        hooks=hooks or {},
        files=files or (),
        permissions=allowed or (),
        file_exists_behavior=_file_exists(refusing, root),
    )


def _version(refusing: Refusing, root: Node) -> float:
    node = lookup(root, "version")
    value = node.value if node is not None and node.kind == "scalar" else None
    if isinstance(value, int | float) and not isinstance(value, bool) and value == 0:
        return value
    refusing.say("version", node, words.version(text(node)), missing=None if node else root)
    return 0.0


def _system(refusing: Refusing, root: Node, host: Host) -> Os:
    node = lookup(root, "os")
    if node is None or not is_text(node) or node.value != host:
        refusing.say("os", node, words.system(text(node)), missing=None if node else root)
    return host


def _file_exists(refusing: Refusing, root: Node) -> FileExists | None:
    node = lookup(root, "file_exists_behavior")
    if node is None or is_nil(node):
        return None
    found = next((one for one in FILE_EXISTS if is_text(node) and node.value == one), None)
    if found is None:
        refusing.say("file-exists-behavior", node, words.file_exists(text(node)))
    return found


def _hooks(refusing: Refusing, node: Node | None) -> dict[str, tuple[Script, ...]]:
    if node is None or not is_truthy(node):
        return {}
    if node.kind != "mapping":
        raise no_method("each_pair", node)
    found: dict[str, tuple[Script, ...]] = {}
    for key, scripts in node.entries:
        if is_truthy(scripts):
            found[text(key)] = refusing.attempt(partial(_scripts, refusing, scripts)) or ()
    return found


def _scripts(refusing: Refusing, node: Node) -> tuple[Script, ...]:
    return refusing.every(node, partial(_script, refusing))


def _script(refusing: Refusing, node: Node) -> Script | None:
    if node.kind != "mapping":
        raise no_method("has_key?", node)
    where = lookup(node, "location")
    location = strip(text(where))
    if not location:
        refusing.say("hook-location", where or node, words.NO_LOCATION)
    runas = lookup(node, "runas")
    said = lookup(node, "timeout")
    timeout = integer(said) if said is not None and is_truthy(said) else DEFAULT_TIMEOUT
    if timeout <= 0:
        refusing.say("timeout", said or node, words.TIMEOUT)
    place = refusing.place(where or node)
    return Script(
        location,
        timeout,
        None if is_nil(runas) else strip(text(runas)),
        is_truthy(lookup(node, "sudo")),
        place,
    )


def _files(refusing: Refusing, node: Node | None) -> tuple[Mapping, ...]:
    if node is None or not is_truthy(node):
        return ()
    return refusing.every(node, partial(_mapping, refusing))


def _mapping(refusing: Refusing, node: Node) -> Mapping | None:
    source, destination = lookup(node, "source"), lookup(node, "destination")
    if is_nil(source):
        refusing.say("files-source", source or node, words.NO_SOURCE)
    elif is_nil(destination):
        refusing.say("files-destination", destination or node, words.no_destination(text(source)))
    else:
        return Mapping(text(source), text(destination), refusing.place(node))
    return None
