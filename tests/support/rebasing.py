"""Small bases in two versions, and images that stand on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.images import layout as oci
from seatrial.images.rebase.run import Report, Request, rebase
from support import debian

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images.testing.model import Check
    from support.debian import Item

DIGEST = "org.opencontainers.image.base.digest"
NAME = "org.opencontainers.image.base.name"
PATH = "PATH=/usr/local/bin:/usr/bin:/bin"


def base(layout: Path, items: Sequence[Item], settings: dict[str, Any] | None = None, **config: Any) -> Path:
    """A base of one layer."""
    debian.image(layout, [items], {"Env": [PATH], **(settings or {})}, **config)
    return layout


def built(
    layout: Path,
    on: Path,
    *layers: Sequence[Item],
    settings: dict[str, Any] | None = None,
    told: str = "annotation",
    **config: Any,
) -> Path:
    """What another builder makes on a base: it says its digest in an annotation, a label, or not at all."""
    below = oci.read_image(on)
    given = {**(below.config.get("config") or {}), **(settings or {})}
    if told == "label":
        given["Labels"] = {**given.get("Labels", {}), DIGEST: below.digest}
    debian.image(layout, layers, given, base=on, **config)
    if told == "annotation":
        annotate(layout, {DIGEST: below.digest})
    return layout


def annotate(layout: Path, notes: dict[str, str]) -> None:
    """Say something in the manifest of the only image."""
    image = oci.read_image(layout)
    manifest = msgspec.structs.replace(image.manifest, annotations=notes)
    top = oci.add_blob(layout, oci.encode(manifest), oci.MANIFEST, platform=image.descriptor.platform)
    oci.set_index(layout, oci.Index(manifests=(top,)))


def moved(image: Path, onto: Path, out: Path | None = None, **options: Any) -> Report:
    """Rebase a layout; without `out` only ask whether it may be."""
    return rebase(Request(image=str(image), onto=str(onto), out=out, check=out is None, **options))


def answers(report: Report) -> dict[str, Check]:
    return {check.id: check for check in report.checks}


def failures(report: Report) -> set[str]:
    return {check.id for check in report.checks if check.status == "fail"}
