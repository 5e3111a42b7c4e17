"""Repairs of files: what COPY names, line ends, permissions, and which user writes."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from seatrial.images.builders.repairs import editing
from seatrial.images.builders.repairs.case import Fix
from seatrial.images.builders.repairs.project import Change

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.builders.repairs.case import Case
    from seatrial.images.builders.repairs.tables import Way
    from seatrial.sources.dockerfile_model import Instruction

_IGNORE = ("Dockerfile.dockerignore", ".dockerignore")
_ALIKE = 0.75


def name_as_on_disk(case: Case, _way: Way) -> Iterator[Fix | None]:
    """The file is there in another case, in another folder, or under a name that differs in a letter."""
    for one in _copies(case):
        for word in one.words[:-1]:
            wanted = word.text.strip("/").removeprefix("./")
            if not wanted or _there(case, wanted):
                continue
            found = _best(wanted, list(case.project.files()))
            if found:
                title = f"Copy {found}, as the file is called, instead of {word.text}"
                yield editing.changed(case, title, [(word.start, word.end, found)])
                return


def not_ignored(case: Case, _way: Way) -> Iterator[Fix | None]:
    """The file is there, and .dockerignore leaves it out."""
    name = next((one for one in _IGNORE if case.project.source(one)), "")
    source = case.project.source(name) if name else None
    if source is None:
        return
    for one in _copies(case):
        for word in one.words[:-1]:
            wanted = word.text.strip("/").removeprefix("./")
            if wanted and _there(case, wanted):
                line = "" if not source.text or source.text.endswith("\n") else source.newline
                after = f"{source.text}{line}!{wanted}{source.newline}"
                if f"!{wanted}" not in source.text.split():
                    change = Change(path=name, content=after.encode())
                    yield Fix(
                        title=f"Keep {wanted}, which is copied, out of what {name} leaves out",
                        changes=(change,),
                    )
                    return


def copy_first(case: Case, _way: Way) -> Iterator[Fix | None]:
    """A step reads a file of the project before it is copied."""
    wanted = (case.captured("file") or case.captured("path")).removeprefix("./")
    if not wanted or case.failed is None:
        return
    workdir = _workdir(case)
    relative = wanted.removeprefix(workdir).strip("/") if workdir else wanted.strip("/")
    if relative and _there(case, relative):
        folder = relative.rpartition("/")[0]
        target = f"{folder}/" if folder else "./"
        yield editing.before(
            case, f"Copy {relative} before the step that reads it", [f"COPY {relative} {target}"]
        )
        return
    name = relative.rpartition("/")[2]
    found = [path for path in case.project.files() if path.rpartition("/")[2].lower() == name.lower()]
    if name and len(found) == 1:
        yield editing.before(
            case, f"Copy {found[0]} as {relative}, which is read", [f"COPY {found[0]} {relative}"]
        )


def unix_lines(case: Case, _way: Way) -> Iterator[Fix | None]:
    """Scripts with Windows line ends: the kernel looks for an interpreter whose name ends in a carriage return."""
    changes = []
    for path in case.project.files():
        if path == case.project.dockerfile or not re.search(r"(?:\.(?:sh|bash|py|pl)|(?:^|/)[\w-]+)$", path):
            continue
        content = case.project.content(path)
        if content and content.startswith(b"#!") and b"\r\n" in content:
            changes.append(Change(path=path, content=content.replace(b"\r\n", b"\n")))
    if changes:
        which = ", ".join(one.path for one in changes)
        yield Fix(title=f"Give {which} the line ends of Unix", changes=tuple(changes))


def executable(case: Case, _way: Way) -> Iterator[Fix | None]:
    """A script that may not be run gets the bit that says so, in the project."""
    said = case.captured("script") or case.captured("path")
    name = said.rstrip("/").rpartition("/")[2]
    scripts = [
        path
        for path in case.project.files()
        if not case.project.executable(path)
        and (path.rpartition("/")[2] == name or (not name and path in _ran(case)))
        and (case.project.content(path) or b"").startswith(b"#!")
    ]
    if scripts and (name or len(scripts) == 1):
        which = ", ".join(scripts)
        yield Fix(
            title=f"Make {which} executable",
            changes=tuple(Change(path=path, executable=True) for path in scripts),
        )


def as_root(case: Case, _way: Way) -> Iterator[Fix | None]:
    """What only root may do is done by root, and the user that was meant is set again after it."""
    if case.failed is None or case.failed.keyword != "RUN":
        return
    user = editing.user_at(case, case.failed)
    if user in ("", "root", "0"):
        return
    newline, start, end = case.dockerfile.source.newline, case.failed.start, case.failed.end
    spans = [(start, start, f"USER root{newline}"), (end, end, f"{newline}USER {user}")]
    yield editing.changed(case, f"Run the step as root, and go on as {user}", spans)


def _copies(case: Case) -> list[Instruction]:
    """The COPY that failed; every COPY from the context when the builder did not say which."""
    chosen = [case.failed] if case.failed is not None else list(case.dockerfile.instructions)
    kinds = ("COPY", "ADD")
    return [
        one for one in chosen if one.keyword in kinds and one.flag("from") is None and len(one.words) > 1
    ] or [one for one in case.dockerfile.instructions if one.keyword in kinds and one.flag("from") is None]


def _there(case: Case, path: str) -> bool:
    if any(character in path for character in "*?["):
        return True
    return (case.project.root / path).exists() or path in case.project.changes


def _best(wanted: str, files: list[str]) -> str:
    """The path that is meant: another case, the same name in one other place, or nearly the same name."""
    folders = {folder for path in files for folder in _above(path)}
    every = [*files, *sorted(folders)]
    same = [path for path in every if path.lower() == wanted.lower()]
    name = wanted.rpartition("/")[2].lower()
    moved = [path for path in every if path.rpartition("/")[2].lower() == name]
    if same or len(moved) == 1:
        return (same or moved)[0]
    near = difflib.get_close_matches(wanted, every, 2, _ALIKE)
    return near[0] if near else ""


def _above(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


def _workdir(case: Case) -> str:
    if case.failed is None:
        return ""
    said = [one.body.text for one in editing.stage_of(case, case.failed) if one.keyword == "WORKDIR"]
    return f"{said[-1].rstrip('/')}/" if said else ""


def _ran(case: Case) -> set[str]:
    """Paths that the failed step begins a command with."""
    text = case.failed.body.text if case.failed is not None else ""
    return {word.strip("\"',[]").removeprefix("./").removeprefix(_workdir(case)) for word in text.split()}
