"""Finding the files of a repository that git would not ignore, quickly."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.checking.kinds import may_matter
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pathspec import GitIgnoreSpec

# Folders that hold what others made: never a repository's own files.
SKIPPED = frozenset(
    {
        ".git", ".hg", ".svn", "node_modules", "bower_components", "__pycache__", "site-packages",
        ".venv", ".tox", ".nox", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".terraform", ".eggs",
        ".ipynb_checkpoints", ".hypothesis", ".direnv",
    }
)  # fmt: skip

LARGEST = 4_000_000
LARGEST_TEXT = 400_000
"""Bytes. A larger file is data, whatever its name says."""


class Ignored(NamedTuple):
    """The patterns of one ignore file, which hold below `folder` (relative to the root, empty or ending in a slash)."""

    folder: str
    spec: GitIgnoreSpec


def walk(
    root: Path,
    start: str = "",
    *,
    exclude: Sequence[str] = (),
    exclude_base: Path | None = None,
    use_ignore: bool = True,
) -> Iterator[str]:
    """Paths below `root`/`start` of files worth opening, relative to `root`, sorted within each folder.

    Patterns of .gitignore count at every level, also those above `root` in the same repository and
    `.git/info/exclude`. `exclude` has patterns of the same form, relative to `exclude_base`
    (else `root`), and always counts.
    Links to folders are not followed; a link to a file below `root` is left out, its target is found anyway.

    Raises:
        UsageError: an `exclude` pattern is malformed.
    """
    above = _above(root) if use_ignore else []
    always = _always(root, exclude, exclude_base)
    levels = [*above, *_between(root, start)] if use_ignore else []
    prefix = f"{start}/" if start else ""
    yield from _folder(root, prefix, levels, always, use_ignore=use_ignore)


def excluded(root: Path, path: str, exclude: Sequence[str], base: Path) -> bool:
    """Whether `exclude` leaves out a file that was named; see `walk`."""
    return _is_ignored(path, _always(root, exclude, base))


def _always(root: Path, exclude: Sequence[str], base: Path | None) -> list[Ignored]:
    if not exclude:
        return []
    absolute = root.resolve()
    folder = "" if base is None or not absolute.is_relative_to(base) else _seen_from(base, absolute)
    return [Ignored(folder, _spec(exclude, "check.exclude"))]


def _folder(
    root: Path, folder: str, levels: list[Ignored], always: list[Ignored], *, use_ignore: bool
) -> Iterator[str]:
    try:
        with os.scandir(root / folder) as listing:
            entries = sorted(filter(_has_readable_name, listing), key=lambda entry: entry.name)
    except OSError:
        return  # a folder that may not be read has no files for us
    names = {entry.name for entry in entries}
    if "pyvenv.cfg" in names and folder:
        return
    if use_ignore and ".gitignore" in names:
        levels = [*levels, *_ignore_file(root / folder / ".gitignore", folder)]
    folders = []
    for entry in entries:
        path = folder + entry.name
        try:
            is_folder = entry.is_dir(follow_symlinks=False)
            wanted = is_folder or (may_matter(entry.name) and _is_own_file(root, entry))
        except OSError:
            continue
        if not wanted or (is_folder and entry.name in SKIPPED):
            continue
        tested = f"{path}/" if is_folder else path
        if _is_ignored(tested, levels) or _is_ignored(tested, always):
            continue
        if is_folder:
            folders.append(path)
        else:
            yield path
    for path in folders:
        yield from _folder(root, f"{path}/", levels, always, use_ignore=use_ignore)


def _has_readable_name(entry: os.DirEntry[str]) -> bool:
    """Names that are not UTF-8 cannot be written in a report, and no tool of ours expects one."""
    return entry.name.isascii() or not any("\udc80" <= character <= "\udcff" for character in entry.name)


def _is_own_file(root: Path, entry: os.DirEntry[str]) -> bool:
    if entry.is_symlink():
        target = Path(entry.path).resolve()
        return target.is_file() and not target.is_relative_to(root.resolve())
    if not entry.is_file(follow_symlinks=False):
        return False
    prose = entry.name.endswith((".txt", ".in"))
    return entry.stat(follow_symlinks=False).st_size <= (LARGEST_TEXT if prose else LARGEST)


def _is_ignored(path: str, levels: list[Ignored]) -> bool:
    """The deepest file with an opinion decides, and within it the last pattern that matches."""
    for folder, spec in reversed(levels):
        verdict = spec.check_file(path[len(folder) :] if path.startswith(folder) else _outside(folder, path))
        if verdict.include is not None:
            return verdict.include
    return False


def _outside(folder: str, path: str) -> str:
    """The path as an ignore file above the root sees it; such a file's folder is given as `../name/`."""
    return folder.removeprefix("../") + path


def _ignore_file(file: Path, folder: str) -> list[Ignored]:
    try:
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return []
    spec = _spec([line for line in text.split("\n") if _is_pattern(line)], None)
    return [Ignored(folder, spec)]


def _is_pattern(line: str) -> bool:
    """Git passes over what is no pattern (`!`, `a[`); pathspec raises."""
    try:
        _spec([line], None)
    except ValueError:
        return False
    return bool(line.strip()) and not line.startswith("#")


def _spec(patterns: Sequence[str], where: str | None) -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        if where is None:
            raise
        raise UsageError(f"a pattern cannot be read: {error}", where=where) from error


def repository(folder: Path) -> Path | None:
    """The root of the git repository that holds `folder`."""
    for place in (folder, *folder.parents):
        if (place / ".git").exists():
            return place
    return None


def _above(root: Path) -> list[Ignored]:
    """What the repository around `root` says: `.git/info/exclude`, then each .gitignore down to `root`'s parent."""
    absolute = root.resolve()
    top = repository(absolute)
    if top is None:
        return []
    found = _ignore_file(top / ".git" / "info" / "exclude", _seen_from(top, absolute))
    for place in reversed(absolute.parents):
        if place.is_relative_to(top):
            found += _ignore_file(place / ".gitignore", _seen_from(place, absolute))
    return found


def _seen_from(place: Path, root: Path) -> str:
    relative = root.relative_to(place).as_posix()
    return "" if relative == "." else f"../{relative}/"


def _between(root: Path, start: str) -> list[Ignored]:
    """The ignore files from `root` down to the parent of `start`."""
    found: list[Ignored] = []
    parts = start.split("/") if start else []
    for index in range(len(parts)):
        folder = "".join(f"{part}/" for part in parts[:index])
        found += _ignore_file(root / folder / ".gitignore", folder)
    return found
