"""Look at files of an image, by the headers of its layers: no program runs.

With `engine` as container-structure-test sees them, which asks an engine to create a container and to send files
from it: the engine adds a few of its own (github.com/moby/moby, daemon/initlayer), never follows a link that a path
ends with, and follows one whose content is wanted as if its target were relative to the root.
"""

from __future__ import annotations

import posixpath
import stat
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images.rootfs import Entry, locate
from seatrial.images.testing.declared.commands import unmet
from seatrial.images.testing.declared.model import ContentTest, FileTest, Problem, answer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from seatrial.images.testing.model import Check, Subject

_NAMES = {"f": "file", "d": "folder", "l": "link"}
_BITS = {"any": 0o111, "owner": 0o100, "group": 0o010, "other": 0o001}
_MOST_LINKS = 40
_ENGINE_FOLDERS = ("dev", "dev/pts", "dev/shm", "proc", "sys", "etc")
_ENGINE_FILES = ("dev/console", ".dockerenv", "etc/hostname", "etc/hosts", "etc/resolv.conf")


class _Found(NamedTuple):
    """An entry; `file` is None for what only an engine has, which is empty."""

    entry: Entry
    file: Path | None


def check_file(subject: Subject, test: FileTest) -> Check:
    """Whether a file is there and as it must be."""
    found = find(subject, test.path, engine=test.engine)
    if not test.exists:
        good = f"{test.path} does not exist, as expected"
        problems = (
            [(f"{test.path} must not exist, and is a {_NAMES[found.entry.kind]}", test.where)]
            if found
            else []
        )
        return answer(test.id, good, problems)
    if found is None:
        return answer(test.id, "", [(f"{test.path} must exist, and does not", test.where)])
    what = f"{test.path} is a {_NAMES[found.entry.kind]}, {permissions(found.entry)}, {found.entry.uid}:{found.entry.gid}"
    return answer(test.id, what, _differences(test, found.entry))


def _differences(test: FileTest, entry: Entry) -> Iterator[Problem]:
    where, kind, mode = test.where, _NAMES[entry.kind], permissions(entry)
    if test.kind and kind != test.kind:
        yield f"expected {test.path} to be a {test.kind}, got a {kind}", where
    if test.permissions and not _permitted(test, entry):
        got = mode if not test.permissions.isdigit() else f"{_mode(entry) & 0o7777:04o}"
        got = go_permissions(entry) if test.engine else got
        yield f"expected permissions {test.permissions} of {test.path}, got {got}", where
    if test.executable_by and not _mode(entry) & _BITS[test.executable_by]:
        yield f"expected {test.path} to be executable by {test.executable_by}, got {mode}", where
    for name, wanted, got_id in (("user", test.uid, entry.uid), ("group", test.gid, entry.gid)):
        if wanted not in (-1, got_id):
            yield f"expected {test.path} to belong to {name} {wanted}, got {got_id}", where


def _permitted(test: FileTest, entry: Entry) -> bool:
    if test.engine:
        return test.permissions == go_permissions(entry)
    if test.permissions.isdigit():
        return int(test.permissions, 8) == _mode(entry) & 0o7777
    return test.permissions == permissions(entry)


def permissions(entry: Entry) -> str:
    """As `ls -l` shows them."""
    return stat.filemode(_kind_bits(entry.kind) | (_mode(entry) & 0o7777))


def go_permissions(entry: Entry) -> str:
    """As Go's FileMode shows them: letters for the kind and special bits, then nine for the rest."""
    letters = {"d": "d", "l": "L"}.get(entry.kind, "")
    for bit, letter in ((stat.S_ISUID, "u"), (stat.S_ISGID, "g"), (stat.S_ISVTX, "t")):
        letters += letter if _mode(entry) & bit else ""
    return (letters or "-") + stat.filemode(_mode(entry) & 0o777)[1:]


def _mode(entry: Entry) -> int:
    """On Linux a link has no permissions of its own, whatever the header says (symlink(7))."""
    return 0o777 if entry.kind == "l" else entry.mode


def _kind_bits(kind: str) -> int:
    return {"d": stat.S_IFDIR, "l": stat.S_IFLNK}.get(kind, stat.S_IFREG)


def check_content(subject: Subject, test: ContentTest) -> Check:
    """Whether patterns are in a file, or are not."""
    content, trouble = read(subject, test.path, engine=test.engine)
    if trouble:
        return answer(test.id, "", [(trouble, test.where)])
    good = f"the content of {test.path} is as expected"
    return answer(test.id, good, unmet(test.wanted, content, test.path))


def read(subject: Subject, path: str, *, engine: bool = False) -> tuple[str, str]:
    """The text of a file, or why there is none."""
    place, begin = path, path
    for _ in range(_MOST_LINKS):
        found = find(subject, place, engine=engine)
        if found is None:
            through = (
                f": it is a link to {place}, looked for from the root" if place != begin and engine else ""
            )
            return "", f"{path} must have content, and does not exist{through}"
        if found.entry.kind == "d":
            return "", f"{path} must have content, and is a folder"
        if found.entry.kind == "f":
            return (found.file.read_bytes().decode(errors="replace") if found.file else ""), ""
        link = found.entry.link
        place = link if engine else posixpath.join(posixpath.dirname(_absolute(place)), link)
    return "", f"{path} must have content, and is a link in a circle"


def find(subject: Subject, path: str, *, engine: bool = False) -> _Found | None:
    """What is at a path; links on the way are followed, one at its end is not."""
    folder, name = posixpath.split(_absolute(path).rstrip("/"))
    if path.endswith("/") and name:
        folder, place = locate(subject.root, path)
        if place is not None and not place.is_dir():
            return None  # what ends with a slash is a folder or nothing (path_resolution(7))
        name = ""
    elif engine:
        folder = posixpath.normpath(folder)
    resolved = locate(subject.root, folder)[0] if name else folder
    key = f"{resolved}/{name}".strip("/")
    if key in ("", "."):
        key = ""
    added = _added(subject).get(key) if engine else None
    if added is not None and (added.kind != "d" or key not in subject.tree):
        return _Found(added, None)
    if key not in subject.tree:
        return None
    layer, entry = subject.tree[key]
    return _Found(entry, subject.root.folder(layer) / key)


def _absolute(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _added(subject: Subject) -> Mapping[str, Entry]:
    """What an engine puts into a container that it creates, in place of what the image has there."""
    settings = subject.root.settings
    wanted = [*(settings.get("Volumes") or {}), str(settings.get("WorkingDir") or "")]
    folders = {
        "/".join(parts[:length])
        for parts in (path.strip("/").split("/") for path in wanted if path.strip("/"))
        for length in range(1, len(parts) + 1)
    }
    added = {path: Entry(path, "d", 0o755) for path in (*_ENGINE_FOLDERS, *folders)}
    added |= {path: Entry(path, "f", 0o755) for path in _ENGINE_FILES}
    return added | {"etc/mtab": Entry("etc/mtab", "l", 0o777, link="/proc/mounts")}
