"""Read the members of a layer's tar stream, one after the other, in bounded memory.

`tarfile` reads an extended header of any declared size into memory and costs about 50 µs a member; layers
come from strangers and have tens of thousands of members. Formats: ustar, pax and GNU (long names, base-256
numbers). Sparse members are refused: image tools do not write them.
Sources: POSIX.1-2017 pax, GNU tar manual "Basic Tar Format".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK = 512
# Long enough for any path Linux accepts and any extended attribute; short enough to hold in memory.
MAX_EXTENDED = 1 << 20
# PATH_MAX: the kernel takes no longer one.
MAX_PATH = 4096
_MAX_NAMES = 128 << 20
_MAX_DEPTH = 500
_MAX_ID = (1 << 32) - 1

REGULAR, HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, FOLDER, FIFO = "0", "1", "2", "3", "4", "5", "6"
_EXTENDED = {"x", "g", "L", "K"}
_REGULAR_TYPES = {"0", "\0", "7"}
_HEADER_ONLY = {HARD_LINK, SYMLINK, CHARACTER, BLOCK_DEVICE, FOLDER, FIFO}


class Source(Protocol):
    """Where the uncompressed bytes come from."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; empty at the end only."""
        ...


class Member(NamedTuple):
    """One header. `kind` is one of the constants above; `size` in bytes, `mtime` in seconds."""

    name: str
    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    mtime: float
    link: str


class TarStream:
    """Members in order; read a member's content with `content` before asking for the next member."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._left = 0
        self._padding = 0
        self._global: dict[str, str] = {}

    def members(self) -> Iterator[Member]:
        """Yield every member up to the end mark.

        Raises:
            SeatrialError: the stream is damaged or uses a form that is not supported.
        """
        extended: dict[str, str] = {}
        names = 0
        while (header := self._header()) is not None:
            kind = chr(header[156])
            self._left, self._padding = _number(header, 124, 12), 0
            self._padding = -self._left % BLOCK
            if kind in _EXTENDED:
                self._read_extended(kind, extended)
                continue
            member = _member(header, kind, {**self._global, **extended})
            extended = {}
            names += len(member.name) + len(member.link)
            if names > _MAX_NAMES:
                raise SeatrialError(
                    "the layer has too many members to keep their names", why="it looks like a bomb"
                )
            # Links, folders and devices have no content whatever their size says; what is not known has.
            self._left = 0 if member.kind in _HEADER_ONLY else member.size
            self._padding = -self._left % BLOCK
            yield member

    def content(self, size: int = 1 << 18) -> Iterator[bytes]:
        """Yield the rest of the current member's content in pieces of at most `size` bytes."""
        while self._left:
            piece = self._source.read(min(size, self._left))
            if not piece:
                raise damaged("it ends inside a file")
            self._left -= len(piece)
            yield piece

    def _header(self) -> bytes | None:
        for _ in self.content():
            pass
        self._exactly(self._padding)
        header = self._exactly(BLOCK, may_end=True)
        if not header or header == bytes(BLOCK):
            return None
        stored = _number(header, 148, 8)
        # The checksum counts its own field as eight spaces; ancient tars summed signed bytes.
        if stored != sum(header[:148]) + 256 + sum(header[156:]):
            raise damaged("a header has a wrong checksum")
        return header

    def _read_extended(self, kind: str, extended: dict[str, str]) -> None:
        if self._left > MAX_EXTENDED:
            raise damaged(f"an extended header of {self._left} bytes")
        content = self._exactly(self._left)
        self._left = 0
        if kind == "L":
            extended["path"] = _text(content)
        elif kind == "K":
            extended["linkpath"] = _text(content)
        else:
            (self._global if kind == "g" else extended).update(_pax(content))

    def _exactly(self, size: int, *, may_end: bool = False) -> bytes:
        content = b""
        while len(content) < size:
            piece = self._source.read(size - len(content))
            if not piece:
                if may_end and not content:
                    return b""
                raise damaged("it ends inside a header")
            content = content + piece if content else piece
        return content


def damaged(why: str) -> SeatrialError:
    """The error for a layer that cannot be read."""
    return SeatrialError("the layer is damaged", why=why, fix="pull or assemble the image again")


def _member(header: bytes, kind: str, extended: dict[str, str]) -> Member:
    if kind == "S" or any(key.startswith("GNU.sparse") for key in extended):
        raise SeatrialError(
            "the layer has a sparse file, which is not supported",
            where=extended.get("path") or _text(header[:100]),
            fix="write the layer without sparse files (tar without -S)",
        )
    name = _text(header[:100])
    if header[257:263] == b"ustar\0" and header[345]:
        name = f"{_text(header[345:500])}/{name}"
    name = extended.get("path", name)
    if kind in _REGULAR_TYPES:
        # Before POSIX a folder was a regular file whose name ended in a slash.
        kind = FOLDER if kind != "0" and name.endswith("/") else REGULAR
    try:
        size = int(extended["size"]) if "size" in extended else _number(header, 124, 12)
        mtime = float(extended["mtime"]) if "mtime" in extended else float(_number(header, 136, 12))
        uid = int(extended["uid"]) if "uid" in extended else _number(header, 108, 8)
        gid = int(extended["gid"]) if "gid" in extended else _number(header, 116, 8)
    except ValueError as error:
        raise damaged("an extended header holds a number that is none") from error
    if size < 0:
        raise damaged("a negative size")
    link = extended.get("linkpath", _text(header[157:257]))
    _check(name, link, mtime, uid, gid)
    return Member(name, kind, _number(header, 100, 8) & 0o7777, uid, gid, size, mtime, link)


def _check(name: str, link: str, mtime: float, uid: int, gid: int) -> None:
    """Refuse what no file system takes, and names that climb up: no image tool writes those."""
    if ".." in name.split("/"):
        raise SeatrialError("the layer names a path outside of itself", where=name[:200])
    if "\0" in name or "\0" in link:
        raise damaged("a name with a zero byte in it")
    if len(name) > MAX_PATH or len(link) > MAX_PATH:
        raise damaged(f"a name of {max(len(name), len(link))} characters")
    if name.count("/") > _MAX_DEPTH:
        raise damaged(f"folders nested more than {_MAX_DEPTH} deep")
    if not abs(mtime) < _MAX_ID * 4 or not (0 <= uid <= _MAX_ID and 0 <= gid <= _MAX_ID):
        raise damaged(f"{name[:200]} has a time or an owner that cannot be")


def _number(header: bytes, start: int, length: int) -> int:
    field = header[start : start + length]
    if field[0] & 0x80:
        # GNU base-256, two's complement in the remaining bits.
        value = int.from_bytes(field, "big") & ((1 << (8 * length - 1)) - 1)
        return value - (1 << (8 * length - 1)) if field[0] & 0x40 else value
    digits = field.replace(b"\0", b" ").split()
    if not digits:
        return 0
    try:
        return int(digits[0], 8)
    except ValueError as error:
        raise damaged("a header holds a number that is none") from error


def _text(field: bytes) -> str:
    return field.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _pax(content: bytes) -> dict[str, str]:
    records: dict[str, str] = {}
    while content.strip(b"\0"):
        length, _, _ = content.partition(b" ")
        try:
            size = int(length)
        except ValueError as error:
            raise damaged("an extended header without a length") from error
        key, equals, value = content[len(length) + 1 : size].partition(b"=")
        if not equals or not value.endswith(b"\n") or size > len(content):
            raise damaged("an extended header with a wrong length")
        records[key.decode("utf-8", "replace")] = value[:-1].decode("utf-8", "surrogateescape")
        content = content[size:]
    return records
