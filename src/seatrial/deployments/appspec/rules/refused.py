"""What AWS refuses, with the cause and a fix that was tried."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.deployments.appspec.kind import other
from seatrial.deployments.appspec.refusals import SPEC
from seatrial.deployments.appspec.ruby import value_of
from seatrial.deployments.appspec.rules.look import edit, is_block
from seatrial.deployments.appspec.rules.repairs import repair
from seatrial.deployments.appspec.rules.shapes import reshape
from seatrial.findings import Fix

if TYPE_CHECKING:
    from seatrial.deployments.appspec.kind import Other
    from seatrial.deployments.appspec.reading import Reading
    from seatrial.deployments.appspec.rules.look import Look
    from seatrial.findings import Finding
    from seatrial.sources.text import Source
    from seatrial.sources.tree import Node

_WHAT: dict[Other, tuple[str, str]] = {
    "buildspec": (
        "a buildspec, which CodeBuild reads",
        "name it buildspec.yml; an appspec has version 0.0 with os, files and hooks, or Resources",
    ),
    "cloudformation": ("a CloudFormation template", "deploy it with CloudFormation or SAM, under another name"),
    "kubernetes": ("a Kubernetes manifest", "apply it with kubectl, under another name"),
    "pipeline": ("a pipeline of CodePipeline", "give it to `aws codepipeline`, under another name"),
    "compose": ("a Compose file", "name it compose.yaml"),
    "script": ("a script", "put it beside, and name it as `location` of a hook"),
}  # fmt: skip
_CLOSE = 0.7
_DATE = re.compile(r"[0-9]{4}-[-0-9:TtZz.+ ]+")
_LINUX = (
    "linux", "ubuntu", "debian", "amazon", "al2", "rhel", "redhat", "red hat", "centos", "suse", "unix", "fedora",
    "rocky", "alma", "bottlerocket",
)  # fmt: skip
# What people write instead, by the key that is missing.
_ALSO = {
    "location": ("script", "path", "file", "command", "run", "source"),
    "source": ("src", "from", "file", "path"),
    "destination": ("dest", "dst", "target", "to"),
    "object": ("path", "file", "target", "destination", "location"),
    "version": (),
    "os": ("operating-system", "operating_system", "platform"),
}


def explained(look: Look) -> list[Finding]:
    """The refusals with cause and fix; what plainly is another file has one finding alone."""
    what = other(look.source.text, look.root)
    if what is not None and look.reading.refusals:
        return [elsewhere(look.reading.refusals[0], what)]
    return [_explained(look, one) for one in look.reading.refusals]


def elsewhere(first: Finding, what: Other) -> Finding:
    """AWS's answer, and what the file is instead."""
    shown, todo = _WHAT[what]
    return msgspec.structs.replace(
        first, rule="appspec/other-file", cause=f"this is {shown}; {todo}", source=SPEC, fix=None
    )


def unreadable(source: Source, reading: Reading) -> list[Finding]:
    """The refusals of a file that is not YAML, or is no mapping."""
    root, first = reading.root, reading.refusals[0]
    what = other(source.text, root if root is not None and root.kind == "mapping" else None)
    if what is not None:
        return [elsewhere(first, what)]
    if first.rule == "appspec/alias":
        return [
            msgspec.structs.replace(
                first, cause="the agent 1.8 reads YAML without aliases; write the value out"
            )
        ]
    if first.rule == "appspec/yaml-class":
        return [_dated(source, first)]
    if first.rule != "source/yaml-syntax":
        return list(reading.refusals)
    cause, fix = repair(source, reading, first)
    return [msgspec.structs.replace(first, cause=cause or first.cause, fix=fix)]


def _dated(source: Source, one: Finding) -> Finding:
    """A date or a time without quotes."""
    offset = source.offset((one.line, one.column))
    found = _DATE.match(source.text, offset)
    if found is None:
        return msgspec.structs.replace(one, cause="the agent takes no objects of Ruby's; write a plain value")
    said = found.group().rstrip()
    change = edit(source, offset, offset + len(said), f'"{said}"')
    fix = Fix(title="quote the date", safe=True, edits=(change,))
    return msgspec.structs.replace(
        one, cause="YAML makes a date of it, which the agent does not take", fix=fix
    )


def _explained(look: Look, one: Finding) -> Finding:
    offset = look.source.offset((one.line, one.column))
    node = _deepest(look.root, offset)
    cause: str = one.cause
    fix: Fix | None = None
    if one.rule == "appspec/version":
        fix = _version(look)
    elif one.rule == "appspec/os":
        cause, fix = _system(look)
    elif one.rule in _MISSING:
        fix = _missing(look, one, offset)
    elif one.rule in ("appspec/file-exists-behavior", "appspec/permission-type"):
        fix = _value(look, node)
    elif one.rule == "appspec/permission-mode":
        cause, fix = _mode(look, node)
    elif one.rule == "appspec/shape":
        cause, fix = reshape(look, offset)
    elif look.reading.platform != "server" and one.rule == "appspec/property-missing":
        fix = _misspelled(look, one, offset)
    # Behind a value of the wrong form the agent may find more to refuse: `reshape` has tried its repair itself.
    tried = fix if one.rule == "appspec/shape" else look.helps(fix)
    return msgspec.structs.replace(one, cause=cause or one.cause, fix=tried)


_MISSING = {
    "appspec/hook-location": "location",
    "appspec/files-source": "source",
    "appspec/files-destination": "destination",
    "appspec/permission-object": "object",
}


def _missing(look: Look, one: Finding, offset: int) -> Fix | None:
    """A key that must be there: it is misspelled, or it stands in the item before."""
    item = _item(look.root, offset)
    if one.rule.startswith("appspec/files"):
        others = [found for key in ("source", "destination") if (found := _renamed(look, item, key))]
        edits = tuple(change for found in others for change in found.edits)
        title = ", ".join(found.title for found in others)
        return Fix(title=title, safe=all(found.safe for found in others), edits=edits) if others else None
    fix = _renamed(look, item, _MISSING[one.rule])
    if fix is None and item is not None and one.rule == "appspec/hook-location":
        fix = _joined(look, item)
    return fix


def _joined(look: Look, item: Node) -> Fix | None:
    """An item that only says how the script before it is run: a dash too many."""
    listed = next((listed for _, listed in look.hooks if any(one is item for one in listed.items)), None)
    at = next((at for at, one in enumerate(listed.items if listed else ()) if one is item), 0)
    if listed is None or at == 0 or not is_block(look.source, listed):
        return None
    before = {key.text for key, _ in listed.items[at - 1].entries}
    here = {key.text for key, _ in item.entries}
    dash = look.source.text.rfind("-", 0, item.start)
    if "location" not in before or before & here or not here <= {"timeout", "runas", "sudo"}:
        return None
    change = edit(look.source, dash, dash + 1, " ")
    return Fix(title="make it part of the script before", safe=True, edits=(change,))


def _version(look: Look) -> Fix | None:
    node = _of(look, "version")
    if node is not None:
        if node.kind != "scalar":
            return None
        return look.replace(node, "0.0", "say version: 0.0", safe=True)
    renamed = _renamed(look, look.root, "version")
    return renamed or _inserted(look, look.root.start, "version: 0.0", safe=True)


def _of(look: Look, key: str) -> Node | None:
    if look.reading.platform == "server":
        return value_of(look.root, key)
    return next((value for name, value in look.root.entries if name.text.lower() == key.lower()), None)


def _system(look: Look) -> tuple[str, Fix | None]:
    node = value_of(look.root, "os")
    if node is None:
        return _without_system(look)
    said = node.text.strip().lower()
    if said == "windows" and look.reading.host == "linux":
        return "only the agent on Windows takes `os: windows`", None
    close = difflib.get_close_matches(said, ("linux",), cutoff=_CLOSE)
    meant = "linux" if close or any(one in said for one in _LINUX) else None
    if "win" in said and look.reading.host == "windows":
        meant = "windows"
    return "", look.replace(node, meant, f"say os: {meant}", safe=True) if meant else None


def _without_system(look: Look) -> tuple[str, Fix | None]:
    renamed = _renamed(look, look.root, "os")
    if renamed is not None:
        return "", renamed
    if any(key.text.lower() == "resources" for key, _ in look.root.entries):
        return "a file with `Resources` is for Lambda or ECS, and no host takes it", None
    version = next((value for key, value in look.root.entries if key.text == "version"), None)
    where = version.end if version is not None else look.root.start
    return "", _inserted(look, where, f"os: {look.reading.host}", safe=_is_posix(look))


def _is_posix(look: Look) -> bool:
    """Whether the file plainly is for Linux: a destination that begins with a slash."""
    found = (value_of(one, "destination") for one in look.mappings)
    return any(one is not None and one.text.startswith("/") for one in found)


def _inserted(look: Look, offset: int, line: str, *, safe: bool) -> Fix | None:
    """A new line at the top level: before the line of `offset` where that is the root's, else after it."""
    if not is_block(look.source, look.root) or look.source.position(look.root.start)[1] != 1:
        return None
    newline = look.source.newline
    if offset == look.root.start:
        change = edit(look.source, offset, offset, f"{line}{newline}")
    else:
        number = look.source.position(offset)[0]
        end = look.source.starts[number - 1] + len(look.source.line(number))
        change = edit(look.source, end, end, f"{newline}{line}")
    return Fix(title=f"add {line}", safe=safe, edits=(change,))


def _renamed(look: Look, item: Node | None, wanted: str) -> Fix | None:
    """The key of a mapping that was probably meant to be `wanted`."""
    if item is None or item.kind != "mapping":
        return None
    names = {key.text: key for key, _ in item.entries}
    plain = {name.lower().strip("-_ "): name for name in names}
    found: str | None
    if wanted in plain and plain[wanted] != wanted:
        found, safe = plain[wanted], True
    else:
        close = difflib.get_close_matches(wanted, [one for one in names if one != wanted], n=1, cutoff=_CLOSE)
        other_name = next((one for one in names if one.lower() in _ALSO.get(wanted, ())), None)
        found, safe = (close[0], True) if close else (other_name, False)
    if found is None or wanted in names:
        return None
    return look.replace(names[found], wanted, f"rename {found} to {wanted}", safe=safe)


def _misspelled(look: Look, one: Finding, offset: int) -> Fix | None:
    wanted = one.message.rsplit(" ", 1)[-1]
    return _renamed(look, _item(look.root, offset), wanted)


def _value(look: Look, node: Node | None) -> Fix | None:
    if node is None or node.kind != "scalar":
        return None
    said = node.text.strip()
    if said.upper() in ("DISALLOW", "OVERWRITE", "RETAIN"):
        return look.replace(node, said.upper(), f"say {said.upper()}", safe=True)
    known = {
        "files": "file",
        "f": "file",
        "dir": "directory",
        "directories": "directory",
        "folder": "directory",
    }
    meant = known.get(said.lower()) or next(
        iter(difflib.get_close_matches(said.lower(), ("file", "directory"), cutoff=_CLOSE)), None
    )
    return look.replace(node, meant, f"say {meant}", safe=True) if meant else None


def _mode(look: Look, node: Node | None) -> tuple[str, Fix | None]:
    if node is None or node.kind != "scalar" or not isinstance(node.value, int):
        return "", None
    if not node.text.startswith("0"):
        return "", None
    cause = f"YAML 1.1 reads {node.text} without quotes as an octal number, {node.value} in decimal"
    return cause, look.replace(node, f'"{node.text}"', "quote the mode", safe=True)


def _deepest(node: Node, offset: int) -> Node | None:
    """The scalar or empty collection that begins at an offset."""
    for one in (*node.items, *(part for entry in node.entries for part in entry)):
        found = _deepest(one, offset)
        if found is not None:
            return found
    return node if node.start == offset and not node.items and not node.entries else None


def _item(node: Node, offset: int) -> Node | None:
    """The innermost mapping around an offset."""
    for one in (*node.items, *(value for _, value in node.entries)):
        if one.start <= offset <= one.end:
            found = _item(one, offset)
            if found is not None:
                return found
    return node if node.kind == "mapping" else None
