"""Asks a package index, in its standard form, for the files of a package and the metadata of a wheel (PEP 691, 658)."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.facts.derive import File  # noqa: TC001 - msgspec reads it at run time
from seatrial.transport import TransportError, place, send

if TYPE_CHECKING:
    from seatrial.transport import Link

PUBLIC = "https://pypi.org/simple"
_JSON = "application/vnd.pypi.simple.v1+json"
_TAIL = 64 << 10
_NOT_FOUND, _PARTIAL, _REFUSED = 404, 206, 400


class _Page(msgspec.Struct):
    files: tuple[File, ...]


def index_address() -> str:
    """The index that uv and pip are told to use: UV_DEFAULT_INDEX, UV_INDEX_URL, PIP_INDEX_URL, else the public one."""
    for variable in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if os.environ.get(variable):
            return os.environ[variable].rstrip("/")
    return PUBLIC


def files(link: Link, index: str, name: str) -> tuple[File, ...]:
    """Every file of a package.

    Raises:
        SeatrialError: the index does not know the package, or answers in HTML only.
        TransportError: the index cannot be reached.
    """
    from urllib.parse import urljoin

    url = f"{index}/{name}/"
    answer = send(link, "GET", url, headers={"Accept": _JSON})
    if answer.status_code >= _REFUSED:
        raise SeatrialError(
            f"the index answered {answer.status_code} for the package {name}",
            where=place(url),
            fix="set UV_DEFAULT_INDEX to an index that has it",
        )
    try:
        page = msgspec.json.decode(answer.content, type=_Page)
    except msgspec.DecodeError as error:
        raise SeatrialError(
            "the index does not answer in JSON",
            where=place(url),
            why=str(error),
            fix="set UV_DEFAULT_INDEX to an index with the JSON form of the simple API (PEP 691)",
        ) from error
    return tuple(msgspec.structs.replace(one, url=urljoin(url, one.url)) for one in page.files)


def requires_dist(link: Link, wheel: File) -> tuple[str, ...] | None:
    """The Requires-Dist lines of a wheel: from its metadata file, else from the end of the wheel itself. None: neither can be had."""
    from email.parser import HeaderParser

    text = _metadata_file(link, wheel.url)
    if text is None:
        with suppress(TransportError):
            text = _inside(link, wheel.url)
    if text is None:
        return None
    return tuple(
        " ".join(line.split()) for line in HeaderParser().parsestr(text).get_all("Requires-Dist", [])
    )


def _metadata_file(link: Link, url: str) -> str | None:
    """PEP 658. Some mirrors have the file and do not say so, hence no look at `core-metadata`."""
    answer = send(link, "GET", f"{url.partition('#')[0]}.metadata")
    return None if answer.status_code >= _REFUSED else answer.content.decode("utf-8", "replace")


def _inside(link: Link, url: str) -> str | None:
    """METADATA read out of the wheel with range requests: its directory stands at the end."""
    import io
    import zipfile

    tail, start, size = _part(link, url, f"bytes=-{_TAIL}")
    if tail is None:
        return None
    end = tail.rfind(b"PK\x05\x06")
    if end < 0:
        return None
    directory = int.from_bytes(tail[end + 16 : end + 20], "little")
    if directory < start:
        more, _, _ = _part(link, url, f"bytes={directory}-{start - 1}")
        if more is None:
            return None
        tail, start = more + tail, directory
    sparse = _Sparse(size, start, tail)
    with zipfile.ZipFile(sparse) as archive:
        entry = next(
            (one for one in archive.infolist() if one.filename.endswith(".dist-info/METADATA")), None
        )
        if entry is None:
            return None
        if entry.header_offset < start:
            length = entry.compress_size + len(entry.filename) + 1024
            last = min(entry.header_offset + length, size) - 1
            part, at, _ = _part(link, url, f"bytes={entry.header_offset}-{last}")
            if part is None:
                return None
            sparse.add(at, part)
        return io.TextIOWrapper(archive.open(entry), "utf-8", "replace").read()


def _part(link: Link, url: str, wanted: str) -> tuple[bytes | None, int, int]:
    """The bytes of a range, where they start, and how long the file is; None where the server sends no ranges."""
    from seatrial.transport import chunks, stream

    with stream(link, "GET", url, headers={"Range": wanted, "Accept-Encoding": "identity"}) as answer:
        if answer.status_code != _PARTIAL:
            return None, 0, 0
        span, _, total = answer.headers["Content-Range"].removeprefix("bytes ").partition("/")
        return b"".join(chunks(answer)), int(span.split("-")[0]), int(total)


class _Sparse:
    """A file of which two parts are known; reading elsewhere gives nothing."""

    def __init__(self, size: int, start: int, data: bytes) -> None:
        self._size, self._parts, self._at = size, [(start, data)], 0

    def add(self, start: int, data: bytes) -> None:
        self._parts.append((start, data))

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def read(self, count: int = -1) -> bytes:
        for start, data in self._parts:
            if start <= self._at < start + len(data):
                stop = len(data) if count < 0 else self._at - start + count
                found = data[self._at - start : stop]
                self._at += len(found)
                return found
        return b""
