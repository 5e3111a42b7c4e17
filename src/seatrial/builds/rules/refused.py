"""What CodeBuild refuses, with the cause and a fix that was tried."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.builds.nodes import child, children, is_empty, word
from seatrial.builds.reading import Reading, read
from seatrial.builds.refusals import PHASE_NAMES, SPEC
from seatrial.builds.rules.look import edit
from seatrial.builds.rules.moving import moved_to_top, nested_into
from seatrial.builds.rules.quoting import quoted
from seatrial.builds.rules.repairs import repair
from seatrial.findings import Fix, Rule
from seatrial.sources.edits import edited

if TYPE_CHECKING:
    from seatrial.findings import Finding
    from seatrial.sources.text import Source
    from seatrial.sources.tree import Node

RULES: tuple[Rule, ...] = (
    Rule(
        id="buildspec/missing",
        severity="error",
        title="The buildspec is not there",
        explanation="CodeBuild looks for `buildspec.yml` in the root of the source, or for the path that the project names.",
        source="https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html#build-spec-ref-name-storage",
    ),
    Rule(
        id="buildspec/no-mapping",
        severity="error",
        title="The buildspec is not a mapping of keys",
        explanation="An empty file, a list or a single text is refused before anything runs.",
        source=SPEC,
        example="- version: 0.2\n",
    ),
    Rule(
        id="buildspec/version",
        severity="error",
        title="The version is neither 0.1 nor 0.2",
        explanation="`version` is that of the buildspec's format, not of the project. Only 0.2 and, for old files, 0.1 exist.",
        source=f"{SPEC}#build-spec.version",
        example="version: 1.0\nphases:\n  build:\n    commands: [make]\n",
    ),
    Rule(
        id="buildspec/phase-name",
        severity="error",
        title="There is no such phase",
        explanation=(
            "`phases` holds install, pre_build, build and post_build, spelled like this, and nothing else. Often "
            "`artifacts`, `reports` or `cache` is indented too far."
        ),
        source=f"{SPEC}#build-spec.phases",
        example="version: 0.2\nphases:\n  test:\n    commands: [make test]\n",
    ),
    Rule(
        id="buildspec/command-type",
        severity="error",
        title="A command is not a text",
        explanation=(
            "Without quotes, `- echo a: b` is a mapping with the key `echo a`, also when the colon stands within the "
            "quotes of the shell, and `- {…}` or `- […]` is a collection. Put the whole command in quotes, or write it "
            "as a `|` block."
        ),
        source=f"{SPEC}#build-spec.phases.build.commands",
        example='version: 0.2\nphases:\n  build:\n    commands:\n      - echo "Image: $IMAGE"\n',
    ),
)

_TOP = frozenset({"version", "run-as", "env", "proxy", "batch", "reports", "artifacts", "cache"})
_IN_PHASE = frozenset({"commands", "finally", "runtime-versions", "run-as", "on-failure"})
_OTHER_TOOLS = frozenset({"run", "script", "command", "cmd", "sh", "bash"})
_SHOWN = 40
_CLOSE = 0.8
_ONE_WORD = re.compile(r"[A-Za-z_][\w-]*")


def explained(source: Source, reading: Reading) -> list[Finding]:
    """The refusals with cause and fix."""
    return [_explained(source, reading, one) for one in reading.refusals]


def _explained(source: Source, reading: Reading, one: Finding) -> Finding:
    if one.rule == "source/yaml-syntax":
        cause, fix = repair(source, one)
        return msgspec.structs.replace(one, cause=cause or one.cause, fix=fix)
    if reading.document is None:
        return one
    root = reading.document.root
    if one.rule == "buildspec/version":
        return _version(source, root, one)
    if one.rule == "buildspec/phase-name":
        return _phase_name(source, root, one)
    if one.rule == "buildspec/command-type":
        return _command(source, root, one)
    return one


def _helps(source: Source, fix: Fix | None) -> Fix | None:
    """The fix, if CodeBuild has one reason less to refuse the file with it."""
    if fix is None:
        return None
    spans = tuple((source.offset(each.start), source.offset(each.end), each.text) for each in fix.edits)
    before, after = read(source).refusals, read(edited(source, spans)).refusals
    fewer = len(after) < len(before)
    return fix if fewer and not any(each.rule == "source/yaml-syntax" for each in after) else None


def _version(source: Source, root: Node, one: Finding) -> Finding:
    found = children(root)
    if "version" in found:
        node = found["version"][1]
        safe = word(node) != ""
        fix = Fix(
            title="say version: 0.2",
            safe=safe,
            edits=(edit(source, node.start, node.end, "0.2" if safe else " 0.2"),),
        )
        return msgspec.structs.replace(one, fix=_helps(source, fix))
    near = [name for name in found if difflib.SequenceMatcher(None, name.lower(), "version").ratio() > _CLOSE]
    if near:
        key = found[near[0]][0]
        rename = edit(source, key.start, key.end, "version")
        fix = Fix(title=f"rename {near[0]} to version", safe=True, edits=(rename,))
        cause = f"there is no `version`; {near[0]!r} is probably meant to be it"
        return msgspec.structs.replace(one, cause=cause, fix=_helps(source, fix))
    insert = edit(source, root.start, root.start, "version: 0.2\n")
    if source.position(root.start)[1] != 1 or source.text[root.start : root.start + 1] == "{":
        return one
    fix = Fix(title="add version: 0.2", safe=True, edits=(insert,))
    return msgspec.structs.replace(one, fix=_helps(source, fix))


def nearest_phase(name: str) -> str:
    """The phase that a misspelled name means; empty where none looks like it."""
    plain = re.sub(r"[^a-z]", "", name.lower())
    for phase in PHASE_NAMES:
        if plain == phase.replace("_", ""):
            return phase
    close = difflib.get_close_matches(name.lower().replace("-", "_"), PHASE_NAMES, n=1, cutoff=0.8)
    return close[0] if close else ""


def _phase_name(source: Source, root: Node, one: Finding) -> Finding:
    phases = child(root, "phases")
    at = source.offset((one.line, one.column))
    for name, (key, _) in children(phases).items():
        if key.start != at or phases is None:
            continue
        near = nearest_phase(name)
        if near and near not in children(phases):
            rename = edit(source, key.start, key.end, near)
            fix = Fix(title=f"rename {name} to {near}", safe=True, edits=(rename,))
            return msgspec.structs.replace(one, cause=f"the phase is called {near}", fix=_helps(source, fix))
        if name in _TOP:
            return _too_deep(source, root, phases, key, one)
        if name in _IN_PHASE:
            moved = nested_into(source, phases, key)
            return msgspec.structs.replace(
                one, cause=f"`{name}` belongs within a phase", fix=_helps(source, moved)
            )
        cause = "`variables` belongs to `env`" if name == "variables" else ""
        return msgspec.structs.replace(
            one, cause=cause or "there are only these four; put the commands into one of them"
        )
    return one


def _too_deep(source: Source, root: Node, phases: Node, key: Node, one: Finding) -> Finding:
    name = key.text
    cause = f"`{name}` belongs to the top level, not to `phases`: it is indented too far"
    if name in children(root):
        return msgspec.structs.replace(one, cause=f"{cause}; the top level has one as well")
    fix = moved_to_top(source, root, phases, key, safe=True)
    return msgspec.structs.replace(one, cause=cause, fix=_helps(source, fix))


def _command(source: Source, root: Node, one: Finding) -> Finding:
    at = source.offset((one.line, one.column))
    for _, phase in children(child(root, "phases")).values():
        for kind in ("commands", "finally"):
            listed = child(phase, kind)
            for item in listed.items if listed is not None else []:
                if item.start == at and item.kind != "scalar":
                    return _not_a_text(source, item, one)
    return one


def _not_a_text(source: Source, item: Node, one: Finding) -> Finding:
    raw = source.text[item.start : item.end].rstrip()
    indent = source.position(item.start)[1] - 1
    if item.kind == "sequence" or raw[:1] in ("{", "["):
        if raw[:1] not in ("{", "["):
            return msgspec.structs.replace(one, cause="the item is a list: there is one `- ` too many")
        cause = f"a value that begins with `{raw[:1]}` is a collection to YAML, whatever the shell would make of it"
        line_end = source.text.find("\n", item.end)
        rest = source.text[item.end : line_end if line_end >= 0 else len(source.text)]
        fix = (
            _quote(source, item.start, item.end, raw, indent)
            if "\n" not in raw and not rest.strip()
            else None
        )
        return msgspec.structs.replace(one, cause=cause, fix=_helps(source, fix))
    if len(item.entries) != 1:
        return msgspec.structs.replace(one, cause="the item is a mapping of several keys, not a command")
    key, value = item.entries[0]
    if key.text in _OTHER_TOOLS and value.kind == "scalar" and not is_empty(value):
        own = source.text[value.start : value.end]
        fix = Fix(title="leave only the command", safe=True, edits=(edit(source, item.start, item.end, own),))
        cause = f"`{key.text}:` is how other services write a command; here the item is the command itself"
        return msgspec.structs.replace(one, cause=cause, fix=_helps(source, fix))
    if value.kind != "scalar" or source.text[value.start : value.start + 1] in ("|", ">"):
        return msgspec.structs.replace(one, cause=f"the item is a mapping with the key {key.text!r}")
    cause = f"`: ` makes it a mapping with the key {_shown(key.text)}, also within the quotes of the shell"
    end = item.end if not is_empty(value) else source.text.index(":", key.end) + 1
    text = " ".join(source.text[item.start : end].split("\n")).rstrip()
    text = re.sub(r"[ \t]{2,}", " ", text) if "\n" in raw else text
    safe = _ONE_WORD.fullmatch(key.text) is None
    fix = _quote(source, item.start, end, text, indent, safe=safe)
    return msgspec.structs.replace(one, cause=cause, fix=_helps(source, fix))


def _quote(source: Source, start: int, end: int, text: str, indent: int, *, safe: bool = True) -> Fix:
    return Fix(title="quote the command", safe=safe, edits=(edit(source, start, end, quoted(text, indent)),))


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}…")
