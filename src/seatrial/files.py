"""Files that are either whole or absent, and trees that really go away."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING

from seatrial.errors import SeatrialError, from_os

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


def write_atomic(path: Path, data: bytes | str, *, mode: int = 0o644) -> None:
    """Write `data` to `path` so that a reader sees the old content or the new, never a part.

    A file that exists keeps its permission bits. A symbolic link is followed, so the link stays a link.

    Raises:
        SeatrialError: the disk is full or the place cannot be written; the old content is untouched.
    """
    content = data.encode() if isinstance(data, str) else data
    with atomic_writer(path, mode=mode) as stream:
        stream.write(content)


@contextmanager
def atomic_writer(path: Path, *, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path` that takes its name only when the block succeeds.

    Raises:
        SeatrialError: the disk is full or the place cannot be written; the old content is untouched.
    """
    target = path.resolve() if path.is_symlink() else path
    temporary = target.with_name(f".{target.name[:200]}.{os.urandom(6).hex()}.tmp")
    try:
        bits = stat.S_IMODE(target.stat().st_mode)
    except FileNotFoundError:
        bits = mode
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fchmod(stream.fileno(), bits)
        temporary.replace(target)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a file or folder with everything in it; absent is fine, read-only folders are no obstacle.

    Symbolic links are removed, never followed.
    """
    tried: set[str] = set()

    def make_writable(function: Callable[[str], object], name: str, error: BaseException) -> None:
        if isinstance(error, FileNotFoundError):
            return
        if name in tried:
            raise error
        tried.add(name)
        parent = os.path.dirname(name)  # noqa: PTH120 - rmtree hands out strings
        for place in (parent, name):
            with suppress(OSError):
                if not os.path.islink(place):  # noqa: PTH114
                    os.chmod(place, 0o700)  # noqa: PTH101
        if function in (os.unlink, os.rmdir):
            function(name)
        else:
            shutil.rmtree(name, onerror=on_error)  # a folder that could not be opened

    def on_error(
        function: Callable[[str], object], name: str, info: tuple[object, BaseException, object]
    ) -> None:
        make_writable(function, name, info[1])

    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
        return
    if not path.exists():
        return
    shutil.rmtree(path, onerror=on_error)


def _cannot_write(path: Path, error: OSError) -> SeatrialError:
    known = from_os(error)
    fix = known.fix if known else "check the folder and its permissions"
    return SeatrialError(f"cannot write: {error.strerror or error}", where=str(path), fix=fix)
