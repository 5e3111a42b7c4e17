"""How large the image is, and what of it is for nothing."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.images.rootfs import read_layer_index
from seatrial.images.testing.model import Check, Subject, failed, passed

if TYPE_CHECKING:
    from collections.abc import Iterator

_MEGABYTE = 1 << 20
# Left behind by tools that fetch: nothing reads them in a running image.
_LEFTOVERS = {
    "var/lib/apt/lists/": "apt's package lists", "var/cache/apt/archives/": "apt's downloads",
    "root/.cache/pip/": "pip's cache", "root/.cache/uv/": "uv's cache", "opt/conda/pkgs/": "conda's cache",
    "root/.npm/_cacache/": "npm's cache", "var/cache/apk/": "apk's cache", "var/cache/yum/": "yum's cache",
    "var/cache/dnf/": "dnf's cache", "root/.cache/huggingface/": "Hugging Face downloads",
}  # fmt: skip


def check_size(subject: Subject) -> Iterator[Check]:
    """Unpacked size against the limit, with what is deleted again or only left behind."""
    seen = sum(entry.size for _, entry in subject.tree.values())
    layers = {layer: read_layer_index(Path(subject.root.store), layer) for layer in subject.root.layers}
    shipped = sum(entry.size for index in layers.values() for entry in index.entries)
    details = []
    if shipped - seen > _MEGABYTE:
        details.append(f"{_mb(shipped - seen)} lie in layers, but are replaced or deleted by later ones")
    left: dict[str, int] = defaultdict(int)
    for path, (_, entry) in subject.tree.items():
        for folder, what in _LEFTOVERS.items():
            if path.startswith(folder):
                left[f"/{folder} ({what})"] += entry.size
    details += [f"{_mb(size)} in {what}" for what, size in sorted(left.items()) if size > _MEGABYTE]
    message = f"{_mb(shipped)} in {len(subject.root.layers)} layers, {_mb(seen)} visible"
    limit = subject.spec.size_limit
    if limit and shipped > limit:
        fix = "leave out what is not needed at run time; the details say where it is"
        yield failed("size", f"{message}; the limit is {_mb(limit)}", fix, details)
    else:
        yield passed("size", message, details)


def check_duplicates(subject: Subject) -> Iterator[Check]:
    """Large files with the same content in several places. Costly, seldom wrong: it is said, not failed."""
    by_size: dict[int, dict[tuple[int, int], str]] = defaultdict(dict)
    for path, (_, entry) in subject.tree.items():
        if entry.kind == "f" and entry.size >= _MEGABYTE:
            status = subject.file(path).stat()
            by_size[entry.size].setdefault((status.st_dev, status.st_ino), path)
    groups: dict[str, list[str]] = defaultdict(list)
    for size, files in by_size.items():
        if len(files) > 1:
            for path in files.values():
                with subject.file(path).open("rb") as stream:
                    groups[f"{size} {hashlib.file_digest(stream, 'sha256').hexdigest()}"].append(path)
    twice = {key: sorted(paths) for key, paths in groups.items() if len(paths) > 1}
    wasted = sum(int(key.partition(" ")[0]) * (len(paths) - 1) for key, paths in twice.items())
    lines = (
        f"{_mb(int(key.partition(' ')[0]))}: /{', /'.join(paths)}" for key, paths in sorted(twice.items())
    )
    yield passed("duplicates", f"{_mb(wasted)} are there more than once", lines)


def _mb(size: int) -> str:
    return f"{size / _MEGABYTE:.1f} MB"
