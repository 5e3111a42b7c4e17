"""Why CodeBuild would not read a buildspec: its own message, word for word, and where it is about.

Each of these ends a build in DOWNLOAD_SOURCE with the status code YAML_FILE_ERROR. The texts are those of public build
logs. `at line N` in a message counts as CodeBuild counts, which is from 0 for a syntax error; the finding's own place
counts from 1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from seatrial.builds.nodes import children, is_empty, word
from seatrial.findings import Place
from seatrial.sources.text import finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.findings import Finding
    from seatrial.sources.text import Source
    from seatrial.sources.tree import Node

SPEC = "https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html"
STATUS_CODE = "YAML_FILE_ERROR"
VERSIONS = ("0.1", "0.2")
PHASE_NAMES = ("build", "install", "post_build", "pre_build")
_LISTS = (("commands", "Commands"), ("finally", "Finally"))


def refusals(source: Source, root: Node) -> tuple[Finding, ...]:
    """What CodeBuild refuses in a file that is YAML; first what it meets first."""
    if root.kind != "mapping":
        return (_no_mapping(source, root),)
    return (*_version(source, root), *_phases(source, root))


def missing(path: str, why: str) -> Finding:
    """The file is not there."""
    return finding(
        "buildspec/missing",
        "error",
        Place(path, (1, 1), (1, 1)),
        f"stat /codebuild/output/src/{path}: no such file or directory",
        cause=f"CodeBuild looks for this path in the root of the primary source. Here {why}",
        source="https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html#build-spec-ref-name-storage",
    )


def syntax(source: Source, error: Any, cause: str = "") -> Finding:
    """The text is not YAML. `error` is PyYAML's, `cause` what is known about it."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "context", None) or str(error)
    if isinstance(character := getattr(error, "character", None), int):
        place, message = (
            source.place(max(source.text.find(chr(character)), 0)),
            "control characters are not allowed",
        )
    elif problem == "found undefined alias" and mark is not None:
        name = _ALIAS.match(source.text, mark.index)
        place = source.place(mark.index)
        message = f"unknown anchor '{name[1] if name else ''}' referenced"
    else:
        place = source.place(mark.index if mark is not None else 0)
        message = f"{_go_words(problem)} at line {mark.line if mark is not None else 0}"
    return finding(
        "source/yaml-syntax", "error", place, message, cause=cause, source="https://yaml.org/spec/1.1/"
    )


_ALIAS = re.compile(r"\*([^\s,\[\]{}]*)")

# PyYAML's own parser, which reads where libyaml is absent, says some things in other words than libyaml and go-yaml.
_WORDS = {
    "mapping values are not allowed here": "mapping values are not allowed in this context",
    "sequence entries are not allowed here": "block sequence entries are not allowed in this context",
    "mapping keys are not allowed here": "mapping keys are not allowed in this context",
}
_STARTS = (
    ("expected <block end>, but found '-'", "did not find expected '-' indicator"),
    ("expected <block end>", "did not find expected key"),
    ("expected alphabetic or numeric character", "did not find expected alphabetic or numeric character"),
    ("expected ',' or ']'", "did not find expected ',' or ']'"),
    ("expected ',' or '}'", "did not find expected ',' or '}'"),
    ("expected the node content", "did not find expected node content"),
    ("found unexpected ':'", "found unexpected ':'"),
)


def _go_words(problem: str) -> str:
    if problem in _WORDS:
        return _WORDS[problem]
    if problem.startswith("found character ") and problem.endswith("that cannot start any token"):
        return "found character that cannot start any token"
    return next((said for start, said in _STARTS if problem.startswith(start)), problem)


def _no_mapping(source: Source, root: Node) -> Finding:
    empty = is_empty(root)
    return finding(
        "buildspec/no-mapping",
        "error",
        source.place(root.start, max(root.end, root.start)),
        "Wrong number of container tags, expected 1",
        cause="the file is empty" if empty else f"the file is a {_KIND[root.kind]}, not a mapping of keys",
        source=SPEC,
    )


_KIND = {"scalar": "single value", "sequence": "list", "mapping": "mapping"}


def _version(source: Source, root: Node) -> Iterator[Finding]:
    entry = children(root).get("version")
    if entry is None:
        # A file that only lists the builds of a batch does without.
        if "batch" not in children(root):
            yield finding(
                "buildspec/version",
                "error",
                source.place(root.start, root.start),
                "invalid buildspec `version` specified: , see documentation",
                cause="there is no `version`",
                source=f"{SPEC}#build-spec.version",
            )
        return
    said = word(entry[1]).strip()
    if said in VERSIONS:
        return
    yield finding(
        "buildspec/version",
        "error",
        source.place(entry[1].start, max(entry[1].end, entry[1].start)),
        f"invalid buildspec `version` specified: {said}, see documentation",
        cause="only 0.2 and, for old files, 0.1 exist",
        source=f"{SPEC}#build-spec.version",
    )


def _phases(source: Source, root: Node) -> Iterator[Finding]:
    entry = children(root).get("phases")
    for name, (key, phase) in children(entry[1] if entry else None).items():
        if name not in PHASE_NAMES:
            yield finding(
                "buildspec/phase-name",
                "error",
                source.place(key.start, key.end),
                f"Invalid buildspec phase name: {name}. Expecting: {','.join(PHASE_NAMES)}",
                source=f"{SPEC}#build-spec.phases",
            )
        for list_name, shown in _LISTS:
            commands = children(phase).get(list_name)
            if commands is not None and commands[1].kind == "sequence":
                yield from _commands(source, commands[1], shown)


def _commands(source: Source, commands: Node, shown: str) -> Iterator[Finding]:
    for index, item in enumerate(commands.items):
        if item.kind == "scalar":
            continue
        place = source.place(item.start, item.end)
        yield finding(
            "buildspec/command-type",
            "error",
            place,
            f"Expected {shown}[{index}] to be of string type: found subkeys instead at line {place.line}, "
            f"value of the key tag on line {place.line - 1} might be empty",
            source="https://docs.aws.amazon.com/codebuild/latest/userguide/build-spec-ref.html#build-spec.phases.build.commands",
        )
