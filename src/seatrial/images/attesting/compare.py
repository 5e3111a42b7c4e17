"""Two images compared: packages, files, layers, settings, and known vulnerabilities where reports are given."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from seatrial.images import layout as oci
from seatrial.masking import hide_known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from seatrial.images.attesting.content import Content, Item
    from seatrial.images.attesting.model import Inventory
    from seatrial.images.layout import Image
    from seatrial.images.testing.vulnerabilities_reports import Report, Vulnerability

How = Literal["added", "removed", "changed"]


class Side(NamedTuple):
    """One of the two images, as `inventory.take` read it."""

    image: Image
    inventory: Inventory
    content: Content
    owner: dict[str, str]


class PackageChange(msgspec.Struct, frozen=True, kw_only=True):
    """A package whose versions differ; several versions may be there at once. Sizes are in bytes."""

    how: How
    kind: str
    name: str
    before: tuple[str, ...]
    after: tuple[str, ...]
    size_before: int
    size_after: int


class FileChange(msgspec.Struct, frozen=True, kw_only=True):
    """A path that differs in content, kind, mode or target. `owner` is the ref of its package, empty if nobody's."""

    how: How
    path: str
    size_before: int
    size_after: int
    owner: str = ""


class FolderChange(msgspec.Struct, frozen=True, kw_only=True):
    """Files below a folder that differ: how many of each kind, and the bytes before and after."""

    path: str
    added: int
    removed: int
    changed: int
    size_before: int
    size_after: int


class SettingChange(msgspec.Struct, frozen=True, kw_only=True):
    """A value of the configuration; None where it is absent."""

    how: How
    name: str
    before: Any
    after: Any


class Layers(msgspec.Struct, frozen=True, kw_only=True):
    """How many layers both have, by content, and what only one has; bytes as they are stored."""

    shared: int
    shared_bytes: int
    before: int
    before_bytes: int
    after: int
    after_bytes: int


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """Vulnerabilities that only one of the images has, as `ID in package version`, and how many both have."""

    new: tuple[Any, ...]
    gone: tuple[Any, ...]
    both: int


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """All that differs from the first image to the second."""

    before: str
    after: str
    packages: tuple[PackageChange, ...]
    files: tuple[FileChange, ...]
    folders: tuple[FolderChange, ...]
    settings: tuple[SettingChange, ...]
    layers: Layers
    size_before: int
    size_after: int
    vulnerabilities: Findings | None = None

    @property
    def same(self) -> bool:
        """Whether a program could not tell the two apart."""
        return not (self.packages or self.files or self.settings)


def compare(a: Side, b: Side, reports: tuple[Iterable[Report], Iterable[Report]] | None = None) -> Comparison:
    """What differs from `a` to `b`; vulnerabilities only when there are reports of both."""
    files = tuple(_files(a, b))
    return Comparison(
        before=a.image.digest,
        after=b.image.digest,
        packages=tuple(_packages(a.inventory, b.inventory)),
        files=files,
        folders=tuple(_folders(files)),
        settings=tuple(_settings(a.image.config, b.image.config)),
        layers=_layers(a.image, b.image),
        size_before=_size(a.content),
        size_after=_size(b.content),
        vulnerabilities=_findings(*reports) if reports is not None else None,
    )


def _packages(a: Inventory, b: Inventory) -> Iterable[PackageChange]:
    old, new = _by_name(a), _by_name(b)
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, {}), new.get(key, {})
        if before.keys() != after.keys():
            yield PackageChange(
                how="changed" if before and after else "added" if after else "removed",
                kind=key[0],
                name=key[1],
                before=tuple(sorted(before)),
                after=tuple(sorted(after)),
                size_before=sum(before.values()),
                size_after=sum(after.values()),
            )


def _by_name(inventory: Inventory) -> dict[tuple[str, str], dict[str, int]]:
    found: dict[tuple[str, str], dict[str, int]] = {}
    for one in inventory.packages:
        # By the name in the ref: of PyPI it is normalised, so that a new spelling is no other package.
        name = one.ref.partition("@")[0].rpartition("/")[2] if one.kind == "pypi" else one.name
        found.setdefault((one.kind, name), {})[one.version] = one.size
    return found


def _files(a: Side, b: Side) -> Iterable[FileChange]:
    old, new = a.content.items, b.content.items
    for path in sorted(old.keys() | new.keys()):
        before, after = old.get(path), new.get(path)
        if _same(before, after):
            continue
        yield FileChange(
            how="changed" if before and after else "added" if after else "removed",
            path=path,
            size_before=before.size if before else 0,
            size_after=after.size if after else 0,
            owner=b.owner.get(path) or a.owner.get(path) or "",
        )


def _same(a: Item | None, b: Item | None) -> bool:
    if a is None or b is None:
        # An empty folder is seen in what it would hold; nobody installs one alone.
        return (a or b) is not None and (a or b).kind == "folder"  # type: ignore[union-attr]
    if a.kind == b.kind == "folder":
        return True
    return (a.kind, a.sha256, a.link, a.mode) == (b.kind, b.sha256, b.link, b.mode)


def _folders(files: Iterable[FileChange]) -> Iterable[FolderChange]:
    """By folder, three levels deep, those with the most bytes first."""
    found: dict[str, list[FileChange]] = {}
    for one in files:
        parts = posixpath.dirname(one.path).strip("/").split("/")
        found.setdefault("/" + "/".join(parts[:3]), []).append(one)
    made = [
        FolderChange(
            path=path,
            added=sum(one.how == "added" for one in changes),
            removed=sum(one.how == "removed" for one in changes),
            changed=sum(one.how == "changed" for one in changes),
            size_before=sum(one.size_before for one in changes),
            size_after=sum(one.size_after for one in changes),
        )
        for path, changes in found.items()
    ]
    return sorted(made, key=lambda one: (-(one.size_before + one.size_after), one.path))


def _settings(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterable[SettingChange]:
    old, new = _flat(a), _flat(b)
    for name in sorted(old.keys() | new.keys()):
        before, after = old.get(name), new.get(name)
        if before != after:
            yield SettingChange(
                how="changed" if name in old and name in new else "added" if name in new else "removed",
                name=name,
                before=_shown(before),
                after=_shown(after),
            )


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Variables and labels one by one, everything else as a whole."""
    found = {key: config[key] for key in ("os", "architecture", "variant") if config.get(key)}
    for key, value in (config.get("config") or {}).items():
        if key == "Env" and isinstance(value, list):
            found |= {f"Env {name}": text for name, _, text in (str(one).partition("=") for one in value)}
        elif key in ("Labels", "ExposedPorts", "Volumes") and isinstance(value, dict):
            found |= {f"{key} {name}": inner for name, inner in value.items()}
        elif value not in (None, "", [], {}):
            found[key] = value
    return found


def _shown(value: Any) -> Any:
    return hide_known(value) if isinstance(value, str) else value


def _layers(a: Image, b: Image) -> Layers:
    old = dict(zip(oci.diff_ids(a), a.manifest.layers, strict=True))
    new = dict(zip(oci.diff_ids(b), b.manifest.layers, strict=True))
    both = old.keys() & new.keys()
    only_old = [layer.size for diff_id, layer in old.items() if diff_id not in both]
    only_new = [layer.size for diff_id, layer in new.items() if diff_id not in both]
    return Layers(
        shared=len(both),
        shared_bytes=sum(new[diff_id].size for diff_id in both),
        before=len(only_old),
        before_bytes=sum(only_old),
        after=len(only_new),
        after_bytes=sum(only_new),
    )


def _size(content: Content) -> int:
    return sum(item.size for item in content.items.values())


def _findings(a: Iterable[Report], b: Iterable[Report]) -> Findings:
    old, new = _by_id(a), _by_id(b)
    return Findings(
        new=tuple(one for key, one in sorted(new.items()) if key not in old),
        gone=tuple(one for key, one in sorted(old.items()) if key not in new),
        both=len(old.keys() & new.keys()),
    )


def _by_id(reports: Iterable[Report]) -> dict[tuple[str, str], Vulnerability]:
    # Not by version: the same hole in a newer release of the same package is still there.
    return {(one.id, one.package): one for report in reports for one in report.found}
