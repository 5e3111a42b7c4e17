"""Keys and events that nobody reads: misspelled, at the wrong level, or known to nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.deployments.appspec.model import RESERVED_EVENTS, SERVER_HOOKS, Server
from seatrial.deployments.appspec.refusals import SPEC, STRUCTURE
from seatrial.deployments.appspec.ruby import value_of
from seatrial.deployments.appspec.rules.look import lines_of, shifted
from seatrial.findings import Fix, Rule
from seatrial.sources.names import is_same, likeness, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.deployments.appspec.rules.look import Look
    from seatrial.findings import Edit, Finding
    from seatrial.sources.tree import Node

_HEAD = "version: 0.0\nos: linux\n"
RULES: tuple[Rule, ...] = (
    Rule(
        id="appspec/unknown-key",
        severity="warning",
        title="A key that the agent does not know",
        explanation="The agent ignores what it does not know without a word, so a misspelled key has no effect.",
        source=SPEC,
        example=f"{_HEAD}hooks:\n  BeforeInstall:\n    - location: a.sh\n      timout: 30\n",
    ),
    Rule(
        id="appspec/misplaced-key",
        severity="warning",
        title="A key at the wrong level",
        explanation=(
            "The agent knows the key, but not here, and ignores it. Mostly it is indented too far or not far enough: an "
            "event belongs below `hooks`, and `files`, `permissions` and `hooks` at the top level."
        ),
        source=SPEC,
        example=f"{_HEAD}hooks:\nBeforeInstall:\n  - location: a.sh\n",
    ),
    Rule(
        id="appspec/hook-name",
        severity="warning",
        title="There is no such event",
        explanation=(
            "On hosts the agent runs only the scripts of events that it knows, spelled as documented; for others nothing "
            "is run, and nothing is said. `codedeploy-local` refuses them. Install, DownloadBundle, BlockTraffic and "
            "AllowTraffic are carried out by CodeDeploy itself and take no scripts. In a file for Lambda or ECS another "
            "name is an error."
        ),
        source=STRUCTURE.format("hooks"),
        example=f"{_HEAD}hooks:\n  BeforeInstal:\n    - location: a.sh\n",
    ),
)

_TOP = ("version", "os", "files", "permissions", "hooks", "file_exists_behavior")
_MAPPING = ("source", "destination")
_SCRIPT = ("location", "timeout", "runas", "sudo")
_PERMISSION = ("object", "pattern", "except", "owner", "group", "mode", "acls", "context", "type")
_CONTEXT = ("name", "type", "range")
_SECTIONS = ("files", "permissions", "hooks", "file_exists_behavior")
_SAFE = 0.85


def check(look: Look) -> Iterator[Finding]:
    """Each key that is not known where it stands, and each hook of an unknown event."""
    yield from _level(look, look.root, _TOP, "the top level")
    for one in look.mappings:
        yield from _level(look, one, _MAPPING, "files")
    for one in look.permissions:
        yield from _level(look, one, _PERMISSION, "permissions")
        context = value_of(one, "context")
        if context is not None and context.kind == "mapping":
            yield from _level(look, context, _CONTEXT, "context")
    for _, script in look.scripts:
        yield from _level(look, script, _SCRIPT, "a script")
    for key, _ in look.hooks:
        if key.text not in SERVER_HOOKS:
            yield _event(look, key)


def _level(look: Look, node: Node, known: tuple[str, ...], where: str) -> Iterator[Finding]:
    present = {key.text for key, _ in node.entries}
    for key, value in node.entries:
        if key.text in known or key.start < node.start:
            continue
        found = _misplaced(look, key, value, where) or _unknown(look, key, known, where, present)
        if found is not None:
            yield found


def _unknown(look: Look, key: Node, known: tuple[str, ...], where: str, present: set[str]) -> Finding | None:
    near = nearest(key.text, known)
    if near and near not in present:
        safe = is_same(near, key.text) or likeness(near, key.text) >= _SAFE
        # With the right name it may be refused: then it is the user who has to look.
        fix = look.replace(key, near, f"rename {key.text} to {near}", safe=safe)
        return look.at(
            "unknown-key", "warning", key,
            f"the agent ignores the key {key.text!r} in {where}; it knows {near!r}", source=SPEC,
            fix=look.harmless(fix),
        )  # fmt: skip
    if where == "the top level" and (key.text.startswith(("x-", ".", "_")) or key.text == "<<"):
        return None
    cause = _USED_INSTEAD.get((where, key.text)) or f"known here: {', '.join(known)}"
    return look.at(
        "unknown-key", "warning", key, f"the agent ignores the key {key.text!r} in {where}",
        cause=cause, source=SPEC,
    )  # fmt: skip


_USED_INSTEAD = {
    ("context", "user"): "the agent takes the SELinux user from the key `name`",
    ("context", "role"): "the agent sets no role",
    ("files", "overwrite"): "`file_exists_behavior: OVERWRITE` at the top level is for all files",
    ("files", "file_exists_behavior"): "it stands at the top level and is for all files",
    ("the top level", "Resources"): "`Resources` is for Lambda and ECS; a file for hosts has `files`",
}


def _misplaced(look: Look, key: Node, value: Node, where: str) -> Finding | None:
    is_top = where == "the top level"
    if is_top and key.text in SERVER_HOOKS:
        return look.at(
            "misplaced-key", "warning", key, f"the agent ignores {key.text} at the top level",
            cause="an event belongs below `hooks`", source=SPEC, fix=_below_hooks(look, key),
        )  # fmt: skip
    if not is_top and key.text in _SECTIONS:
        fix = _to_top(look, key, value)
        return look.at(
            "misplaced-key", "warning", key, f"the agent ignores the key {key.text!r} in {where}",
            cause="it belongs to the top level", source=SPEC, fix=fix,
        )  # fmt: skip
    return None


def _below_hooks(look: Look, key: Node) -> Fix | None:
    """All events at the top level, where `hooks` stands right before them and is empty or a mapping."""
    entries = look.root.entries
    at = next((index for index, (one, _) in enumerate(entries) if one.text == "hooks"), None)
    hooks = value_of(look.root, "hooks")
    if at is None or hooks is None or hooks.kind == "sequence":
        return None
    edits: list[Edit] = []
    for name, value in entries[at + 1 :]:
        if name.text not in SERVER_HOOKS:
            break
        edits += shifted(look.source, lines_of(look.source, name, value), 2)
    # Scripts run then that did not run before.
    fix = Fix(title=f"indent {key.text} so that it is one of hooks", safe=False, edits=tuple(edits))
    after = look.after(fix) if edits else None
    spec = after.spec if after is not None else None
    return fix if isinstance(spec, Server) and key.text in spec.hooks else None


def _to_top(look: Look, key: Node, value: Node) -> Fix | None:
    """Move an entry to the left, where it is the last of its section."""
    if any(one.text == key.text for one, _ in look.root.entries):
        return None
    width = look.source.position(key.start)[1] - 1
    edits = shifted(look.source, lines_of(look.source, key, value), -width)
    fix = Fix(title=f"move {key.text} to the top level", safe=False, edits=edits)
    after = look.after(fix) if edits else None
    if after is None or after.root is None or len(after.refusals) > len(look.reading.refusals):
        return None
    return fix if any(one.text == key.text for one, _ in after.root.entries) else None


def _event(look: Look, key: Node) -> Finding:
    source = STRUCTURE.format("hooks")
    if key.text in RESERVED_EVENTS:
        return look.at(
            "hook-name", "warning", key, f"scripts of {key.text} are never run",
            cause=f"CodeDeploy carries {key.text} out itself; Before… and After… are there for scripts", source=source,
        )  # fmt: skip
    near = nearest(key.text, SERVER_HOOKS)
    taken = {name.text for name, _ in look.hooks}
    fix = None
    if near and near not in taken:
        fix = look.replace(
            key,
            near,
            f"rename {key.text} to {near}",
            safe=is_same(near, key.text) or likeness(near, key.text) >= _SAFE,
        )
        if key.text.startswith(("Before", "After")) and not near.startswith(key.text[:5]):
            fix = None
    return look.at(
        "hook-name", "warning", key, f"there is no event {key.text}, so its scripts are never run",
        cause=f"known are {', '.join(SERVER_HOOKS)}", source=source, fix=fix,
    )  # fmt: skip
