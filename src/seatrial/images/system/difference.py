"""What installing packages changed, as a layer whose bytes depend on the packages alone."""

from __future__ import annotations

import json
import posixpath
import re
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from seatrial.images.assemble.layer import LayerWriter, WrittenLayer

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHUNK = 1 << 18
_SMALL = 1 << 16
# What is made again where it is missed, differs each time, or is about the installing itself; and private keys
# that scripts make: all containers of an image would share them.
_LEFT_OUT = re.compile(
    r"var/log/.+|var/cache/apt(/.*)?|var/lib/apt/lists(/.*)?|var/cache/ldconfig(/.*)?|var/cache/debconf/.*-old"
    r"|var/cache/fontconfig/.+|var/cache/man/.+|var/lib/dpkg/[^/]*-old|var/lib/dpkg/lock.*|var/lib/dpkg/triggers/Lock"
    r"|var/lib/systemd/(random-seed|catalog/database)|var/lib/dbus/machine-id|var/lib/ucf/.*\.\d+"
    r"|(dev|proc|sys|run|tmp|var/tmp)(/.*)?|etc/(resolv\.conf|hosts|hostname|\.pwd\.lock)"
    r"|etc/(passwd|shadow|group|gshadow|subuid|subgid)-|usr/share/python3/debpython/__pycache__(/.*)?"
    r"|etc/ssh/ssh_host_.*|etc/ssl/private/ssl-cert-snakeoil\.key|etc/ssl/certs/ssl-cert-snakeoil\.pem"
    r"|root/\.cache(/.*)?|usr/share/fonts/.*/\.uuid|usr/sbin/policy-rc\.d"
)
_LOGS = "var/log/"
# A number that every machine makes for itself where the file is empty. Source: machine-id(5).
_EMPTIED = ("etc/machine-id",)


def write_difference(stream: IO[bytes], out: IO[bytes]) -> WrittenLayer | None:
    """Read what `within` tells and write it as a layer.

    None when the list ends early: whoever makes it says why.
    """
    linked: dict[int, str] = {}
    with suppress(EOFError), LayerWriter(out) as writer:
        for entry in _entries(stream):
            if keeps(entry["path"], entry["kind"]):
                _write(writer, stream, entry, linked)
            else:
                _skip(stream, entry.get("size", 0))
        return writer.finish()
    return None


def keeps(path: str, kind: str) -> bool:
    """Whether a change belongs to the packages. Programs write into folders of logs that their package brought."""
    if kind == "d" and path.startswith(_LOGS):
        return path != f"{_LOGS}apt"
    return not _LEFT_OUT.fullmatch(path)


def _entries(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    while (line := stream.readline()) != b"{}\n":
        if not line.endswith(b"\n"):
            raise EOFError
        yield json.loads(line)


def _write(writer: LayerWriter, stream: IO[bytes], entry: dict[str, Any], linked: dict[int, str]) -> None:
    path, kind, size = entry["path"], entry["kind"], entry.get("size", 0)
    if kind == "w":
        folder, name = posixpath.split(path)
        writer.add_bytes(f"{folder}/.wh.{name}".lstrip("/"), b"")
        return
    mode, uid, gid = entry["mode"], entry["uid"], entry["gid"]
    xattrs = {name: bytes.fromhex(value) for name, value in entry["xattrs"].items()}
    if kind == "d":
        writer.add_directory(path, mode=mode, uid=uid, gid=gid)
    elif kind == "l":
        writer.add_symlink(path, entry["link"], uid=uid, gid=gid)
    elif entry["file"] in linked:
        writer.add_hard_link(path, linked[entry["file"]])
        _skip(stream, size)
    elif path in _EMPTIED or size <= _SMALL:
        content = _exactly(stream, size)
        writer.add_bytes(
            path, b"" if path in _EMPTIED else content, mode=mode, uid=uid, gid=gid, xattrs=xattrs
        )
    else:
        writer.add_pieces(path, size, _pieces(stream, size), mode=mode, uid=uid, gid=gid, xattrs=xattrs)
    if entry["file"]:
        linked.setdefault(entry["file"], path)


def _pieces(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        piece = _exactly(stream, min(size, _CHUNK))
        size -= len(piece)
        yield piece


def _exactly(stream: IO[bytes], size: int) -> bytes:
    content = stream.read(size)
    if len(content) != size:
        raise EOFError
    return content


def _skip(stream: IO[bytes], size: int) -> None:
    while size:
        size -= len(_exactly(stream, min(size, _CHUNK)))
