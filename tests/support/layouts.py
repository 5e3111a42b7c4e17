"""Small real images as OCI layouts."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import tarfile
from typing import TYPE_CHECKING

from seatrial.images import layout as layouts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images.layout import Descriptor


def image(
    layout: Path,
    *,
    seed: int = 0,
    sizes: Sequence[int] = (20, 3_000, 400_000),
    architecture: str = "amd64",
    created: str = "2026-01-02T03:04:05Z",
    index: bool = True,
) -> Descriptor:
    """Write an image whose layers hold incompressible files of these sizes; the same seed, the same image."""
    layouts.create(layout)
    source = random.Random(seed)
    layers, diff_ids = [], []
    for number, size in enumerate(sizes):
        packed, diff_id = _layer(f"opt/file{number}", source.randbytes(size))
        layers.append(layouts.add_blob(layout, packed, layouts.LAYER_GZIP))
        diff_ids.append(diff_id)
    config = layouts.add_blob(
        layout,
        layouts.encode(
            {
                "architecture": architecture,
                "os": "linux",
                "created": created,
                "config": {"Labels": {"seed": str(seed)}},
                "rootfs": {"type": "layers", "diff_ids": diff_ids},
            }
        ),
        layouts.CONFIG,
    )
    manifest = layouts.Manifest(config=config, layers=tuple(layers))
    descriptor = layouts.add_blob(
        layout,
        layouts.encode(manifest),
        layouts.MANIFEST,
        platform=layouts.Platform(architecture),
    )
    if index:
        layouts.set_index(layout, layouts.Index(manifests=(descriptor,)))
    return descriptor


def two_platforms(layout: Path) -> Descriptor:
    """One image index with an amd64 and an arm64 image."""
    entries = tuple(
        image(layout, seed=seed, sizes=(1_000,), architecture=name, index=False)
        for seed, name in enumerate(("amd64", "arm64"), start=1)
    )
    top = layouts.add_blob(layout, layouts.encode(layouts.Index(manifests=entries)), layouts.INDEX)
    layouts.set_index(layout, layouts.Index(manifests=(top,)))
    return top


def _layer(name: str, content: bytes) -> tuple[bytes, str]:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    diff_id = hashlib.sha256(raw.getvalue()).hexdigest()
    return gzip.compress(raw.getvalue(), 1, mtime=0), f"sha256:{diff_id}"
