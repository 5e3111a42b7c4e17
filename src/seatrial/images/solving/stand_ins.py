"""Wheels that stand for what cannot be seen: a version number with the dependencies that are known, and no content.

uv must never build, so it sees wheels only. A release that is a source distribution alone, a PyTorch build with a label
like `+cu121`, a version that only the base has: each becomes such a wheel in a folder for `--find-links`.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zipfile
from typing import TYPE_CHECKING

import msgspec

from seatrial import paths
from seatrial.files import remove_tree
from seatrial.images.solving.metadata import Needs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_TIME = (2020, 1, 1, 0, 0, 0)


def folder_of(name: str, versions: Mapping[str, Needs | None]) -> Path:
    """A folder with one stand-in per version, made once for the same content."""
    content = msgspec.json.encode([name, sorted(versions.items())])
    folder = paths.cache() / "solving" / "stand-ins" / f"{name}-{hashlib.sha256(content).hexdigest()[:24]}"
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.{secrets.token_hex(6)}")
    fresh.mkdir()
    for version, needs in versions.items():
        _write(fresh, name, version, needs or Needs())
    try:
        fresh.rename(folder)
    except OSError:  # someone else made the same one meanwhile
        remove_tree(fresh)
    return folder


def _write(folder: Path, name: str, version: str, needs: Needs) -> None:
    stem = f"{re.sub(r'[-_.]+', '_', name)}-{version}"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    if needs.python:
        lines.append(f"Requires-Python: {needs.python}")
    lines += [f"Requires-Dist: {one}" for one in needs.requires]
    lines += [f"Provides-Extra: {one}" for one in needs.extras]
    content = {
        "METADATA": "\n".join(lines) + "\n",
        "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "RECORD": "",
    }
    with zipfile.ZipFile(folder / f"{stem}-py3-none-any.whl", "w") as archive:
        for file, text in content.items():
            archive.writestr(zipfile.ZipInfo(f"{stem}.dist-info/{file}", _TIME), text)


def without_device_libraries(needs: Needs, label: str) -> Needs:
    """What a PyTorch release needs in a build with `label`: the libraries of its device differ, the rest does not."""
    dropped = (
        r"nvidia-|cuda-|pytorch-triton"
        if label.startswith("cu")
        else r"nvidia-|cuda-|pytorch-triton|triton\b"
    )
    kept = tuple(one for one in needs.requires if not re.match(dropped, one))
    return msgspec.structs.replace(needs, requires=kept)
