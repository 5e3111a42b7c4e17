"""The file system that layers make together, as plain tables: what a process would see, and from which layer."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.images.rebase.scan import Entry

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.images.rebase.scan import Layer

_MAX_LINKS = 40  # as the kernel's
ROOT = Entry("/", "d", 0o755)


class Node(NamedTuple):
    """An entry where it is seen, and the number of the layer that it comes from."""

    entry: Entry
    layer: int


class Tree(NamedTuple):
    """`nodes` by absolute path without links on the way; `texts` likewise; `broken` are hard links to nothing."""

    nodes: dict[str, Node]
    texts: dict[str, bytes]
    broken: set[str]


def merge(layers: Sequence[Layer]) -> Tree:
    """Apply layers as an engine does, lowest first."""
    tree = Tree({}, {}, set())
    for number, layer in enumerate(layers):
        _hide(tree, layer)
        moved: dict[str, str] = {}
        for entry in layer.entries:
            folder, name = posixpath.split(entry.path)
            if folder not in moved:
                moved[folder] = _place(tree, folder, number)
            path = posixpath.join(moved[folder], name)
            _put(tree, layer, entry, path, number)
    return tree


def _hide(tree: Tree, layer: Layer) -> None:
    deleted = {real(tree, path) for path in layer.deleted} - {"/"}
    emptied = {resolve(tree, path) or path for path in layer.opaque}
    if not deleted and not emptied:
        return
    gone = [
        path for path in tree.nodes
        if path in deleted or any(up in deleted or up in emptied for up in ancestors(path))
    ]  # fmt: skip
    for path in gone:
        del tree.nodes[path]
        tree.texts.pop(path, None)


def _place(tree: Tree, folder: str, number: int) -> str:
    """Where a layer's folder is when links of lower layers lead there; folders that nobody wrote are made."""
    if folder == "/" or (folder in tree.nodes and tree.nodes[folder].entry.kind == "d"):
        return folder
    place = resolve(tree, folder) or folder
    for path in (place, *ancestors(place)):
        if path != "/" and path not in tree.nodes:
            tree.nodes[path] = Node(Entry(path, "d", 0o755), number)
    return place


def _put(tree: Tree, layer: Layer, entry: Entry, path: str, number: int) -> None:
    before = tree.nodes.get(path)
    if before is not None and before.entry.kind == "d" and entry.kind != "d":
        for below in [p for p in tree.nodes if p.startswith(path + "/")]:
            del tree.nodes[below]
            tree.texts.pop(below, None)
    tree.texts.pop(path, None)
    if entry.kind == "h":
        target = real(tree, entry.value)
        node = tree.nodes.get(target)
        if node is None:
            tree.broken.add(path)
            return
        entry = msgspec.structs.replace(node.entry, path=path)
        if target in tree.texts:
            tree.texts[path] = tree.texts[target]
    elif entry.path in layer.texts:
        tree.texts[path] = layer.texts[entry.path]
    tree.nodes[path] = Node(entry, number)


def ancestors(path: str) -> Iterator[str]:
    """`/a/b/c` → `/a/b`, `/a`, `/`."""
    while path != "/":
        path = posixpath.dirname(path)
        yield path


def real(tree: Tree, path: str) -> str:
    """The path with the links of its folders followed, but not one at its end."""
    folder, name = posixpath.split(path)
    return posixpath.join(resolve(tree, folder) or folder, name)


def resolve(tree: Tree, path: str, start: str = "/") -> str | None:
    """Follow every link within the tree; None when nothing is there. `start` is where a relative path begins."""
    waiting = [p for p in reversed(posixpath.join(start, path).split("/")) if p not in ("", ".")]
    done, followed = "/", 0
    while waiting:
        part = waiting.pop()
        if part == "..":
            done = posixpath.dirname(done)
            continue
        node = tree.nodes.get(posixpath.join(done, part))
        if node is None:
            return None
        if node.entry.kind != "l":
            done = posixpath.join(done, part)
            continue
        followed += 1
        if followed > _MAX_LINKS:
            return None
        if node.entry.value.startswith("/"):
            done = "/"
        waiting += [p for p in reversed(node.entry.value.split("/")) if p not in ("", ".")]
    return done


def find(tree: Tree, path: str, start: str = "/") -> Node | None:
    """What a path leads to."""
    place = resolve(tree, path, start)
    return None if place is None else Node(ROOT, 0) if place == "/" else tree.nodes[place]


def program(tree: Tree, name: str, path: str, workdir: str = "/") -> str | None:
    """Where a program is that is started as `name` with that PATH."""
    if "/" in name:
        return resolve(tree, name, workdir)
    for folder in path.split(":"):
        place = resolve(tree, f"{folder or '.'}/{name}", workdir)
        if place is not None and place != "/" and tree.nodes[place].entry.kind == "f":
            return place
    return None
