"""What a release needs, read without building anything: from a wheel's metadata, or a source distribution's static one."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import msgspec

from seatrial import paths
from seatrial.errors import SeatrialError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from email.message import Message

    from seatrial.images.solving.releases import File

_LIMIT = 64 << 20  # bytes of a source distribution that are looked through for its PKG-INFO
_TEXT_LIMIT = 1 << 20
_FOUND = 200
_STATIC = (2, 2)  # PEP 643: from here on, what is not named Dynamic is what every build will say


class Needs(msgspec.Struct, frozen=True):
    """Requires-Dist, Requires-Python and Provides-Extra of one release."""

    requires: tuple[str, ...] = ()
    python: str = ""
    extras: tuple[str, ...] = ()


class _Kept(msgspec.Struct, frozen=True):
    needs: Needs | None


def static_needs(file: File, *, offline: bool = False) -> Needs | None:
    """What the file says it needs; None: it does not say it without being built, or it cannot be read.

    Answers are kept for ever: a file on an index never changes.
    """
    place = paths.cache() / "solving" / "metadata" / f"{hashlib.sha256(file.url.encode()).hexdigest()}.json"
    try:
        return msgspec.json.decode(place.read_bytes(), type=_Kept).needs
    except (OSError, msgspec.MsgspecError):
        pass
    local = file.url.startswith("file:")
    if offline and not local:
        return None
    try:
        needs = _read(file)
    except (SeatrialError, OSError, ValueError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error):
        return None
    if not local:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(place, msgspec.json.encode(_Kept(needs)))
    return needs


def _read(file: File) -> Needs | None:
    if file.wheel:
        message = _metadata_of_wheel(file)
        return None if message is None else _needs(message)
    with _opened(file.url) as stream:
        text = _pkg_info(stream, file.name)
    if text is None:
        return None
    message = _parse(text)
    return _needs(message) if _is_static(message) else None


def _metadata_of_wheel(file: File) -> Message | None:
    if file.url.startswith("file:"):
        with zipfile.ZipFile(unquote(urlsplit(file.url).path)) as archive:
            name = next((n for n in archive.namelist() if n.endswith(".dist-info/METADATA")), None)
            if name is None:
                return None
            with archive.open(name) as stream:
                return _parse(stream.read(_TEXT_LIMIT))
    from seatrial.transport import Retry, connect, send

    with connect(timeout=20, retry=Retry(attempts=3)) as link:
        answer = send(link, "GET", f"{file.url}.metadata", limit=_TEXT_LIMIT)
    return _parse(answer.content) if answer.status_code == _FOUND else None


def _parse(text: bytes) -> Message:
    from email.parser import HeaderParser

    return HeaderParser().parsestr(text.decode("utf-8", "replace"))


def _needs(message: Message) -> Needs:
    return Needs(
        tuple(" ".join(line.split()) for line in message.get_all("Requires-Dist", [])),
        (message.get("Requires-Python") or "").strip(),
        tuple(message.get_all("Provides-Extra", [])),
    )


def _is_static(message: Message) -> bool:
    version = (message.get("Metadata-Version") or "0").strip().split(".")
    numbers = tuple(int(part) if part.isdigit() else 0 for part in version)
    dynamic = {field.strip().lower() for field in message.get_all("Dynamic", [])}
    return numbers >= _STATIC and not dynamic & {"requires-dist", "requires-python", "provides-extra"}


def _pkg_info(stream: IO[bytes], name: str) -> bytes | None:
    """The PKG-INFO at the top of a source distribution; nothing is unpacked to the disk."""
    if name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(stream.read(_LIMIT))) as archive:
            for entry in archive.infolist():
                if _is_top(entry.filename):
                    with archive.open(entry) as found:
                        return found.read(_TEXT_LIMIT)
        return None
    with tarfile.open(fileobj=_Limited(stream), mode="r|*") as tar:
        for member in tar:
            if member.isreg() and _is_top(member.name):
                inner = tar.extractfile(member)
                return None if inner is None else inner.read(_TEXT_LIMIT)
    return None


def _is_top(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    return len(parts) == 2 and parts[1] == "PKG-INFO"  # noqa: PLR2004 - NAME-VERSION/PKG-INFO


class _Limited(io.RawIOBase):
    """The beginning of a stream: what goes on for ever ends here."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream, self._left = stream, _LIMIT

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(data)
        return data


class _Body(io.RawIOBase):
    """A server's answer as a file, read as far as needed."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._rest = pieces, b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while size < 0 or len(self._rest) < size:
            piece = next(self._pieces, None)
            if piece is None:
                size = len(self._rest)
                break
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _opened(url: str) -> IO[bytes]:
    if url.startswith("file:"):
        return Path(unquote(urlsplit(url).path)).open("rb")
    import contextlib

    from seatrial.transport import Retry, chunks, connect, stream

    with contextlib.ExitStack() as stack:
        link = stack.enter_context(connect(timeout=20, retry=Retry(attempts=2)))
        answer = stack.enter_context(stream(link, "GET", url))
        if answer.status_code != _FOUND:
            raise SeatrialError(f"the server answered {answer.status_code}")
        body = _Body(chunks(answer))
        held = stack.pop_all()
    body_close = body.close

    def close() -> None:
        body_close()
        held.close()

    body.close = close  # type: ignore[method-assign]
    return body  # type: ignore[return-value]
