"""What can be wrong with a file whatever it is for: encoding, merge conflicts, syntax, keys given twice."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.sources.text import Source, SourceError, finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.checking.subject import Subject
    from seatrial.findings import Finding
    from seatrial.sources.tree import Document, Duplicate

_CONFLICT = re.compile(
    r"^<{7}(?: [^\r\n]*)?\r?\n.*?^={7}\r?\n.*?^>{7}(?: [^\r\n]*)?\r?$", re.MULTILINE | re.DOTALL
)
_TEMPLATE = re.compile(r"^\s*(?:\{\{|\{%|<%)|(?::|-)[ \t]+\{\{|^##\s*template:", re.MULTILINE)

# Whoever reads these reads them as they are; others are often rendered by Helm, Jinja or a project generator first.
_LITERAL = frozenset(
    {
        "seatrial",
        "image-tests",
        "buildspec",
        "appspec",
        "ansible-playbook",
        "ansible-tasks",
        "github-workflow",
    }
)

# Their own check reads these, and suggests edits.
_READ_ELSEWHERE = frozenset({"seatrial", "image-tests", "buildspec", "appspec"})


def check(subjects: Sequence[Subject]) -> list[Finding]:
    """Findings about the form of files. A file in conflict gets that finding alone."""
    return [one for subject in subjects for one in _check(subject)]


def _check(subject: Subject) -> list[Finding]:
    conflicts = _conflicts(subject.source)
    if conflicts:
        return conflicts
    read = _READERS.get(subject.recognised.syntax)
    if read is None or subject.recognised.kind in _READ_ELSEWHERE:
        return []
    try:
        return read(subject)
    except SourceError as error:
        if _is_template(subject):
            return []
        return [error.finding]


def in_conflict(source: Source) -> bool:
    """Whether a file holds unresolved merge conflicts."""
    return bool(_conflicts(source))


def _conflicts(source: Source) -> list[Finding]:
    return [
        finding(
            "source/merge-conflict",
            "error",
            source.place(match.start(), match.start() + 7),
            "unresolved merge conflict",
            cause="git left both sides between these markers",
        )
        for match in _CONFLICT.finditer(source.text)
    ]


def _is_template(subject: Subject) -> bool:
    if subject.recognised.kind in _LITERAL:
        return False
    return _TEMPLATE.search(subject.source.text) is not None


def _yaml(subject: Subject) -> list[Finding]:
    from seatrial.sources import yaml

    documents = yaml.read_all(subject.source)
    return [_duplicate(one) for document in documents for one in document.duplicates]


def _json(subject: Subject) -> list[Finding]:
    from seatrial.sources import json

    document: Document = json.read(subject.source)
    return [_duplicate(one) for one in document.duplicates]


def _toml(subject: Subject) -> list[Finding]:
    from seatrial.sources import toml

    toml.read(subject.source)
    return []


def _requirements(subject: Subject) -> list[Finding]:
    from seatrial.sources import requirements

    return list(requirements.read(subject.source).findings)


def _dockerfile(subject: Subject) -> list[Finding]:
    from seatrial.sources import dockerfile

    # The builder stops at the first; what follows is often its consequence.
    return list(dockerfile.read(subject.source).findings[:1])


def _duplicate(one: Duplicate) -> Finding:
    return finding(
        "source/duplicate-key",
        "warning",
        one.again,
        f"the key {one.key!r} is given twice; the first is on line {one.first.line}",
        cause="most readers keep this value and drop the first one without a word, some refuse the file",
        source="https://yaml.org/spec/1.1/#id861060",
    )


_READERS = {
    "yaml": _yaml,
    "json": _json,
    "toml": _toml,
    "requirements": _requirements,
    "dockerfile": _dockerfile,
}
