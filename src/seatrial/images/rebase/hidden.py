"""Files of the new base that the image's own layers would hide, so that a patch would not arrive."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.images.rebase.tree import ancestors, real

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.images.rebase.scan import Entry, Layer
    from seatrial.images.rebase.tree import Tree

# Nothing works otherwise for what is in there: logs, caches and what a package manager can fetch again.
_IDLE = ("/var/log/", "/var/cache/", "/var/lib/apt/lists/", "/tmp/", "/var/tmp/", "/run/")  # noqa: S108 - in an image
_IDLE_FILES = ("/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/.dockerenv", "/etc/.pwd.lock")
_BACKUPS = ("/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-")
_KNOWN = {
    "/var/lib/dpkg/status": "the list of installed Debian packages",
    "/etc/ld.so.cache": "where the loader finds libraries",
    "/etc/passwd": "the accounts",
    "/etc/group": "the groups",
    "/etc/shadow": "the accounts' passwords",
    "/etc/gshadow": "the groups' passwords",
}


class Hidden(NamedTuple):
    """A path where the new base and an own layer disagree. `harmless` says why nothing is lost, else empty."""

    path: str
    layer: int
    why: str
    harmless: str


def hidden(old: Tree, new: Tree, layers: Sequence[tuple[int, Layer]]) -> list[Hidden]:
    """Compare what the own layers write, given with their numbers, with what the bases have there."""
    found: dict[str, Hidden] = {}
    last: dict[str, tuple[int, Entry]] = {}
    for number, layer in layers:
        last |= {real(new, entry.path): (number, entry) for entry in layer.entries}
        for path in layer.deleted:
            found |= {one.path: one for one in _deleted(old, new, path, number)}
        for path in layer.opaque:
            found |= {one.path: one for one in _emptied(old, new, path, number)}
    for path, (number, entry) in last.items():
        one = _written(old, new, path, entry, number)
        if one is not None:
            found[one.path] = one
    return [found[path] for path in sorted(found)]


def _written(old: Tree, new: Tree, path: str, entry: Entry, number: int) -> Hidden | None:
    theirs = new.nodes.get(path)
    before = old.nodes.get(path)
    if theirs is None:
        inner = next((up for up in ancestors(path) if up in new.nodes), "/")
        blocked = inner != "/" and new.nodes[inner].entry.kind not in "dl"
        why = "it is no folder in the new base, and the image has files in it"
        return Hidden(inner, number, why, "") if blocked else None
    patched, was = theirs.entry, before.entry if before else None
    if entry.kind == "h":
        target = new.nodes.get(real(new, entry.value))
        if target is None:
            return None  # a link to a file of the image's own, which is compared itself
        entry = msgspec.structs.replace(target.entry, path=path)
    if entry.kind == "d" and patched.kind == "d":
        changed = was is not None and _rights(was) != _rights(patched) and _rights(entry) != _rights(patched)
        return Hidden(path, number, "the new base changed the folder's rights", "") if changed else None
    if was is not None and same(was, patched):
        return None
    if entry.kind == "d" or patched.kind == "d":
        stays = "it stays replaced" if entry.kind != "d" and was is not None and was.kind == "d" else ""
        why = f"it is {_called(entry)} in the image and {_called(patched)} in the new base"
        return Hidden(path, number, why, stays)
    return _file(path, number, entry, was, patched)


def _file(path: str, number: int, entry: Entry, was: Entry | None, patched: Entry) -> Hidden:
    if same(entry, patched):
        return Hidden(path, number, "the image has it too", "the content is the same")
    if path.startswith(_IDLE) or path in (*_IDLE_FILES, *_BACKUPS) or path.endswith("-old"):
        return Hidden(path, number, "the image has its own", "nothing works by it")
    known = f" ({_KNOWN[path]})" if path in _KNOWN else ""
    if was is None:
        return Hidden(path, number, f"the new base brings it{known}, and the image has another", "")
    if _content(entry) == _content(patched):
        return Hidden(path, number, f"the new base changed its rights{known}", "")
    if _content(entry) == _content(was):
        return Hidden(path, number, f"the image has a copy of the old base's{known}", "")
    return Hidden(path, number, f"both the image and the new base changed it{known}", "")


def _deleted(old: Tree, new: Tree, path: str, number: int) -> Iterator[Hidden]:
    place = real(new, path)
    if place not in new.nodes:
        return
    if real(old, path) in old.nodes:
        yield Hidden(place, number, "the image deletes it", "it stays deleted")
    else:
        yield Hidden(place, number, "only the new base has it, and the image deletes what is called so", "")


def _emptied(old: Tree, new: Tree, path: str, number: int) -> Iterator[Hidden]:
    place = real(new, path)
    if place not in new.nodes:
        return
    if real(old, path) in old.nodes:
        yield Hidden(place, number, "the image replaces the whole folder", "it stays replaced")
    else:
        yield Hidden(place, number, "only the new base has the folder, and the image replaces it", "")


def same(one: Entry, other: Entry) -> bool:
    """Whether a process could tell them apart by anything but their times."""
    return _content(one) == _content(other) and _rights(one) == _rights(other)


def _content(entry: Entry) -> tuple[str, str]:
    return entry.kind, entry.value


def _rights(entry: Entry) -> tuple[int, int, int]:
    return (0 if entry.kind == "l" else entry.mode), entry.uid, entry.gid


def _called(entry: Entry) -> str:
    return {"d": "a folder", "l": "a link", "n": "a device", "h": "a hard link"}.get(entry.kind, "a file")
