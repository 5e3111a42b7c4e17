"""Wheels that no installer should touch are refused, each with its reason; whole ones are not."""

from __future__ import annotations

import base64
import hashlib
import io
import stat
import struct
import zlib
from typing import TYPE_CHECKING

import pytest

from seatrial.images.assemble.install import Scheme, write_wheels
from seatrial.images.assemble.layer import LayerWriter
from seatrial.images.assemble.wheel import WheelError, read_wheel
from support import wheels

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Callable
    from pathlib import Path

LIBRARY = "/usr/lib/python3.11/site-packages"
SCHEME = Scheme(
    purelib=LIBRARY, platlib=LIBRARY, scripts="/usr/bin", headers="/usr/include/python3.11", data="/usr",
    shebang="/usr/bin/python3",
)  # fmt: skip
BIG = bytes(range(256)) * 8192


def layer_of(path: Path) -> bytes:
    out = io.BytesIO()
    with LayerWriter(out) as writer:
        write_wheels(writer, [read_wheel(path, path.name)], SCHEME)
        writer.finish()
    return out.getvalue()


def overwrite(
    offset_in_directory: int, layout: str, value: int, local: int | None = None
) -> Callable[..., None]:
    """Change a number in the directory, and in the file's own header when `local` says where."""

    def change(data: bytearray, entry: zipfile.ZipInfo) -> None:
        place = wheels.central(data, entry.filename) + offset_in_directory
        struct.pack_into(layout, data, place, value)
        if local is not None:
            struct.pack_into(layout, data, entry.header_offset + local, value)

    return change


def flip_content(data: bytearray, entry: zipfile.ZipInfo) -> None:
    data[wheels.data_start(data, entry) + entry.compress_size // 2] ^= 0x55


def other_local_name(data: bytearray, entry: zipfile.ZipInfo) -> None:
    data[entry.header_offset + 30 : entry.header_offset + 34] = b"evil"


def trailing_bytes(data: bytearray, entry: zipfile.ZipInfo) -> None:
    """Zero bytes after the final block, within the entry: repack smaller and leave the length."""
    place = wheels.data_start(data, entry)
    plain = zlib.decompress(bytes(data[place : place + entry.compress_size]), -15)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    smaller = packer.compress(plain) + packer.flush()
    assert len(smaller) < entry.compress_size
    data[place : place + entry.compress_size] = smaller.ljust(entry.compress_size, b"\0")


def no_final_block(data: bytearray, entry: zipfile.ZipInfo) -> None:
    """All content, but the stream goes on: `zipfile` does not notice."""
    place = wheels.data_start(data, entry)
    plain = zlib.decompress(bytes(data[place : place + entry.compress_size]), -15)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    open_ended = packer.compress(plain) + packer.flush(zlib.Z_FULL_FLUSH)
    rest = entry.compress_size - len(open_ended)
    assert rest >= 5
    assert rest % 5 == 0 or rest > 5
    empty = b"\0\0\0\xff\xff"
    body = open_ended + empty * (rest // 5)
    struct.pack_into("<L", data, wheels.central(data, entry.filename) + 20, len(body))
    struct.pack_into("<L", data, entry.header_offset + 18, len(body))
    data[place : place + len(body)] = body


STREAMS = {
    "flipped bit": (flip_content, "damaged|not whole|cut off|after its end|RECORD|checksum|bytes"),
    "trailing bytes": (trailing_bytes, "bytes after its end"),
    "no final block": (no_final_block, "final block is missing"),
    "overstated size": (overwrite(24, "<L", len(BIG) + 1, 22), "bytes, not the"),
    "understated size": (overwrite(24, "<L", len(BIG) - 1, 22), "longer than"),
    "wrong checksum": (overwrite(16, "<L", 12345, 14), "checksum"),
    "sizes differ in the two headers": (overwrite(24, "<L", len(BIG) + 1), "other sizes"),
    "name differs in the two headers": (other_local_name, "another name"),
    "encrypted": (overwrite(8, "<H", 1, 6), "encrypted"),
    "unknown method": (overwrite(10, "<H", 12, 8), "compressed by method 12"),
    "data beyond the end": (overwrite(42, "<L", 0), "overlaps|another name|other sizes"),
}


@pytest.mark.parametrize("case", STREAMS)
def test_a_stream_that_is_not_provably_whole_is_refused(tmp_path: Path, case: str) -> None:
    def slack(entry: zipfile.ZipInfo) -> None:
        entry._compresslevel = 1  # type: ignore[attr-defined]  # leaves room for a smaller stream

    change, reason = STREAMS[case]
    path = wheels.wheel(tmp_path, files={"demo/__init__.py": b"", "demo/big.bin": BIG}, info=slack)
    layer_of(path)
    wheels.rewritten(path, change, "demo/big.bin")
    with pytest.raises(WheelError, match=reason) as caught:
        layer_of(path)
    assert caught.value.where == path.name


def as_kind(kind: int) -> Callable[[zipfile.ZipInfo], None]:
    def change(entry: zipfile.ZipInfo) -> None:
        if entry.filename.startswith("demo/"):
            entry.external_attr = (kind | 0o777) << 16

    return change


def lying(content: dict[str, bytes]) -> bytes:
    return wheels.record_of({**content, "demo/__init__.py": b"value = 2\n"}, "demo-1.0.dist-info")


def silent(content: dict[str, bytes]) -> bytes:
    kept = {name: data for name, data in content.items() if name != "demo/__init__.py"}
    return wheels.record_of(kept, "demo-1.0.dist-info")


def weak(content: dict[str, bytes]) -> bytes:
    digest = base64.urlsafe_b64encode(hashlib.md5(content["demo/__init__.py"]).digest()).decode().rstrip("=")
    return silent(content) + f"demo/__init__.py,md5={digest},\n".encode()


INITIAL = {"demo/__init__.py": b"value = 1\n"}
STRUCTURES: dict[str, tuple[dict[str, object], str]] = {
    "climbs up": ({"files": {**INITIAL, "demo/../../../etc/cron.d/x": b""}}, "outside of the wheel"),
    "absolute": ({"files": {**INITIAL, "/etc/passwd": b""}}, "outside of the wheel"),
    "backslashes": ({"files": {**INITIAL, "demo\\..\\x.py": b""}}, "not a plain relative path"),
    "drive": ({"files": {**INITIAL, "C:x.py": b""}}, "not a plain relative path"),
    "current folder": ({"files": {**INITIAL, "demo/./x.py": b""}}, "not a plain relative path"),
    "control characters": ({"files": {**INITIAL, "demo/\x1b[2J.py": b""}}, "not a plain relative path"),
    "whiteout": ({"files": {**INITIAL, "demo/.wh.secret": b""}}, "delete files of other layers"),
    "opaque whiteout": ({"files": {**INITIAL, ".wh..wh..opq": b""}}, "delete files of other layers"),
    "symbolic link": ({"info": as_kind(stat.S_IFLNK)}, "symbolic link"),
    "device": ({"info": as_kind(stat.S_IFCHR)}, "device or pipe"),
    "twice": ({"twice": "demo/__init__.py"}, "in it twice"),
    "file and folder": ({"files": {**INITIAL, "demo/__init__.py/x": b""}}, "both a file and a folder"),
    "bomb": ({"files": {**INITIAL, "demo/zeros": bytes(300 << 20)}}, "would unpack to"),
    "lying RECORD": ({"record": lying}, "not the file that RECORD describes"),
    "RECORD leaves a file out": ({"record": silent}, "does not list 'demo/__init__.py'"),
    "RECORD with a weak hash": ({"record": weak}, "no sha256"),
    "other metadata folder": ({"files": {**INITIAL, "other-1.0.dist-info/METADATA": b""}}, "2 metadata folders"),
    "unknown data folder": ({"files": {**INITIAL, "demo-1.0.data/etc/x": b""}}, "no known installation folder"),
    "entry point climbs up": (
        {"entry_points": "[console_scripts]\n../../evil = demo:main\n"}, "not a plain file name"
    ),
    "entry point with code": (
        {"entry_points": "[console_scripts]\nx = os;import sys:main\n"}, "no `module:attribute`"
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("case", STRUCTURES)
def test_a_hostile_wheel_is_refused_by_name(tmp_path: Path, case: str) -> None:
    changes, reason = STRUCTURES[case]
    path = wheels.wheel(tmp_path, **changes)  # type: ignore[arg-type]
    with pytest.raises(WheelError, match=reason) as caught:
        layer_of(path)
    assert caught.value.where == path.name
    assert caught.value.fix


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x1f\x8b\x08"])
def test_a_file_that_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    path.write_bytes(content)
    with pytest.raises(WheelError, match="cannot be read"):
        read_wheel(path, path.name)


def test_stored_files_and_strong_hashes_are_fine(tmp_path: Path) -> None:
    def sha512(content: dict[str, bytes]) -> bytes:
        digest = base64.urlsafe_b64encode(hashlib.sha512(BIG).digest()).decode().rstrip("=")
        rest = {name: data for name, data in content.items() if name != "demo/big.bin"}
        return (
            wheels.record_of(rest, "demo-1.0.dist-info")
            + f"demo/big.bin,sha512={digest},{len(BIG)}\n".encode()
        )

    files = {"demo/big.bin": BIG, "demo/__init__.py": b""}
    path = wheels.wheel(tmp_path, files=files, stored=("demo/big.bin",), record=sha512)
    assert len(layer_of(path)) < len(BIG)
