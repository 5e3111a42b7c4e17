"""Packages of the base that a build replaced: a base's torch that pip put aside costs gigabytes and often the GPU."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from seatrial.images import layout as oci
from seatrial.images.builders.model import Replaced
from seatrial.images.rebase import packages, scan
from seatrial.images.rebase.tree import merge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from seatrial.images.assemble.store import Use

_CUDA = re.compile(
    r"nvidia-|cuda-|triton$|torch(?:vision|audio)?$|tensorflow|jaxlib$|flash-attn$|xformers$|cupy"
)


def replaced(layout: Path, below: int, use: Use) -> tuple[Replaced, ...]:
    """Distributions that the lowest `below` layers (the base's) have and the image has in another version, or no more.

    torch and what belongs to CUDA come first.
    """
    image = oci.read_image(layout)
    layers = [
        scan.known(use, diff_id) or scan.scan(use, oci.blob_path(layout, blob.digest), blob, diff_id)
        for blob, diff_id in zip(image.manifest.layers, oci.diff_ids(image), strict=True)
    ]
    old, new = _distributions(layers[:below]), _distributions(layers)
    found = [
        Replaced(
            name=name, before=version, after=new.get(name, ""), note=_note(name, version, new.get(name, ""))
        )
        for name, version in old.items()
        if new.get(name, "") != version
    ]
    return tuple(sorted(found, key=lambda one: (not _CUDA.match(one.name), one.name)))


def _distributions(layers: Sequence[scan.Layer]) -> Mapping[str, str]:
    found = packages.distributions(merge(layers))
    # The one that Python finds first is in /usr/local, which sorts after the system's own.
    return {one.name: one.version for one in sorted(found, key=lambda one: one.site)}


def _note(name: str, before: str, after: str) -> str:
    if not _CUDA.match(name):
        return ""
    if not after:
        return "the base brought it for its GPU libraries, and it is gone"
    was, now = (re.search(r"\+(\w+)", version) for version in (before, after))
    if was and (now is None or now[1] != was[1]):
        return f"the base's was built for {was[1]}, this one for {now[1] if now else 'what PyPI has'}"
    return "the base's is still in its layers, so the image holds both"
