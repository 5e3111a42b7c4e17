"""Files that are copied to a surprising place, and permissions that are not set as meant."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from seatrial.deployments.appspec.access import entry
from seatrial.deployments.appspec.refusals import STRUCTURE, except_for_file, pattern_for_file
from seatrial.deployments.appspec.ruby import inspect, is_nil, text, value_of
from seatrial.deployments.appspec.rules.look import holds
from seatrial.findings import Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.deployments.appspec.rules.look import Look
    from seatrial.findings import Finding
    from seatrial.sources.tree import Node

_HEAD = "version: 0.0\nos: linux\n"
_FILES, _PERMISSIONS = STRUCTURE.format("files"), STRUCTURE.format("permissions")
RULES: tuple[Rule, ...] = (
    Rule(
        id="appspec/destination-not-absolute",
        severity="warning",
        title="A destination that is no absolute path",
        explanation=(
            "The agent takes it relative to the folder that it was started in, which is `/` for the service, and below the "
            "revision for `codedeploy-local` started there: a folder is then copied into itself. `~` and `$HOME` are not "
            "expanded."
        ),
        source=_FILES,
        example=f"{_HEAD}files:\n  - source: /\n    destination: app\n",
    ),
    Rule(
        id="appspec/destination-inside",
        severity="warning",
        title="A destination in the agent's own folder",
        explanation="The agent keeps its archives and records there, and removes what it does not need any more.",
        source=_FILES,
        example=f"{_HEAD}files:\n  - source: /\n    destination: /opt/codedeploy-agent/deployment-root/app\n",
    ),
    Rule(
        id="appspec/source-pattern",
        severity="warning",
        title="A source with a wildcard",
        explanation="There are no wildcards in `source`: the agent looks for a file with this name, and Install fails.",
        source=_FILES,
        example=f"{_HEAD}files:\n  - source: build/*\n    destination: /srv/app\n",
    ),
    Rule(
        id="appspec/copied-twice",
        severity="warning",
        title="The same source is copied to the same place twice",
        explanation="Install fails where two items of `files` give the same file on the host.",
        source=_FILES,
        example=f"{_HEAD}files:\n  - source: /\n    destination: /srv/app\n  - source: /\n    destination: /srv/app\n",
    ),
    Rule(
        id="appspec/not-text",
        severity="warning",
        title="A path that is no text",
        explanation="YAML makes a number, a date or a list of it. The agent's parser takes it, and Install fails.",
        source=_FILES,
        example=f"{_HEAD}files:\n  - source: 2024\n    destination: /srv/app\n",
    ),
    Rule(
        id="appspec/pattern-for-file",
        severity="warning",
        title="A pattern or exceptions for a single file",
        explanation=(
            "`pattern` and `except` are for folders. Where `object` is a file that is copied, and `type` has `file`, as it "
            "has by default, Install fails."
        ),
        source=_PERMISSIONS,
        example=f'{_HEAD}permissions:\n  - object: /srv/app/run.sh\n    pattern: "*.sh"\n',
    ),
    Rule(
        id="appspec/pattern-across-folders",
        severity="warning",
        title="A pattern that matches nothing",
        explanation="A pattern other than `**` is compared with names directly in `object`; one with `/` matches nothing.",
        source=_PERMISSIONS,
        example=f'{_HEAD}permissions:\n  - object: /srv/app\n    pattern: "bin/*.sh"\n',
    ),
    Rule(
        id="appspec/default-acl-for-file",
        severity="warning",
        title="A default entry of acls for a file",
        explanation="Default entries are for folders. Where `object` is a file that is copied, Install fails.",
        source=_PERMISSIONS,
        example=f"{_HEAD}permissions:\n  - object: /srv/app/run.sh\n    acls: ['d:u:mary:rx']\n",
    ),
    Rule(
        id="appspec/permission-of-nothing",
        severity="note",
        title="A permission that sets nothing",
        explanation="The item has none of owner, group, mode, acls and context.",
        source=_PERMISSIONS,
        example=f"{_HEAD}permissions:\n  - object: /srv/app\n",
    ),
)

_ABSOLUTE = re.compile(r"/|[A-Za-z]:[\\/]|\\\\|%\w+%")
_AGENT = ("/opt/codedeploy-agent", "c:\\programdata\\amazon\\codedeploy")
_SETS = ("owner", "group", "mode", "acls", "context")


def check(look: Look) -> Iterator[Finding]:
    """What is copied or set otherwise than meant."""
    seen: dict[tuple[str, str], int] = {}
    for one in look.mappings:
        source, destination = value_of(one, "source"), value_of(one, "destination")
        if source is None or destination is None or is_nil(source) or is_nil(destination):
            continue
        yield from _paths(look, source, destination)
        pair = posixpath.normpath(text(source)).strip("/"), text(destination).rstrip("/")
        line = look.source.position(one.start)[0]
        if pair in seen:
            yield look.at(
                "copied-twice", "warning", one,
                f"{text(source)} is copied to {text(destination)} twice; the first is on line {seen[pair]}", source=_FILES,
            )  # fmt: skip
        seen.setdefault(pair, line)
    for one in look.permissions:
        yield from _permission(look, one)


def _paths(look: Look, source: Node, destination: Node) -> Iterator[Finding]:
    for name, node in (("source", source), ("destination", destination)):
        if node.kind != "scalar" or not isinstance(node.value, str):
            quoted = look.replace(node, f'"{node.text}"', f"quote the {name}", safe=True)
            yield look.at(
                "not-text", "warning", node, f"{name} is no text: {inspect(node)}; Install fails",
                source=_FILES, fix=quoted if node.kind == "scalar" else None,
            )  # fmt: skip
    if "*" in text(source):
        yield look.at(
            "source-pattern", "warning", source, f"no file is called {text(source)}: source has no wildcards",
            cause="name the folder: its contents are copied", source=_FILES,
        )  # fmt: skip
    where = text(destination)
    if not _ABSOLUTE.match(where) and isinstance(destination.value, str):
        cause = (
            "`~` and variables are not expanded"
            if where.startswith(("~", "$"))
            else "it is taken relative to the folder that the agent was started in"
        )
        yield look.at(
            "destination-not-absolute",
            "warning",
            destination,
            f"{where!r} is no absolute path",
            cause=cause,
            source=_FILES,
        )
    if where.lower().startswith(_AGENT):
        yield look.at(
            "destination-inside", "warning", destination, f"{where} is the agent's own folder", source=_FILES
        )


def _permission(look: Look, node: Node) -> Iterator[Finding]:
    named = value_of(node, "object")
    if named is None or is_nil(named):
        return
    where = text(named).strip()
    pattern, but = value_of(node, "pattern"), value_of(node, "except")
    has_pattern = pattern is not None and holds(pattern) and text(pattern) != "**"
    if where in _copied(look) and _is_for_files(node):
        if has_pattern and pattern is not None:
            yield look.at(
                "pattern-for-file",
                "warning",
                pattern,
                pattern_for_file(where, text(pattern)),
                source=_PERMISSIONS,
            )
        elif but is not None and but.kind == "sequence" and but.items:
            told = except_for_file(where, inspect(but))
            yield look.at("pattern-for-file", "warning", but, told, source=_PERMISSIONS)
        yield from _default_acls(look, node, where)
    globs = [pattern] if has_pattern and pattern is not None else []
    for one in (*globs, *(but.items if but is not None else ())):
        if "/" in text(one).strip("/") or (one is pattern and "/" in text(one)):
            yield look.at(
                "pattern-across-folders", "warning", one, f"{text(one)} matches nothing: names are compared without their folder",
                source=_PERMISSIONS,
            )  # fmt: skip
    if not any(holds(value_of(node, key)) for key in _SETS):
        yield look.at(
            "permission-of-nothing", "note", named, f"nothing is set for {where}", source=_PERMISSIONS
        )


def _copied(look: Look) -> set[str]:
    """The files that are copied, as far as names tell that they are files: those with a suffix."""
    found = set()
    for one in look.mappings:
        source, destination = value_of(one, "source"), value_of(one, "destination")
        name = posixpath.basename(text(source))
        if (
            source is not None
            and destination is not None
            and "." in name.lstrip(".")
            and not text(source).endswith("/")
        ):
            found.add(posixpath.join(text(destination), name))
    return found


def _is_for_files(node: Node) -> bool:
    kinds = value_of(node, "type")
    return kinds is None or not holds(kinds) or any(text(one) == "file" for one in kinds.items)


def _default_acls(look: Look, node: Node, where: str) -> Iterator[Finding]:
    acls = value_of(node, "acls")
    for one in acls.items if acls is not None else ():
        made = entry(text(one))
        if made is not None and made.default:
            yield look.at(
                "default-acl-for-file", "warning", one,
                f"{text(one)} is a default entry, and {where} is a file: Install fails", source=_PERMISSIONS,
            )  # fmt: skip
