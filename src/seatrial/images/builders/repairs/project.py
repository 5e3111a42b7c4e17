"""A folder with changes on top that are not written yet: what is built, shown as a diff, and written on request."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import write_atomic
from seatrial.sources.edits import diff
from seatrial.sources.text import Source, SourceError, decode

if TYPE_CHECKING:
    from collections.abc import Iterator

_LARGEST = 4 << 20


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What one file becomes. `path` is relative to the project; without `content` it stays; `executable` sets the bit."""

    path: str
    content: bytes | None = None
    executable: bool = False


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """The folder `root` as it would be with `changes`; `dockerfile` is the path of the Dockerfile in it or elsewhere."""

    root: Path
    dockerfile: str
    changes: dict[str, Change] = {}

    def source(self, path: str) -> Source | None:
        """The text of a file; None when it is not there, is no text, or is too large to be edited."""
        content = self.content(path)
        try:
            return None if content is None or len(content) > _LARGEST else decode(content, path)
        except SourceError:
            return None

    def content(self, path: str) -> bytes | None:
        """The bytes of a file; None when it is not there."""
        change = self.changes.get(path)
        if change is not None and change.content is not None:
            return change.content
        file = self.root / path
        try:
            if not file.is_file() or file.stat().st_size > _LARGEST:
                return None
            return file.read_bytes()
        except OSError:
            return None

    def files(self) -> Iterator[str]:
        """Every file of the folder, relative, without what git keeps for itself."""
        for folder, names, files in os.walk(self.root):
            names[:] = sorted(name for name in names if name not in (".git", "node_modules", ".venv"))
            for name in sorted(files):
                yield (Path(folder) / name).relative_to(self.root).as_posix()

    def executable(self, path: str) -> bool:
        """Whether a file is one that can be run."""
        change = self.changes.get(path)
        return bool(change and change.executable) or os.access(self.root / path, os.X_OK)

    def with_changes(self, changes: tuple[Change, ...]) -> Project:
        """The project with further changes."""
        merged = dict(self.changes)
        for one in changes:
            before = merged.get(one.path)
            content = one.content if one.content is not None else (before.content if before else None)
            kept = one.executable or bool(before and before.executable)
            merged[one.path] = Change(path=one.path, content=content, executable=kept)
        return msgspec.structs.replace(self, changes=merged)


def difference(before: Project, after: Project) -> str:
    """A diff that `git apply` takes, with modes."""
    parts = []
    for path in sorted(after.changes):
        if after.changes[path] == before.changes.get(path):
            continue
        old, new = before.source(path), after.source(path)
        modes = ""
        if after.executable(path) and not before.executable(path) and (before.root / path).exists():
            modes = "old mode 100644\nnew mode 100755\n"
        text = diff(old or Source(path, ""), new, 3) if new is not None else ""
        if old is None and text:
            text = text.replace(f"--- a/{path}\n", "--- /dev/null\n", 1)
            modes = "new file mode 100644\n"
        if text or modes:
            parts.append(f"diff --git a/{path} b/{path}\n{modes}{text}")
    return "".join(parts)


def materialise(project: Project, folder: Path) -> Path:
    """The folder to build from: the project's own, or a copy in `folder` when files of the context changed.

    Unchanged files are hard links where the file system allows them; nothing ever writes to them.
    """
    inside = [one for one in project.changes.values() if one.path != project.dockerfile]
    if not inside:
        return project.root
    copy = folder / "context"
    shutil.copytree(project.root, copy, symlinks=True, copy_function=_linked, ignore=_ignored)
    for one in inside:
        target = copy / one.path
        content = project.content(one.path)
        mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else 0o644
        target.unlink(missing_ok=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content or b"")
        target.chmod(mode | 0o111 if one.executable else mode)
    return copy


def write(before: Project, project: Project) -> list[str]:
    """Write the changes into the user's folder and return the files that changed.

    Raises:
        SeatrialError: a file is no longer what was read, or cannot be written. Files are written one after the other.
    """
    changed = []
    for path, one in sorted(project.changes.items()):
        file = project.root / path
        if one.content is not None and one.content != before.content(path):
            if file.is_symlink() and not file.resolve().is_relative_to(project.root.resolve()):
                raise SeatrialError("a link out of the folder is not followed", where=str(file))
            write_atomic(file, one.content)
            changed.append(path)
        if one.executable and not os.access(file, os.X_OK):
            file.chmod(stat.S_IMODE(file.stat().st_mode) | 0o111)
            changed += [] if path in changed else [path]
    return changed


def _linked(source: str, target: str) -> str:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copy2(source, target, follow_symlinks=False)
    return target


def _ignored(folder: str, names: list[str]) -> set[str]:
    """Sockets and pipes have no place in a context."""
    found = set()
    for name in names:
        try:
            mode = (Path(folder) / name).lstat().st_mode
        except OSError:
            continue
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            found.add(name)
    return found
