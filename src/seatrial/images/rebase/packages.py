"""Python and Debian packages as their metadata in a tree tells them."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, NamedTuple

from seatrial.images.rebase.base import stanzas

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.rebase.tree import Tree

_PYTHON = re.compile(r"(.*)/bin/python(3\.\d+)")


class Distribution(NamedTuple):
    """An installed Python distribution: normalised `name`, `requires` as in its metadata, the layer it is in."""

    name: str
    version: str
    site: str
    requires: tuple[str, ...]
    layer: int


class Python(NamedTuple):
    """An interpreter: `/usr` and `3.11` for `/usr/bin/python3.11`, with the magic numbers of its own bytecode."""

    prefix: str
    minor: str
    magics: frozenset[str]


def distributions(tree: Tree) -> list[Distribution]:
    """Every distribution with metadata, sorted by name and place."""
    from packaging.utils import canonicalize_name

    found = []
    for path, text in tree.texts.items():
        if not path.endswith((".dist-info/METADATA", ".egg-info/PKG-INFO")) or path not in tree.nodes:
            continue
        fields: dict[str, list[str]] = {}
        for line in text.decode("utf-8", "replace").splitlines():
            key, colon, value = line.partition(":")
            if colon and not line.startswith((" ", "\t")):
                fields.setdefault(key.lower(), []).append(value.strip())
        name, version = fields.get("name", [""])[0], fields.get("version", [""])[0]
        if name:
            site = posixpath.dirname(posixpath.dirname(path))
            requires = tuple(fields.get("requires-dist", ()))
            found.append(
                Distribution(canonicalize_name(name), version, site, requires, tree.nodes[path].layer)
            )
    return sorted(found)


def pythons(tree: Tree) -> list[Python]:
    """The interpreters that stand in a tree as programs of their own."""
    found = []
    for path, node in tree.nodes.items():
        match = _PYTHON.fullmatch(path)
        if match and node.entry.kind == "f":
            cache = f"{match[1]}/lib/python{match[2]}/__pycache__/"
            magics = frozenset(
                n.entry.head[:4].hex() for p, n in tree.nodes.items() if p.startswith(cache) and n.entry.head
            )
            found.append(Python(match[1], match[2], magics))
    return sorted(found)


def debian(tree: Tree) -> dict[str, str]:
    """Installed Debian packages with their versions; distroless images have one file for each."""
    texts = [tree.texts.get("/var/lib/dpkg/status", b"")]
    texts += [text for path, text in tree.texts.items() if path.startswith("/var/lib/dpkg/status.d/")]
    return {
        fields["package"]: fields["version"]
        for text in texts for fields in stanzas(text)
        if "package" in fields and "version" in fields
        and fields.get("status", "install ok installed").endswith(" installed")
    }  # fmt: skip


def changes(old: dict[str, str], new: dict[str, str]) -> list[str]:
    """What a person wants to know of two lists of packages."""
    found = []
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if before != after:
            found.append(f"{name} {before or '(absent)'} → {after or '(gone)'}")
    return found


def required(wanted: str, environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Name and specifier of a `Requires-Dist`, when it holds in that environment without extras."""
    from packaging.markers import UndefinedEnvironmentName
    from packaging.requirements import InvalidRequirement, Requirement
    from packaging.utils import canonicalize_name

    try:
        requirement = Requirement(wanted)
        if requirement.marker is None or requirement.marker.evaluate({**environment, "extra": ""}):
            yield canonicalize_name(requirement.name), str(requirement.specifier)
    except (InvalidRequirement, UndefinedEnvironmentName):
        return
