"""A wheel in a normal form: the same files give the same bytes, whichever tool packed them, and when.

Sorted names with the metadata last, one time, two modes, one compressor that is the same on every processor, and
a RECORD written anew. Source: APPNOTE.TXT of the zip format; the binary distribution format.
"""

from __future__ import annotations

import base64
import csv
import io
import os
import struct
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, cast

from seatrial.images.assemble.packing import pack
from seatrial.images.assemble.splice import splice
from seatrial.images.assemble.wheel import Wheel, refuse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from seatrial.images.assemble.layer import LayerWriter

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION, _UNIX, _UTF8, _STORED, _DEFLATED = 20, 3 << 8, 0x800, 0, 8
_TIME, _DATE = 0, 0x21  # 1980-01-01 00:00, the earliest there is
_LARGEST = 0xFFFFFFFE
_MOST = 0xFFFE
_PACKED_WHOLE = 64 << 20  # the compressor takes contents whole; a larger one is stored
_SIGNATURES = ("RECORD.jws", "RECORD.p7s")


def write_normal(wheel: Wheel, out: IO[bytes]) -> bytes:
    """Write `wheel` to `out` in its normal form and return the content of its METADATA.

    Every file is compared with the wheel's own RECORD on the way. Signatures of the old form are left out.

    Raises:
        WheelError: a file is damaged or is not what RECORD says, or the wheel is larger than a plain zip can be.
    """
    record = f"{wheel.dist_info}/RECORD"
    dropped = {record, *(f"{wheel.dist_info}/{name}" for name in _SIGNATURES)}
    kept = [entry for entry in wheel.entries if entry.name not in dropped]
    kept.sort(key=lambda e: (e.name.startswith(wheel.dist_info + "/"), e.name))
    if len(kept) >= _MOST:
        raise refuse(wheel.filename, f"it has {len(kept)} files")
    packer, rows, metadata = _Packer(out, wheel.filename), [], b""
    descriptor = os.open(wheel.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        for entry in kept:
            mode = 0o755 if entry.executable else 0o644
            packer.keep = entry.name == f"{wheel.dist_info}/METADATA"
            digest = splice(
                cast("LayerWriter", packer), descriptor, entry, wheel.record.get(entry.name),
                name=entry.name, mode=mode, filename=wheel.filename,
            )  # fmt: skip
            metadata = packer.kept or metadata
            rows.append(
                (
                    entry.name,
                    f"sha256={base64.urlsafe_b64encode(digest).decode().rstrip('=')}",
                    str(entry.size),
                )
            )
    finally:
        os.close(descriptor)
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([*rows, (record, "", "")])
    packer.keep = False
    packer.add_bytes(record, text.getvalue().encode())
    packer.finish()
    return metadata


class _Packer:
    """Takes what a `LayerWriter` takes and writes it as a zip. With `keep`, the content of the next file stays in `kept`."""

    def __init__(self, out: IO[bytes], filename: str) -> None:
        self._out, self._filename = out, filename
        self._directory: list[bytes] = []
        self._place = 0
        self.keep = False
        self.kept = b""

    def add_bytes(self, name: str, content: bytes, *, mode: int = 0o644) -> None:
        with self.member(name, len(content), mode=mode):
            self.plain(content)

    def add_pieces(self, name: str, size: int, pieces: Iterable[bytes], *, mode: int = 0o644) -> None:
        with self.member(name, size, mode=mode):
            for piece in pieces:
                self.plain(piece)

    @contextmanager
    def member(self, name: str, size: int, *, mode: int = 0o644) -> Iterator[None]:
        if size > _LARGEST:
            raise refuse(self._filename, f"{name!r} has {size} bytes")
        start, raw = self._place, name.encode()
        self._write(bytes(_LOCAL.size) + raw)
        method = _DEFLATED if size <= _PACKED_WHOLE else _STORED
        self._waiting: list[bytes] | None = [] if method == _DEFLATED else None
        self._crc, self._size, self.kept = 0, 0, b""
        yield
        if self._waiting is not None:
            self._write(pack(b"".join(self._waiting)))
        packed = self._place - start - _LOCAL.size - len(raw)
        if self._place > _LARGEST:
            raise refuse(self._filename, "it is larger than 4 GiB")
        sizes = (self._crc, packed, self._size, len(raw))
        common = (_VERSION, _UTF8, method, _TIME, _DATE)
        self._out.seek(start)
        self._out.write(_LOCAL.pack(b"PK\x03\x04", *common, *sizes, 0))
        self._out.seek(0, os.SEEK_END)
        attributes = (0o100000 | mode) << 16
        self._directory.append(
            _CENTRAL.pack(b"PK\x01\x02", _UNIX | _VERSION, *common, *sizes, 0, 0, 0, 0, attributes, start)
            + raw
        )

    def plain(self, data: bytes) -> None:
        from isal import isal_zlib

        self._crc = isal_zlib.crc32(data, self._crc)
        self._size += len(data)
        if self._waiting is None:
            self._write(data)
        else:
            self._waiting.append(data)
        if self.keep:
            self.kept += data

    def packed(self, data: bytes) -> None:
        """What another compressor made is not taken over: it would differ from one to the next."""

    def close_member(self, crc: int, size: int) -> None:
        """The trailer of a gzip member; a zip says both in its headers."""

    def finish(self) -> None:
        start, directory = self._place, b"".join(self._directory)
        count = len(self._directory)
        self._write(directory + _END.pack(b"PK\x05\x06", 0, 0, count, count, len(directory), start, 0))

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._place += len(data)
