"""A root as a copy, for machines on which an ordinary user may not mount overlays."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seatrial.images.rootfs import Root, merged, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# ioctl FICLONE: share the blocks of a file until one side writes (btrfs, xfs, bcachefs).
_FICLONE = 0x40049409


@contextmanager
def copied(root: Root) -> Iterator[str]:
    """A copy of the merged layers for the length of a block; blocks are shared where the file system can."""
    with scratch("copy") as place:
        _copy(root, place)
        yield str(place)


def _copy(root: Root, place: Path) -> None:
    folders: list[tuple[Path, Path]] = []
    linked: dict[tuple[int, int], Path] = {}
    for path, (layer, entry) in sorted(merged(root).items()):
        source, target = root.folder(layer) / path, place / path
        if entry.kind == "d":
            target.mkdir(exist_ok=True)
            folders.append((source, target))
        elif entry.kind == "l":
            target.symlink_to(entry.link)
        else:
            status = source.stat(follow_symlinks=False)
            key = (status.st_dev, status.st_ino)
            if key in linked:
                os.link(linked[key], target)
                continue
            _copy_file(source, target)
            if status.st_nlink > 1:
                linked[key] = target
    for source, target in reversed(folders):
        shutil.copystat(source, target)
        for attribute in os.listxattr(target):
            os.removexattr(target, attribute)


def _copy_file(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        try:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
        except OSError:
            shutil.copyfileobj(reader, writer, 1 << 20)
    shutil.copystat(source, target)
