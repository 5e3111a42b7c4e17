"""Values of another kind than CodeBuild expects, which it takes or ignores without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.builds.nodes import child, children, is_empty, word
from seatrial.builds.reading import on_failure
from seatrial.builds.refusals import SPEC
from seatrial.findings import Fix, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.rules.look import Look
    from seatrial.findings import Finding
    from seatrial.sources.tree import Node

RULES: tuple[Rule, ...] = (
    Rule(
        id="buildspec/no-phases",
        severity="warning",
        title="There are no phases",
        explanation="Without `phases` nothing runs: the build only takes its artifacts from the source.",
        source=f"{SPEC}#build-spec.phases",
        example="version: 0.2\nartifacts:\n  files: [appspec.yml]\n",
    ),
    Rule(
        id="buildspec/no-commands",
        severity="note",
        title="A phase without commands",
        explanation="A phase with only `finally` or `runtime-versions` is accepted; what is in `finally` runs.",
        source=f"{SPEC}#build-spec.phases",
        example="version: 0.2\nphases:\n  post_build:\n    finally:\n      - echo done\n",
    ),
    Rule(
        id="buildspec/phase-shape",
        severity="warning",
        title="A phase is not a mapping",
        explanation="The commands of a phase are in its list `commands`. A list or text right under the phase does not run.",
        source=f"{SPEC}#build-spec.phases",
        example="version: 0.2\nphases:\n  build:\n    - make\n",
    ),
    Rule(
        id="buildspec/commands-shape",
        severity="warning",
        title="The commands are not a list",
        explanation="`commands` and `finally` are lists of texts, one for each command.",
        source=f"{SPEC}#build-spec.phases.build.commands",
        example="version: 0.2\nphases:\n  build:\n    commands: make\n",
    ),
    Rule(
        id="buildspec/empty-command",
        severity="warning",
        title="An empty command",
        explanation="A `-` with nothing after it is a command without text.",
        source=f"{SPEC}#build-spec.phases.build.commands",
        example="version: 0.2\nphases:\n  build:\n    commands:\n      -\n      - make\n",
    ),
    Rule(
        id="buildspec/text-for-list",
        severity="note",
        title="One text where a list is documented",
        explanation="CodeBuild takes a single text as a list of one. A list says what is meant, and takes a second one.",
        source=SPEC,
        example="version: 0.2\nphases:\n  build:\n    commands: [make]\nartifacts:\n  files: '**/*'\n",
    ),
    Rule(
        id="buildspec/value-shape",
        severity="warning",
        title="A value of the wrong kind",
        explanation="Where CodeBuild expects a text or a mapping there is something else.",
        source=SPEC,
        example="version: 0.2\nenv:\n  variables:\n    - A=1\nphases:\n  build:\n    commands: [make]\n",
    ),
    Rule(
        id="buildspec/on-failure",
        severity="warning",
        title="on-failure says what CodeBuild does not know",
        explanation=(
            "It is ABORT, CONTINUE, RETRY, RETRY-count, RETRY-regex or RETRY-count-regex, in capitals; the count is 0 "
            "to 100."
        ),
        source=f"{SPEC}#build-spec.phases.install.on-failure",
        example="version: 0.2\nphases:\n  build:\n    on-failure: stop\n    commands: [make]\n",
    ),
    Rule(
        id="buildspec/several-documents",
        severity="warning",
        title="There is more than one document",
        explanation="After a line `---` another document begins. CodeBuild reads the first and ignores the others.",
        source="https://yaml.org/spec/1.1/#id857577",
        example="version: 0.2\nphases:\n  build:\n    commands: [make]\n---\nversion: 0.2\n",
    ),
    Rule(
        id="buildspec/no-version",
        severity="note",
        title="A batch without version",
        explanation="A file that only lists the builds of a batch is read without `version`. The reference asks for it.",
        source=f"{SPEC}#build-spec.version",
        example="batch:\n  build-list:\n    - identifier: linux\n",
    ),
)

_FLAGS = frozenset({"yes", "no", "true", "false", "on", "off", "y", "n", ""})


def check(look: Look) -> Iterator[Finding]:
    """Each value that is not what it should be."""
    top = children(look.root)
    if "version" not in top and "batch" in top:
        first = look.root.entries[0][0] if look.root.entries else look.root
        yield look.at("no-version", "note", first, "there is no `version`", cause="CodeBuild takes a file that only has `batch`",
                      source=f"{SPEC}#build-spec.version")  # fmt: skip
    if "phases" not in top and "batch" not in top:
        first = look.root.entries[0][0] if look.root.entries else look.root
        yield look.at("no-phases", "warning", first, "there are no phases, so no command runs",
                      source=f"{SPEC}#build-spec.phases")  # fmt: skip
    if look.reading.documents > 1:
        yield look.at("several-documents", "warning", look.root, f"the file holds {look.reading.documents} documents; CodeBuild reads the first",
                      cause="another begins after each line `---`", source="https://yaml.org/spec/1.1/#id857577")  # fmt: skip
    for name, (_, phase) in look.phases.items():
        yield from _phase(look, name, phase)
    yield from _lists(look)
    yield from _mappings(look)
    yield from _flags(look)


def _phase(look: Look, name: str, phase: Node) -> Iterator[Finding]:
    if phase.kind != "mapping":
        if not is_empty(phase):
            what = "a list" if phase.kind == "sequence" else "a text"
            yield look.at(
                "phase-shape", "warning", phase, f"the phase {name} is {what}, so its commands do not run",
                cause="commands are in the list `commands` of a phase", source=f"{SPEC}#build-spec.phases",
                fix=_add_commands(look, phase),
            )  # fmt: skip
        return
    own = children(phase)
    for kind in ("commands", "finally"):
        if kind in own:
            yield from _commands(look, f"phases.{name}.{kind}", own[kind][1])
    if own and is_empty(child(phase, "commands")) and not _is_setup(name, own):
        key = own["finally"][0] if "finally" in own else next(iter(own.values()))[0]
        yield look.at(
            "no-commands",
            "note",
            key,
            f"the phase {name} has no commands",
            source=f"{SPEC}#build-spec.phases",
        )
    said = child(phase, "on-failure")
    if said is not None and on_failure(word(said)) is None:
        upper = word(said).strip().upper()
        fix = (
            look.replace(said, upper, f"write {upper}", safe=True)
            if upper in ("ABORT", "CONTINUE", "RETRY")
            else None
        )
        yield look.at(
            "on-failure", "warning", said, f"on-failure of {name} is {word(said)!r}, which CodeBuild does not know",
            cause="it is ABORT, CONTINUE, RETRY, RETRY-count, RETRY-regex or RETRY-count-regex", source=RULES[7].source, fix=fix,
        )  # fmt: skip


def _is_setup(name: str, own: dict[str, tuple[Node, Node]]) -> bool:
    return name == "install" and "runtime-versions" in own


def _add_commands(look: Look, phase: Node) -> Fix | None:
    """Put `commands:` above a list that stands right under its phase."""
    if phase.kind != "sequence" or look.source.text[phase.start : phase.start + 1] == "[":
        return None
    line, column = look.source.position(phase.start)
    start = look.source.starts[line - 1]
    if look.source.line(line)[: column - 1].strip() or column == 1:
        return None
    parent = column - 1
    insert = look.edit(start, start, f"{' ' * parent}commands:\n")
    return Fix(title="put the list into commands", safe=False, edits=(insert,))


def _commands(look: Look, path: str, node: Node) -> Iterator[Finding]:
    source = f"{SPEC}#build-spec.phases.build.commands"
    if node.kind == "mapping":
        yield look.at("commands-shape", "warning", node, f"{path} is a mapping, not a list", source=source,
                      cause="each command is an item of a list, with `- ` before it")  # fmt: skip
    elif node.kind == "scalar" and not is_empty(node):
        fix = None
        begin = look.source.text[node.start : node.start + 1]
        if begin not in "|>&!" and "\n" not in look.source.text[node.start : node.end]:
            fix = (
                Fix(
                    title="make it a list",
                    safe=True,
                    edits=(look.edit(node.start, node.start, "["), look.edit(node.end, node.end, "]")),
                )
                if begin in "'\""
                else None
            )
        yield look.at("commands-shape", "warning", node, f"{path} is a text, not a list", source=source,
                      cause="each command is an item of a list, with `- ` before it", fix=fix)  # fmt: skip
    for item in node.items:
        if item.kind == "scalar" and not word(item).strip():
            yield look.at("empty-command", "warning", item, f"{path} has an empty command", source=source)


_LISTS = (
    ("artifacts", "files"), ("artifacts", "exclude-paths"), ("cache", "paths"), ("cache", "fallback-keys"),
    ("env", "exported-variables"),
)  # fmt: skip


def _lists(look: Look) -> Iterator[Finding]:
    places = [(".".join(path), child(look.root, *path)) for path in _LISTS]
    for group in (("reports",), ("artifacts", "secondary-artifacts")):
        places += [
            (f"{'.'.join(group)}.{name}.files", child(node, "files"))
            for name, (_, node) in children(child(look.root, *group)).items()
        ]
    for path, node in places:
        if node is None or node.kind == "sequence" or is_empty(node):
            continue
        if node.kind == "mapping":
            yield look.at("value-shape", "warning", node, f"{path} is a mapping, not a list", source=SPEC)
            continue
        fix = None
        if "\n" not in look.source.text[node.start : node.end] and not set("[]{},") & set(word(node)):
            edits = (look.edit(node.start, node.start, "["), look.edit(node.end, node.end, "]"))
            fix = Fix(title="make it a list", safe=True, edits=edits)
        yield look.at("text-for-list", "note", node, f"{path} is a single text; CodeBuild takes it as a list of one",
                      source=SPEC, fix=fix)  # fmt: skip


_MAPPINGS = (
    ("env",), ("env", "variables"), ("env", "parameter-store"), ("env", "secrets-manager"), ("proxy",), ("phases",),
    ("reports",), ("artifacts",), ("artifacts", "secondary-artifacts"), ("cache",), ("batch",),
)  # fmt: skip


def _mappings(look: Look) -> Iterator[Finding]:
    for path in _MAPPINGS:
        node = child(look.root, *path)
        if node is None or is_empty(node) or node.kind == "mapping":
            continue
        what = "a list" if node.kind == "sequence" else "a text"
        yield look.at(
            "value-shape", "warning", node, f"{'.'.join(path)} is {what}, not a mapping", source=SPEC
        )
    for kind in ("variables", "parameter-store", "secrets-manager"):
        for name, (_, node) in children(child(look.root, "env", kind)).items():
            if node.kind != "scalar":
                what = "a list" if node.kind == "sequence" else "a mapping"
                yield look.at("value-shape", "warning", node, f"the value of {name} in env.{kind} is {what}, not a text",
                              source=f"{SPEC}#build-spec.env.{kind}")  # fmt: skip
    for name, (_, phase) in look.phases.items():
        node = child(phase, "runtime-versions")
        if node is not None and node.kind == "sequence":
            yield look.at("value-shape", "warning", node, f"phases.{name}.runtime-versions is a list, not a mapping",
                          source=f"{SPEC}#build-spec.phases.install.runtime-versions")  # fmt: skip


_YES_NO = (
    ("env", "git-credential-helper"), ("proxy", "upload-artifacts"), ("proxy", "logs"), ("artifacts", "discard-paths"),
    ("artifacts", "enable-symlinks"), ("batch", "fast-fail"),
)  # fmt: skip


def _flags(look: Look) -> Iterator[Finding]:
    for path in _YES_NO:
        node = child(look.root, *path)
        if node is not None and word(node).strip().lower() not in _FLAGS:
            yield look.at(
                "value-shape",
                "warning",
                node,
                f"{'.'.join(path)} is {word(node)!r}, not yes or no",
                source=SPEC,
            )
