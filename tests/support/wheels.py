"""Wheels made on the spot, whole ones and broken ones."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def wheel(
    folder: Path,
    name: str = "demo",
    version: str = "1.0",
    files: Mapping[str, bytes] | None = None,
    *,
    tag: str = "py3-none-any",
    requires: tuple[str, ...] = (),
    entry_points: str = "",
    stored: tuple[str, ...] = (),
    executable: tuple[str, ...] = (),
    record: Callable[[dict[str, bytes]], bytes] | None = None,
    info: Callable[[zipfile.ZipInfo], None] | None = None,
    twice: str = "",
) -> Path:
    """Write `NAME-VERSION-TAG.whl` and return its path.

    `stored` files are not compressed; `record` replaces RECORD's content; `info` may change each zip entry;
    the file `twice` is in the archive two times.
    """
    stem = f"{name.replace('-', '_')}-{version}"
    dist = f"{stem}.dist-info"
    content: dict[str, bytes] = dict(files if files is not None else {f"{name}/__init__.py": b"value = 1\n"})
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {one}\n" for one in requires)
    content[f"{dist}/METADATA"] = metadata.encode()
    pure = "true" if tag.endswith("any") else "false"
    content[f"{dist}/WHEEL"] = f"Wheel-Version: 1.0\nRoot-Is-Purelib: {pure}\nTag: {tag}\n".encode()
    if entry_points:
        content[f"{dist}/entry_points.txt"] = entry_points.encode()
    content[f"{dist}/RECORD"] = record(content) if record else record_of(content, dist)
    path = folder / f"{stem}-{tag}.whl"
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for item, data in content.items():
            for _ in range(2 if item == twice else 1):
                entry = zipfile.ZipInfo(item, (2024, 1, 2, 3, 4, 6))
                entry.compress_type = zipfile.ZIP_STORED if item in stored else zipfile.ZIP_DEFLATED
                entry.external_attr = (0o100755 if item in executable else 0o100644) << 16
                if info:
                    info(entry)
                archive.writestr(entry, data)
    return path


def record_of(content: Mapping[str, bytes], dist: str) -> bytes:
    """The RECORD of those files."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    for item, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        rows.writerow((item, f"sha256={digest}", len(data)))
    rows.writerow((f"{dist}/RECORD", "", ""))
    return text.getvalue().encode()


def rewritten(path: Path, change: Callable[[bytearray, zipfile.ZipInfo], None], member: str) -> Path:
    """Change the bytes of a wheel in place; `change` gets them and the entry of `member`."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(member)
    data = bytearray(path.read_bytes())
    change(data, entry)
    path.write_bytes(data)
    return path


def data_start(data: bytes | bytearray, entry: zipfile.ZipInfo) -> int:
    """Where the packed content of an entry starts."""
    place = entry.header_offset
    name = int.from_bytes(data[place + 26 : place + 28], "little")
    extra = int.from_bytes(data[place + 28 : place + 30], "little")
    return place + 30 + name + extra


def central(data: bytes | bytearray, name: str) -> int:
    """Where the directory's entry of a file starts."""
    stream = io.BytesIO(data)
    with zipfile.ZipFile(stream) as archive:
        place = archive.start_dir
    while data[place : place + 4] == b"PK\x01\x02":
        lengths = [int.from_bytes(data[place + o : place + o + 2], "little") for o in (28, 30, 32)]
        if data[place + 46 : place + 46 + lengths[0]] == name.encode():
            return place
        place += 46 + sum(lengths)
    raise AssertionError(name)
