"""Keys that CodeBuild ignores: misspelled, at the wrong level, or known to nobody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.builds.nodes import child, children
from seatrial.builds.reading_batch import ENVIRONMENT
from seatrial.builds.refusals import SPEC
from seatrial.builds.rules.moving import moved_to_top, moved_up
from seatrial.builds.rules.refused import nearest_phase
from seatrial.builds.rules.schema import HOMES, PHASES, TOP, Level, levels
from seatrial.findings import Fix, Rule
from seatrial.sources.names import is_same, likeness, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.builds.rules.look import Look
    from seatrial.findings import Finding
    from seatrial.sources.tree import Node

RULES: tuple[Rule, ...] = (
    Rule(
        id="buildspec/unknown-key",
        severity="warning",
        title="A key that CodeBuild does not know",
        explanation="CodeBuild ignores what it does not know without a word, so a misspelled key has no effect.",
        source=SPEC,
        example="version: 0.2\nphases:\n  build:\n    command:\n      - make\n",
    ),
    Rule(
        id="buildspec/misplaced-key",
        severity="warning",
        title="A key at the wrong level",
        explanation=(
            "CodeBuild knows the key, but not here, and ignores it. Mostly it is indented too far or not far enough."
        ),
        source=SPEC,
        example="version: 0.2\nphases:\n  build:\n    commands: [make]\nbuild:\n  commands: [make test]\n",
    ),
    Rule(
        id="buildspec/other-tools-key",
        severity="note",
        title="A key that another tool reads",
        explanation="CodeBuild ignores `eb_codebuild_settings`; the command line of Elastic Beanstalk reads it.",
        source="https://docs.aws.amazon.com/elasticbeanstalk/latest/dg/eb-cli-codebuild.html",
        example="version: 0.2\nphases:\n  build:\n    commands: [make]\neb_codebuild_settings:\n  Timeout: 60\n",
    ),
)

_OTHER_TOOLS = {"eb_codebuild_settings": "the command line of Elastic Beanstalk"}
_SAFE = 0.88
_FREE = re.compile(r"(?:x-|\.|comment|description|note|anchors|definitions)", re.IGNORECASE)


def check(look: Look) -> Iterator[Finding]:
    """Each key that is not known where it stands."""
    version = look.spec.version
    for level in levels(look.root, version):
        for name, (key, value) in children(level.node).items():
            if name not in level.known and not any(key is one for one, _ in _borrowed(level.node)):
                found = _unknown(look, level, name, key, value)
                if found is not None:
                    yield found


def _borrowed(node: Node) -> list[tuple[Node, Node]]:
    """What `<<` brings in is judged where it is written."""
    return [entry for other in node.merged for entry in (*other.entries, *_borrowed(other))]


def _unknown(look: Look, level: Level, name: str, key: Node, value: Node) -> Finding | None:
    if not level.path and name in _OTHER_TOOLS:
        return look.at(
            "other-tools-key", "note", key, f"CodeBuild ignores the key {name!r}",
            cause=f"{_OTHER_TOOLS[name]} reads it", source=RULES[2].source,
        )  # fmt: skip
    where = level.path or "the top level"
    near = nearest(name, level.known)
    if near and near not in children(level.node):
        safe = is_same(name, near) or likeness(name, near) >= _SAFE
        return look.at(
            "unknown-key", "warning", key,
            f"CodeBuild ignores the key {name!r} in {where}; it knows {near!r}", source=SPEC,
            fix=look.replace(key, near, f"rename {name} to {near}", safe=safe),
        )  # fmt: skip
    home = _home(name, level)
    if home:
        return look.at(
            "misplaced-key", "warning", key, f"CodeBuild ignores the key {name!r} in {where}",
            cause=f"it belongs to {home}", source=SPEC, fix=_move(look, level, key, value),
        )  # fmt: skip
    if _FREE.match(name) or _is_shared(look, value):
        return None  # a place for anchors, or a remark
    twice = f"; {near!r} is there as well" if near else ""
    return look.at(
        "unknown-key", "warning", key, f"CodeBuild ignores the key {name!r} in {where}{twice}",
        cause=f"known here: {', '.join(level.known)}", source=SPEC,
    )  # fmt: skip


def _home(name: str, level: Level) -> str:
    if name == "environment_variables":
        return "version 0.1; in 0.2 variables are in `env` with `variables`"
    home = HOMES.get(name) or HOMES.get(nearest_phase(name), "")
    if name in ENVIRONMENT and level.path not in ("", "env"):
        return ""  # `type` in artifacts
    return home


def _move(look: Look, level: Level, key: Node, value: Node) -> Fix | None:
    phases = child(look.root, "phases")
    if key.text in TOP and level.path and key.text not in children(look.root):
        return moved_to_top(look.source, look.root, level.node, key, safe=False)
    if (
        key.text in PHASES
        and phases is not None
        and key.text not in children(phases)
        and value.kind == "mapping"
    ):
        if level.path.startswith("phases."):
            return moved_up(look.source, phases, level.node, key, safe=False)
        if not level.path and phases.kind == "mapping":
            return _into_phases(look, phases, key, value)
    return None


def _into_phases(look: Look, phases: Node, key: Node, value: Node) -> Fix | None:
    """A phase at the top level, where `phases` is right before it: indent it."""
    entries = look.root.entries
    at = next((index for index, (one, _) in enumerate(entries) if one is key), 0)
    names = [one.text for one, _ in entries[:at]]
    if "phases" not in names or any(one not in PHASES for one in names[names.index("phases") + 1 :]):
        return None
    width = look.source.position(phases.start)[1] - look.source.position(key.start)[1]
    first = look.source.position(key.start)[0]
    last = look.source.position(max(value.end - 1, key.end))[0]
    edits = tuple(
        look.edit(look.source.starts[line - 1], look.source.starts[line - 1], " " * width)
        for line in range(first, last + 1)
        if look.source.line(line).strip()
    )
    return (
        Fix(title=f"indent {key.text} so that it is one of phases", safe=False, edits=edits)
        if width > 0
        else None
    )


def _is_shared(look: Look, value: Node) -> bool:
    """Whether a value carries an anchor: it is written here to be used elsewhere."""
    before = look.source.text[: value.start].rstrip()
    head = look.source.text[value.start : value.start + 1]
    line = before.rsplit("\n", 1)[-1]
    return head == "&" or re.search(r":[ \t]+&\S+$", line) is not None
