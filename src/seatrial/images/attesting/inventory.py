"""The inventory of an image: which packages it has, which files are theirs, and which are nobody's."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.images.attesting import debian, others, python
from seatrial.images.attesting.content import read_content
from seatrial.images.attesting.model import Found, Inventory, Loose, Package, System

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from seatrial.images.attesting.content import Content, Item
    from seatrial.images.layout import Image

_BYTECODE = re.compile(r"(?P<folder>.*)/__pycache__/(?P<name>[^/]+?)\.[^./]+(?:\.opt-\d)?\.pyc$")
_TITLE = "org.opencontainers.image.title"
# Who owns a file that several claim: the system's packages brought it first.
_ORDER = ("deb", "apk", "conda", "pypi", "npm")


def take(
    layout: Path, image: Image, *, say: Callable[[str], None] = lambda _what: None
) -> tuple[Inventory, Content, dict[str, str]]:
    """The inventory, the content it was taken from, and the ref of the package that owns each file.

    Raises:
        SeatrialError: a layer is damaged, hostile, or compressed in a way that is not known.
    """
    content = read_content(layout, image, say=say)
    system = _system(content)
    notes: list[str] = []
    found = [
        *debian.packages(content, system),
        *others.alpine_packages(content, system),
        *others.conda_packages(content, notes),
        *python.distributions(content, notes),
        *others.node_packages(content, notes),
    ]
    if any(content.below("/var/lib/rpm")) or any(content.below("/usr/lib/sysimage/rpm")):
        notes.append(
            "packages of rpm are not listed: their database is of another form; their files count as loose"
        )
    found = _merged(found)
    owner = _owners(content, found)
    carriers = _carriers(found)
    packages = _linked([_counted(one, content, carriers) for one in found], found)
    inventory = Inventory(
        digest=image.digest,
        config_digest=image.manifest.config.digest,
        title=_title(image),
        platform=f"{image.config.get('os', 'linux')}/{image.config.get('architecture', '')}",
        created=created(image.config),
        system=system,
        packages=tuple(sorted(packages, key=lambda one: (_ORDER.index(one.kind), one.name.lower(), one.ref))),
        loose=tuple(_loose(content, owner)),
        notes=tuple(sorted(notes)),
    )
    return inventory, content, owner


def created(config: Mapping[str, Any]) -> int:
    """When the image was made, in seconds: SOURCE_DATE_EPOCH, else what its configuration says, else 0."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    if epoch.isdecimal():
        return int(epoch)
    try:
        # Some tools write nanoseconds, which Python 3.11 reads only up to six digits.
        text = re.sub(r"(\.\d{6})\d+", r"\1", str(config.get("created") or ""))
        return max(0, int(datetime.fromisoformat(text).timestamp()))
    except (ValueError, OverflowError):
        return 0


def _title(image: Image) -> str:
    labels = (image.config.get("config") or {}).get("Labels") or {}
    return str(labels.get(_TITLE) or image.digest)


def _system(content: Content) -> System:
    text = content.text("/etc/os-release") or content.text("/usr/lib/os-release")
    fields = dict(line.strip().partition("=")[::2] for line in text.splitlines() if "=" in line)
    fields = {key: value.strip("\"'") for key, value in fields.items()}
    return System(
        id=re.sub(r"[^a-z0-9._-]", "", fields.get("ID", "").lower()),
        version=fields.get("VERSION_ID", ""),
        name=fields.get("PRETTY_NAME", ""),
    )


def _merged(found: Iterable[Found]) -> list[Found]:
    """The same version in several places is one package with several places."""
    kept: dict[str, Found] = {}
    for one in found:
        before = kept.get(one.package.ref)
        if before is None:
            kept[one.package.ref] = one
            continue
        package = msgspec.structs.replace(
            before.package,
            places=tuple(dict.fromkeys((*before.package.places, *one.package.places))),
            editable=before.package.editable or one.package.editable,
            licences=before.package.licences or one.package.licences,
        )
        kept[one.package.ref] = before._replace(package=package, owns={**before.owns, **one.owns})
    return list(kept.values())


def _owners(content: Content, found: Iterable[Found]) -> dict[str, str]:
    owner: dict[str, str] = {}
    for one in found:
        for path in one.owns:
            owner.setdefault(path, one.package.ref)
    for path in content.ordered:  # bytecode belongs to whom its source belongs
        if path.endswith(".pyc") and path not in owner and (match := _BYTECODE.match(path)):
            source = owner.get(f"{match['folder']}/{match['name']}.py")
            if source is not None:
                owner[path] = source
    return owner


def _carriers(found: list[Found]) -> dict[str, str]:
    """For a package whose metadata is among another's files the ref of that other one."""
    homes = {
        path: one.package.ref for one in found for place in one.package.places for path in _metadata(place)
    }
    carried: dict[str, str] = {}
    for one in found:
        for path in one.owns.keys() & homes.keys():
            if homes[path] != one.package.ref and one.package.ref not in carried:
                carried.setdefault(homes[path], one.package.ref)
    return carried


def _metadata(place: str) -> tuple[str, ...]:
    return (
        f"{place}/METADATA",
        f"{place}/PKG-INFO",
        *([place] if place.endswith((".egg-info", ".json")) else ()),
    )


def _counted(one: Found, content: Content, carriers: Mapping[str, str]) -> Package:
    lines, changed = [], []
    size = missing = 0
    for path, recorded in sorted(one.owns.items()):
        item = content.items.get(path)
        if item is None:
            missing += 1
        elif item.kind == "file":
            size += item.size
            lines.append(f"{path}\0{item.sha256.hex()}\n")
            if recorded and not _as_recorded(item, recorded):
                changed.append(path)
    place = content.items.get(one.package.places[0])
    return msgspec.structs.replace(
        one.package,
        files=len(lines),
        size=size,
        missing=missing,
        changed=tuple(changed),
        layer=place.layer if place else 0,
        within=carriers.get(one.package.ref, ""),
        digest=hashlib.sha256("".join(lines).encode()).hexdigest(),
    )


def _as_recorded(item: Item, recorded: str) -> bool:
    kind, _, value = recorded.partition(":")
    known = {"sha256": item.sha256, "md5": item.md5}[kind]
    return not known or known.hex() == value  # a hash that was not taken proves nothing


def _linked(packages: list[Package], found: list[Found]) -> list[Package]:
    """Packages with the refs of those they need, among what is there."""
    names: dict[tuple[str, str], list[str]] = {}
    for one in found:
        for name in one.provides:
            names.setdefault((one.package.kind, name), []).append(one.package.ref)
    linked = []
    for package, one in zip(packages, found, strict=True):
        needed: set[str] = set()
        for alternatives in one.needs:
            there = (refs for name in alternatives if (refs := names.get((package.kind, name))))
            needed.update(next(there, []))
        needed.discard(package.ref)
        linked.append(msgspec.structs.replace(package, requires=tuple(sorted(needed))))
    return linked


def _loose(content: Content, owner: Mapping[str, str]) -> Iterable[Loose]:
    for path in content.ordered:
        item = content.items[path]
        if item.kind == "file" and path not in owner:
            yield Loose(
                path=path,
                size=item.size,
                sha256=item.sha256.hex(),
                sha1=item.sha1.hex(),
                layer=item.layer,
                executable=bool(item.mode & 0o111),
            )
