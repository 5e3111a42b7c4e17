"""What is shown of an image: its layers, who made them, its packages, and what is attested of it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.attesting import envelope
from seatrial.images.attesting.artifacts import PREDICATE_TYPE
from seatrial.images.attesting.provenance import PREDICATE
from seatrial.images.outputs import records

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.images.attesting.content import Content
    from seatrial.images.attesting.model import Inventory
    from seatrial.images.attesting.places import Kept
    from seatrial.images.layout import Image


def layers(image: Image, content: Content | None) -> list[dict[str, Any]]:
    """Every layer, lowest first: what it is, which wheels, and with `content` how many files it brings and takes away."""
    history = [entry for entry in image.config.get("history") or () if not entry.get("empty_layer")]
    found = image.manifest.layers
    said = (
        [str(entry.get("created_by") or "") for entry in history]
        if len(history) == len(found)
        else [""] * len(found)
    )
    record = records.made_of(image.digest)
    made = record.layers if record is not None else ()
    below = len(found) - len(made)
    shown = []
    for number, (layer, text) in enumerate(zip(found, said, strict=True)):
        one: dict[str, Any] = {
            "digest": layer.digest,
            "size": layer.size,
            "media_type": layer.media_type,
            "what": _step(text),
        }
        if content is not None:
            one |= content.layers[number]._asdict() | {
                "unpacked": content.layers[number].size,
                "size": layer.size,
            }
        if number >= below and made:
            own = made[number - below]
            one["from"] = {"kind": own.kind, "wheels": [wheel.filename for wheel in own.wheels]}
        shown.append(one)
    return shown


def packages(inventory: Inventory) -> list[dict[str, Any]]:
    """Packages with what is worth showing; the whole is in the bill of materials."""
    return [
        {"kind": one.kind, "name": one.name, "version": one.version, "purl": one.purl, "size": one.size,
         "files": one.files, "layer": one.layer, "licences": one.licences, "within": one.within,
         "editable": one.editable, "changed": one.changed, "places": one.places}
        for one in inventory.packages
    ]  # fmt: skip


def counts(inventory: Inventory) -> dict[str, int]:
    """How many packages there are of each kind."""
    return dict(sorted(Counter(one.kind for one in inventory.packages).items()))


def attested(found: Iterable[Kept]) -> tuple[list[dict[str, Any]], dict[str, Any] | None]:
    """What refers to the image, and the predicate of its provenance. Who signed is not verified here."""
    shown: list[dict[str, Any]] = []
    provenance = None
    for one in found:
        about = one.attached.annotations.get(PREDICATE_TYPE, "")
        entry: dict[str, Any] = {
            "digest": one.attached.digest,
            "type": one.attached.kind,
            "about": about,
            "keys": [],
        }
        for content in one.contents:
            payload, signers = _opened(one.attached.kind, content)
            entry["keys"] += signers
            told = _predicate(payload)
            if told is not None:
                entry["about"], predicate = told
                provenance = predicate if told[0] == PREDICATE and provenance is None else provenance
        shown.append(entry)
    return shown, provenance


def _step(text: str) -> str:
    """A line of the history as people wrote it in their Dockerfile."""
    text = text.removeprefix("seatrial image assemble: ")
    return (
        text.removeprefix("/bin/sh -c #(nop) ")
        .removeprefix("/bin/sh -c ")
        .removesuffix(" # buildkit")
        .strip()
    )


def _opened(kind: str, content: bytes) -> tuple[bytes, list[str]]:
    if kind != envelope.MEDIA_TYPE:
        return content, []
    try:
        sealed = envelope.read(content)
        return envelope.payload_of(sealed), [one.keyid for one in sealed.signatures]
    except SeatrialError:
        return b"", []


def _predicate(payload: bytes) -> tuple[str, dict[str, Any]] | None:
    try:
        told = msgspec.json.decode(payload)
        if isinstance(told, dict) and "predicateType" in told:
            return str(told["predicateType"]), told["predicate"]
    except (msgspec.MsgspecError, KeyError, RecursionError):
        pass
    return None
