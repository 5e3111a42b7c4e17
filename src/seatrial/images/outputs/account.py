"""The account of what was made, or would be: each layer with its size, why it is there and why it is new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.images.assemble.config import image_config, run_config
from seatrial.images.assemble.spec import Assembled, AssembledImage, AssembledLayer
from seatrial.images.assemble.store import find_layer
from seatrial.images.outputs.layout import Made, describe, index_of
from seatrial.images.outputs.reasons import base_reason, changed_settings, reason
from seatrial.images.outputs.records import Record, hashed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.images.assemble.image import Decided
    from seatrial.images.assemble.store import StoredLayer
    from seatrial.images.lock import LockedWheel
    from seatrial.images.outputs.layout import Described


def assembled(
    images: Sequence[Decided],
    made: Sequence[Made],
    described: Sequence[Described],
    digest: str,
    seconds: float,
) -> Assembled:
    """The account of images that were written."""
    rows = [
        _image(image, one.layers, result.top.digest)
        for image, one, result in zip(images, made, described, strict=True)
    ]
    return _together(images, rows, digest, seconds)


def foreseen(images: Sequence[Decided], missing: Mapping[str, LockedWheel], seconds: float) -> Assembled:
    """The account of images that would be written; `missing` are wheels to fetch, by hash."""
    rows, described = [], []
    for image in images:
        known = [find_layer(part.plan.key) for part in image.parts]
        whole = [layer for layer in known if layer is not None]
        top = ""
        if len(whole) == len(known):
            described.append(describe(put_together(image, whole)))
            top = described[-1].top.digest
        rows.append(_image(image, known, top))
    digest = index_of(described)[0].digest if len(described) == len(images) else ""
    done = _together(images, rows, digest, seconds)
    size = sum(wheel.size for wheel in missing.values())
    return msgspec.structs.replace(done, missing_wheels=len(missing), missing_bytes=size)


def put_together(image: Decided, built: Sequence[StoredLayer]) -> Made:
    """The image's layers with its configuration.

    Raises:
        SeatrialError: the base is for another platform, or its configuration does not fit its layers.
    """
    added = [(part.plan.what, layer.diff_id) for part, layer in zip(image.parts, built, strict=True)]
    config = image_config(
        image.spec, image.base.config, image.user, image.prepared.base, len(image.base.manifest.layers), added,
        image.created,
    )  # fmt: skip
    return Made(image.prepared.base.layout, image.base, built, config)


def record(image: Decided) -> Record:
    """What is remembered of an image."""
    base = image.prepared.base
    return Record(
        base=base.name,
        base_digest=base.digest,
        layers=tuple(part.record for part in image.parts),
        settings=_settings(image),
    )


def _settings(image: Decided) -> dict[str, str]:
    inherited: dict[str, Any] = image.base.config.get("config") or {}
    config = run_config(image.spec, inherited, image.user, image.prepared.base)
    return {name: hashed(value) for name, value in config.items()}


def _image(image: Decided, built: Sequence[StoredLayer | None], digest: str) -> AssembledImage:
    rows = [*_base_rows(image), *_rows(image, built)]
    return AssembledImage(
        platform=image.spec.platform,
        digest=digest,
        size=sum(row.size for row in rows),
        layers=tuple(rows),
        settings_changed=changed_settings(_settings(image), image.former),
    )


def _base_rows(image: Decided) -> list[AssembledLayer]:
    base, found = image.prepared.base, []
    said = [
        str(step.get("created_by") or "")
        for step in image.base.config.get("history") or ()
        if not step.get("empty_layer")
    ]
    total = len(image.base.manifest.layers)
    how = "written again so that it can be pulled lazily" if image.spec.lazy else "taken over as it is"
    # What was put on top of the base here has a name of its own.
    names = [f"base {image.spec.base}"] * (total - len(base.added)) + [*base.added]
    for number, layer in enumerate(image.base.manifest.layers, 1):
        which = f"layer {number} of {total} of the base" if total > 1 else "the base"
        by = (
            f", made by: {' '.join(said[number - 1].split())}"
            if len(said) == total and said[number - 1]
            else ""
        )
        found.append(
            AssembledLayer(
                digest=layer.digest,
                size=layer.size,
                what=names[number - 1],
                reused=not base.made_now,
                why=f"{which}, {how}{by}",
                reason=base_reason(base, image.former),
            )
        )
    return found


def _rows(image: Decided, built: Sequence[StoredLayer | None]) -> list[AssembledLayer]:
    return [
        AssembledLayer(
            digest=layer.digest if layer else "",
            size=layer.size if layer else 0,
            what=part.plan.what,
            reused=layer is not None and layer.reused,
            why=part.why,
            reason="" if layer is not None and layer.reused else reason(part, image.parts, image.former),
        )
        for part, layer in zip(image.parts, built, strict=True)
    ]


def _together(
    images: Sequence[Decided], rows: Sequence[AssembledImage], digest: str, seconds: float
) -> Assembled:
    layers = rows[0].layers if len(rows) == 1 else _each_once(rows)
    several = len(images) > 1
    notes = [
        f"{image.spec.platform}: {note}" if several else note for image in images for note in image.notes
    ]
    return Assembled(
        digest=digest,
        size=sum(layer.size for layer in layers),
        layers=tuple(layers),
        seconds=round(seconds, 3),
        notes=tuple(notes),
        images=tuple(rows),
    )


def _each_once(rows: Sequence[AssembledImage]) -> list[AssembledLayer]:
    """Layers of several platforms: one that has no digest yet is another one than those with its name."""
    found = {
        layer.digest or f"{image.platform} {layer.what}": layer for image in rows for layer in image.layers
    }
    return list(found.values())
