"""Requirement files and pyproject, each judged with what it includes and for the Python it is installed on."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.checking.subject import Subject
    from seatrial.findings import Finding
    from seatrial.images.requirements import RequirementSet
    from seatrial.sources.text import Source

_FROM_PYTHON = re.compile(
    r"^\s*FROM\s+(?:--\S+\s+)*(?:\S+/)?python:3\.(\d+)(?:[.-]|\s|$)", re.MULTILINE | re.IGNORECASE
)
_NUMPY_1 = re.compile(r"""\bnumpy(?:\s*(?:==|~=)\s*1\.|\s*<=?\s*1\.|\s*<\s*2\b|[^\n"']*,\s*<\s*2\b|=1\.)""")


def check(subjects: Sequence[Subject]) -> list[Finding]:
    """Findings about what is asked for. A file that another one includes is judged as part of that one."""
    wanted = [one for one in subjects if one.recognised.kind in ("requirements", "pyproject")]
    if not wanted:
        return []
    from seatrial.images.requirements import included
    from seatrial.sources import requirements

    parts = {
        path
        for one in wanted
        if one.recognised.kind == "requirements"
        for path in included(requirements.read(one.source))
    }
    dockerfiles = [one.source for one in subjects if one.recognised.kind == "dockerfile"]
    found: list[Finding] = []
    for one in wanted:
        name = posixpath.basename(one.source.path)
        if one.source.path not in parts and "constraint" not in name:
            installers = [file for file in dockerfiles if _installs(file, one.source.path)]
            beside = [
                other for other in wanted if any(_installs(file, other.source.path) for file in installers)
            ]
            found += _check(one, installers, [other.source for other in beside])
    return found


def _check(subject: Subject, dockerfiles: list[Source], beside: list[Source]) -> list[Finding]:
    """Findings about one file; `beside` are the files that the same Dockerfiles install."""
    from seatrial.images.rules import check_requirements

    python = _python(subject, dockerfiles)
    found = check_requirements(_gather(subject), python=python)
    if any(_NUMPY_1.search(file.text) for file in (*dockerfiles, *beside)):
        # numpy was left open here because the same image says it elsewhere.
        return [one for one in found if one.severity == "error"]
    return found


def _gather(subject: Subject) -> RequirementSet:
    from seatrial.images.requirements import RequirementSet, from_pyproject, gather
    from seatrial.sources.text import SourceError

    if subject.recognised.kind == "requirements":
        return gather(subject.source, subject.read)
    try:
        return from_pyproject(subject.source)
    except SourceError:
        return RequirementSet(subject.source.path, (), (subject.source,))


def _installs(dockerfile: Source, path: str) -> bool:
    """Whether a Dockerfile beside or above a file names it."""
    folder = posixpath.dirname(dockerfile.path)
    near = not folder or path.startswith(f"{folder}/") or posixpath.dirname(path) == folder
    return near and posixpath.basename(path) in dockerfile.text


def _python(subject: Subject, dockerfiles: list[Source]) -> str | None:
    """The Python version that the files are installed on, where something says it."""
    said = subject.target.get("python")
    if said:
        return said
    for file in dockerfiles:
        match = _FROM_PYTHON.search(file.text)
        if match:
            return f"3.{match[1]}"
    pinned = subject.read(posixpath.join(posixpath.dirname(subject.source.path), ".python-version"))
    match = re.match(r"\s*3\.(\d+)", pinned.text) if pinned else None
    return f"3.{match[1]}" if match else None
