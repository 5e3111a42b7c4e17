"""Writing the project's own files into a layer."""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from seatrial.errors import SeatrialError
from seatrial.images.assemble.install import Installed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from seatrial.images.assemble.layer import LayerWriter


_SMALL = 1 << 18
_CHUNK = 1 << 20


class SourceFile(NamedTuple):
    """One entry: where it goes, where it is, what it is (`file`, `folder`, `link`), sha256 or link target."""

    path: str
    place: Path
    kind: str
    mode: int
    content: str


def read_source(files: Sequence[tuple[str, Path]], workdir: str) -> list[SourceFile]:
    """Look at every file once and hash it.

    Raises:
        SeatrialError: a file cannot be read, is a device, or is a link that leaves the folder.
    """
    return [
        _read(relative, place, f"{workdir.rstrip('/')}/{relative}")
        for relative, place in files
        if relative != "."
    ]


def _read(relative: str, place: Path, path: str) -> SourceFile:
    try:
        state = place.lstat()
        if stat.S_ISLNK(state.st_mode):
            target = str(place.readlink())
            inside = posixpath.normpath(posixpath.join(posixpath.dirname(relative), target))
            if target.startswith("/") or inside.startswith(".."):
                raise SeatrialError(
                    "this link leaves the folder, so it would point nowhere in the image", where=str(place),
                    why=f"it points to {target}", fix="replace it by the file, or exclude it",
                )  # fmt: skip
            return SourceFile(path, place, "link", 0o777, target)
        if stat.S_ISDIR(state.st_mode):
            return SourceFile(path, place, "folder", 0o755, "")
        if not stat.S_ISREG(state.st_mode):
            raise SeatrialError("this is no file, folder or link", where=str(place), fix="exclude it")
        with place.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise SeatrialError(
            f"cannot be read: {error.strerror}", where=str(place), fix="make it readable or exclude it"
        ) from error
    return SourceFile(path, place, "file", 0o755 if state.st_mode & 0o111 else 0o644, digest)


def write_source(
    writer: LayerWriter, files: Sequence[SourceFile], uid: int, gid: int, mtime: int
) -> Installed:
    """Write what `read_source` found.

    Raises:
        SeatrialError: a file changed since.
    """
    for file in files:
        name = file.path.lstrip("/")
        if file.kind == "folder":
            writer.add_directory(name, uid=uid, gid=gid)
        elif file.kind == "link":
            writer.add_symlink(name, file.content, uid=uid, gid=gid, mtime=mtime)
        else:
            _write_file(writer, file, uid, gid, mtime)
    return Installed({file.path: file.content for file in files if file.kind == "file"})


def _write_file(writer: LayerWriter, file: SourceFile, uid: int, gid: int, mtime: int) -> None:
    name, digest = file.path.lstrip("/"), hashlib.sha256()
    with file.place.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size <= _SMALL:
            content = stream.read()
            digest.update(content)
            writer.add_bytes(name, content, mode=file.mode, uid=uid, gid=gid, mtime=mtime)
        else:
            pieces = _pieces(stream, size, digest)
            writer.add_pieces(name, size, pieces, mode=file.mode, uid=uid, gid=gid, mtime=mtime)
    if digest.hexdigest() != file.content:
        raise SeatrialError(
            "changed while it was read", where=str(file.place), fix="run the same command again"
        )


def _pieces(stream: IO[bytes], size: int, digest: Any) -> Iterator[bytes]:
    while size and (chunk := stream.read(min(_CHUNK, size))):
        digest.update(chunk)
        size -= len(chunk)
        yield chunk
