"""Why a layer is new: what changed since the image before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images.assemble.store import find_layer
from seatrial.reports.units import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.images.bases import Base
    from seatrial.images.outputs.parts import Part
    from seatrial.images.outputs.records import LayerRecord, Record

_MOST = 5
FIRST = "not made before on this machine"


def reason(part: Part, parts: Sequence[Part], former: Record | None) -> str:
    """Why the layer of `part` has to be made; `parts` are all layers of the new image, `former` the image before."""
    if former is None:
        return FIRST
    before = [layer for layer in former.layers if layer.kind == part.record.kind]
    if not before:
        return "the image before had no such layer"
    if any(layer.key == part.record.key for layer in before):
        return "made before, but no longer in the cache"
    if part.record.kind == "source":
        found = _source_changes(part, before[0])
    elif part.record.wheels:
        found = [*_package_changes(part, parts, before), *_facts_of_group(part, before)]
    else:
        found = _fact_changes(part.record.facts, before[0].facts)
    return _few(found) or "made in another way by this version of Seatrial"


def base_reason(base: Base, former: Record | None) -> str:
    """What changed about the base, or that it was made now; empty when it is as before."""
    if former is not None and former.base != base.name:
        return f"base changed: {former.base} → {base.name}"
    if former is not None and former.base_digest != base.digest:
        return f"base changed: {base.name} was {_short(former.base_digest)}, is now {_short(base.digest)}"
    return FIRST if base.made_now else ""


def changed_settings(now: Mapping[str, str], former: Record | None) -> tuple[str, ...]:
    """Names of the image's settings, such as `Env`, that are others than before."""
    if former is None:
        return ()
    return tuple(sorted(n for n in {*now, *former.settings} if now.get(n) != former.settings.get(n)))


def _package_changes(part: Part, parts: Sequence[Part], before: Sequence[LayerRecord]) -> list[str]:
    old = {wheel.name: wheel for layer in before for wheel in layer.wheels}
    found = []
    for wheel in part.record.wheels:
        was = old.get(wheel.name)
        if was is None:
            found.append(f"{wheel.name} {wheel.version} is new")
        elif was.version != wheel.version:
            found.append(f"{wheel.name} {was.version} → {wheel.version}")
        elif was.sha256 != wheel.sha256:
            found.append(f"{wheel.name} {wheel.version} is another file with the same version")
    here = {wheel.name for wheel in part.record.wheels}
    there = {
        w.name: p.record.wheels for p in parts if p.record.kind == part.record.kind for w in p.record.wheels
    }
    for layer in before:
        if layer.facts.get("group") != part.record.facts.get("group"):
            continue
        for wheel in layer.wheels:
            if wheel.name not in there:
                found.append(f"{wheel.name} {wheel.version} is gone")
            elif wheel.name not in here:
                found.append(f"{wheel.name} moved to another layer")
    moved = [w.name for w in part.record.wheels if w.name in old and not _together(w.name, part, before)]
    return found or [f"{name} moved here from another layer" for name in moved]


def _together(name: str, part: Part, before: Sequence[LayerRecord]) -> bool:
    group = part.record.facts.get("group")
    return any(
        layer.facts.get("group") == group and any(w.name == name for w in layer.wheels) for layer in before
    )


def _facts_of_group(part: Part, before: Sequence[LayerRecord]) -> list[str]:
    """What else decides the bytes of packages: the base's Python."""
    return _fact_changes(part.record.facts, before[0].facts, but=("group",))


def _fact_changes(now: Mapping[str, str], was: Mapping[str, str], but: Sequence[str] = ()) -> list[str]:
    found = []
    for name, value in now.items():
        old = was.get(name, "")
        if name in but or value == old:
            continue
        telling = value and old and max(len(value), len(old)) < 32  # noqa: PLR2004 - hashes have 32 digits
        found.append(f"{name} {old} → {value}" if telling else f"{name} changed")
    return found


def _source_changes(part: Part, before: LayerRecord) -> list[str]:
    layer = find_layer(before.key)
    facts = _fact_changes(part.record.facts, before.facts)
    if layer is None:
        return ["source files changed", *facts]
    new, old = part.files, layer.files
    inside = part.record.facts["working folder"].rstrip("/") + "/"
    kinds = {
        "changed": sorted(path for path in new if path in old and new[path] != old[path]),
        "added": sorted(path for path in new if path not in old),
        "removed": sorted(path for path in old if path not in new),
    }
    return [
        f"{counted(len(paths), 'source file')} {word}: {_few([p.removeprefix(inside) for p in paths], ', ')}"
        for word, paths in kinds.items()
        if paths
    ] + facts


def _few(items: Sequence[str], joiner: str = "; ") -> str:
    more = f"{joiner}and {len(items) - _MOST} more" if len(items) > _MOST else ""
    return joiner.join(items[:_MOST]) + more


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]
