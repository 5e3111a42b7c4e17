"""What a layer holds, read once from its tar stream without unpacking it, and remembered by its diff_id."""

from __future__ import annotations

import hashlib
import mmap
import posixpath
import re
import tempfile
from typing import TYPE_CHECKING, Any, Self

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.assemble.store import Use, entry_path, publish, scratch
from seatrial.images.runtimes import tar
from seatrial.images.runtimes.writing import OPAQUE_MARK, WHITEOUT, Limits
from seatrial.images.testing import elf
from seatrial.images.unpack import Verified, opened

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_VERSION = 2
_TEXTS = frozenset(
    (
        "/etc/passwd",
        "/etc/group",
        "/etc/ld.so.conf",
        "/var/lib/dpkg/status",
        "/var/lib/apt/extended_states",
    )
)
_TEXT_FOLDERS = ("/etc/ld.so.conf.d/", "/var/lib/dpkg/status.d/")
_METADATA = (".dist-info/METADATA", ".egg-info/PKG-INFO")
# What a project's packages are written down in.
ASKING = re.compile(
    r"(?!.*-packages/).*/([^/]*requirements[^/]*\.(txt|in)|pyproject\.toml|setup\.(py|cfg)|(uv|poetry)\.lock"
    r"|pylock(\.[^/]+)?\.toml|environment\.ya?ml)"
)
_LARGEST_TEXT = 8 << 20
_IN_MEMORY = 16 << 20
_HEAD = 256  # the kernel reads no more of a `#!` line
_PYC_HEAD = 16
_KINDS = {tar.REGULAR: "f", tar.FOLDER: "d", tar.SYMLINK: "l", tar.HARD_LINK: "h"}


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """One path of a layer. `kind` is f(ile), d(irectory), l(ink), h(ard link) or n(ode: a device or pipe).

    `value` is a file's sha256 in hexadecimal or a link's target; `head` the `#!` line of a script or the first
    16 bytes of a .pyc; `elf` what the dynamic loader reads of an object. `mtime` is in seconds.
    """

    path: str
    kind: str
    mode: int = 0
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    value: str = ""
    head: bytes = b""
    elf: elf.Elf | None = None


class Layer(msgspec.Struct, frozen=True, array_like=True):
    """What a layer does: adds `entries`, removes the paths `deleted`, and empties the folders `opaque` beforehand.

    `texts` are the contents that checks read (accounts, loader settings, package metadata), by path.
    """

    entries: tuple[Entry, ...]
    deleted: tuple[str, ...] = ()
    opaque: tuple[str, ...] = ()
    texts: dict[str, bytes] = {}


def known(use: Use, diff_id: str) -> Layer | None:
    """The layer as it was read before, if it was."""
    entry = use.hold("bases", _name(diff_id))
    try:
        return msgspec.msgpack.decode(entry.read_bytes(), type=Layer)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None


def scan(use: Use, blob: Path, layer: oci.Descriptor, diff_id: str) -> Layer:
    """Read the layer in `blob`, compare it with `diff_id`, and remember what it holds.

    Raises:
        SeatrialError: it is damaged, not what `diff_id` says, or compressed in a way that is not known.
    """
    if layer.media_type.rpartition("+")[2] == "zstd" or layer.media_type.endswith(".zstd"):
        raise SeatrialError(
            f"layer {layer.digest} is compressed with zstd", why="only plain and gzip layers are read",
            fix="convert the image with `skopeo copy --dest-compress-format gzip`",
        )  # fmt: skip
    entry = use.hold("bases", _name(diff_id))
    try:
        with opened(blob) as stream:
            source = Verified(stream, blob.stat().st_size, Limits())
            found = read_layer(tar.TarStream(source))
            source.drain()
    except SeatrialError as error:
        error.where = error.where or f"layer {layer.digest}"
        raise
    if source.digest() != diff_id:
        raise SeatrialError(
            f"layer {layer.digest} is not what the image's configuration says",
            why=f"its content has {source.digest()}, not {diff_id}", fix="pull or assemble the image again",
        )  # fmt: skip
    with scratch() as folder:
        made = folder / "files"
        made.write_bytes(msgspec.msgpack.encode(found))
        publish(made, entry)
    return found


def read_layer(stream: tar.TarStream) -> Layer:
    """Read every member.

    Raises:
        SeatrialError: the stream is damaged, or names a path outside of the layer.
    """
    entries: dict[str, Entry] = {}
    deleted: list[str] = []
    opaque: list[str] = []
    texts: dict[str, bytes] = {}
    for number, member in enumerate(stream.members()):
        if number >= Limits().entries:
            raise SeatrialError(f"the layer has more than {number} members", why="it looks like a bomb")
        path = _path(member.name)
        folder, name = posixpath.split(path)
        if name == OPAQUE_MARK:
            opaque.append(folder)
        elif name.startswith(WHITEOUT):
            deleted.append(posixpath.join(folder, name[len(WHITEOUT) :]))
        elif path != "/":
            value, head, found = "", b"", None
            if member.kind == tar.REGULAR:
                value, head, found, text = _content(stream, path, member.size)
                texts.pop(path, None)
                if text is not None:
                    texts[path] = text
            elif member.kind in (tar.SYMLINK, tar.HARD_LINK):
                value = _printable(member.link) if member.kind == tar.SYMLINK else _path(member.link)
            entries[path] = Entry(
                path, _KINDS.get(member.kind, "n"), member.mode, member.uid, member.gid,
                int(member.mtime), member.size, value, head, found,
            )  # fmt: skip
    return Layer(tuple(entries.values()), tuple(deleted), tuple(opaque), texts)


def _content(stream: tar.TarStream, path: str, size: int) -> tuple[str, bytes, elf.Elf | None, bytes | None]:
    """sha256, head, what the loader reads, and the text if checks want it."""
    digest, start = hashlib.sha256(), b""
    text = size <= _LARGEST_TEXT and bool(
        path in _TEXTS or path.startswith(_TEXT_FOLDERS) or path.endswith(_METADATA) or ASKING.fullmatch(path)
    )
    with _Sink(size) as sink:
        for piece in stream.content():
            digest.update(piece)
            if len(start) < min(size, _HEAD):
                start += piece
                if len(start) >= min(size, _HEAD) and (text or start[:4] == elf.MAGIC):
                    sink.add(start)
            elif sink.used:
                sink.add(piece)
        found = sink.parsed() if start[:4] == elf.MAGIC else None
        content = sink.text() if text else None
    if content is not None and path.endswith(_METADATA):
        content = content.replace(b"\r\n", b"\n").partition(b"\n\n")[0]
    return digest.hexdigest(), _head(path, start), found, content


def _head(path: str, start: bytes) -> bytes:
    if start.startswith(b"#!"):
        return start[:_HEAD].partition(b"\n")[0]
    return start[:_PYC_HEAD] if path.endswith(".pyc") else b""


class _Sink:
    """Keeps a file's content: a small one in memory, a large one in a nameless file that can be mapped."""

    def __init__(self, size: int) -> None:
        self.used = False
        self._pieces: list[bytes] = []
        self._large = size > _IN_MEMORY
        self._file: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, piece: bytes) -> None:
        self.used = True
        if not self._large:
            self._pieces.append(piece)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=entry_path("scratch", ""))  # noqa: SIM115 - closed by __exit__
        self._file.write(piece)

    def text(self) -> bytes:
        return b"".join(self._pieces)

    def parsed(self) -> elf.Elf | None:
        if self._file is None:
            return elf.parse(self.text())
        self._file.flush()
        with mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return elf.parse(content)


def _path(name: str) -> str:
    if ".." in name.split("/"):
        raise SeatrialError("the layer names a path outside of itself", where=name[:200])
    return posixpath.normpath("/" + _printable(name)).replace("//", "/")


def _printable(name: str) -> str:
    """Names that are not UTF-8 are kept apart, but as text that can be stored and shown."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _name(diff_id: str) -> str:
    return f"files{_VERSION}-{oci.check_digest(diff_id).removeprefix('sha256:')}"


def each(
    layers: list[tuple[oci.Descriptor, str]], use: Use, blob: Callable[[oci.Descriptor], Path], threads: int
) -> list[Layer]:
    """What the given layers (with their diff_ids) hold; `blob` brings those that were never read.

    Raises:
        SeatrialError: one of them cannot be had or read.
    """
    from concurrent.futures import ThreadPoolExecutor

    def one(pair: tuple[oci.Descriptor, str]) -> Layer:
        return known(use, pair[1]) or scan(use, blob(pair[0]), *pair)

    with ThreadPoolExecutor(max(1, threads)) as pool:
        jobs = [pool.submit(one, pair) for pair in layers]
        try:
            return [job.result() for job in jobs]
        except BaseException:
            for job in jobs:
                job.cancel()
            raise
