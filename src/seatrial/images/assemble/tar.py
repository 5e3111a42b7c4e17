"""Tar headers with bytes that depend on their content alone (POSIX ustar, pax where ustar is too small)."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK = 512
EPOCH = 315532800
"""1980-01-01, the earliest moment a wheel can name: the time of every installed file."""

FILE, HARD_LINK, SYMLINK, DIRECTORY = b"0", b"1", b"2", b"5"
_PAX = b"x"
_LARGEST = 8**11 - 1  # twelve octal digits minus the terminator: 8 GiB
_LARGEST_ID = 8**7 - 1


def header(
    name: str,
    *,
    size: int = 0,
    mode: int = 0o644,
    kind: bytes = FILE,
    target: str = "",
    uid: int = 0,
    gid: int = 0,
    mtime: int = EPOCH,
    xattrs: Mapping[str, bytes] | None = None,
) -> bytes:
    """The header block, preceded by a pax header when something does not fit into one. `target` is a link's target."""
    path = name.rstrip("/") + "/" if kind == DIRECTORY else name
    raw, link = path.encode("utf-8", "surrogateescape"), target.encode("utf-8", "surrogateescape")
    prefix, last = _split(raw)
    fits = prefix is not None and len(link) <= 100 and size <= _LARGEST and max(uid, gid) <= _LARGEST_ID  # noqa: PLR2004
    if prefix is not None and fits and not xattrs and raw.isascii() and link.isascii():
        return _ustar(prefix, last, size, mode, kind, link, uid, gid, mtime)
    extra: list[tuple[str, bytes]] = []
    if prefix is None or not raw.isascii():
        extra.append(("path", raw))
        prefix, last = b"", raw[:100]
    if len(link) > 100 or not link.isascii():  # noqa: PLR2004 - ustar's field widths
        extra.append(("linkpath", link))
        link = link[:100]
    if size > _LARGEST:
        extra.append(("size", str(size).encode()))
    extra += [
        (key, str(number).encode()) for key, number in (("uid", uid), ("gid", gid)) if number > _LARGEST_ID
    ]
    # The name that every image tool reads extended attributes by: https://github.com/opencontainers/image-spec layer.md
    extra += [(f"SCHILY.xattr.{name}", value) for name, value in sorted((xattrs or {}).items())]
    block = _ustar(
        prefix,
        last,
        min(size, _LARGEST),
        mode,
        kind,
        link,
        min(uid, _LARGEST_ID),
        min(gid, _LARGEST_ID),
        mtime,
    )
    records = b"".join(_record(key, value) for key, value in extra)
    pax = _ustar(b"", b"./PaxHeaders/" + last[-80:], len(records), 0o644, _PAX, b"", 0, 0, mtime)
    return pax + records + padding(len(records)) + block


def padding(size: int) -> bytes:
    """Zeros from the end of `size` bytes of content to the next block."""
    return bytes(-size % BLOCK)


def _split(raw: bytes) -> tuple[bytes | None, bytes]:
    """Prefix (at most 155 bytes) and name (at most 100), or None when no slash divides it so."""
    if len(raw) <= 100:  # noqa: PLR2004
        return b"", raw
    cut = raw.find(b"/", len(raw) - 101, 156)
    if 0 < cut <= 155 and 0 < len(raw) - cut - 1 <= 100:  # noqa: PLR2004
        return raw[:cut], raw[cut + 1 :]
    return None, raw


def _ustar(  # noqa: PLR0917 - the fields of the block, in its order
    prefix: bytes, name: bytes, size: int, mode: int, kind: bytes, link: bytes, uid: int, gid: int, mtime: int
) -> bytes:
    rights, rest, total = _fixed(mode, uid, gid, mtime)
    digits = b"%011o\0" % size
    checksum = total + sum(name) + sum(digits) + sum(kind) + sum(link) + sum(prefix)
    return b"".join(
        (
            name.ljust(100, b"\0"), rights, digits, b"%011o\0%06o\0 " % (mtime, checksum), kind,
            link.ljust(100, b"\0"), rest, prefix.ljust(155, b"\0"), bytes(12),
        )
    )  # fmt: skip


@lru_cache(64)
def _fixed(mode: int, uid: int, gid: int, mtime: int) -> tuple[bytes, bytes, int]:
    """The fields that hardly differ from one file to the next, and what these and the rest add to the checksum."""
    rights = b"%07o\0%07o\0%07o\0" % (mode, uid, gid)
    names = [b"root".ljust(32, b"\0") if number == 0 else bytes(32) for number in (uid, gid)]
    rest = b"ustar\x0000%b%b0000000\x000000000\0" % (names[0], names[1])
    # A checksum counts its own eight bytes as spaces.
    return rights, rest, sum(rights) + sum(b"%011o\0" % mtime) + sum(rest) + 8 * 32


def _record(key: str, value: bytes) -> bytes:
    r"""`LENGTH KEY=VALUE\n`, where LENGTH counts itself."""
    body = b" " + key.encode() + b"=" + value + b"\n"
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length = len(str(length)) + len(body)
    return str(length).encode() + body
