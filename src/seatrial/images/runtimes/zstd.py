"""Layers packed with zstd, by what this machine has to unpack them: Python's own module, a package, or the program.

Each bounds the window, which is what a decompressor keeps in memory; how much may come out is bounded by whoever
reads. Source: RFC 8878, sections 3.1 and 3.1.1.1.2.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import threading
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

from seatrial.errors import MissingToolError
from seatrial.images.runtimes import tar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

_FRAME = b"\x28\xb5\x2f\xfd"
# 0x184D2A50 to 0x184D2A5F, little-endian: a frame that holds something else and is skipped.
_SKIPPED, _SKIPPED_FIRST = b"\x2a\x4d\x18", range(0x50, 0x60)
# What the `zstd` program allows without being told more: 128 MiB.
_WINDOW_LOG = 27


def begins(start: bytes) -> bool:
    """Whether content that starts with these four bytes is packed with zstd."""
    return start == _FRAME or (start[1:] == _SKIPPED and start[:1] != b"" and start[0] in _SKIPPED_FIRST)


def opened(raw: IO[bytes]) -> AbstractContextManager[IO[bytes]]:
    """Read `raw` (any number of frames) uncompressed, for the length of a block.

    Raises:
        SeatrialError: it is damaged, or its window is larger than 128 MiB.
        MissingToolError: nothing here unpacks zstd.
    """
    for reader in (_standard, _package, _program):
        found = reader()
        if found is not None:
            return found(raw)
    raise MissingToolError(
        "a layer is packed with zstd, and nothing here unpacks that",
        why="Python has it from 3.14 on; there is neither the package zstandard nor the program zstd",
        fix="install the program zstd (Debian: apt-get install zstd)",
    )


def _standard() -> Callable[[IO[bytes]], AbstractContextManager[IO[bytes]]] | None:
    module = _module("compression.zstd")
    if module is None:
        return None

    @contextmanager
    def reading(raw: IO[bytes]) -> Iterator[IO[bytes]]:
        options = {module.DecompressionParameter.window_log_max: _WINDOW_LOG}
        with _damaged(module.ZstdError), module.ZstdFile(raw, "rb", options=options) as stream:
            yield stream

    return reading


def _package() -> Callable[[IO[bytes]], AbstractContextManager[IO[bytes]]] | None:
    module = _module("zstandard")
    if module is None:
        return None

    @contextmanager
    def reading(raw: IO[bytes]) -> Iterator[IO[bytes]]:
        unpacker = module.ZstdDecompressor(max_window_size=1 << _WINDOW_LOG)
        with (
            _damaged(module.ZstdError),
            unpacker.stream_reader(raw, read_across_frames=True, closefd=False) as stream,
        ):
            yield stream

    return reading


def _program() -> Callable[[IO[bytes]], AbstractContextManager[IO[bytes]]] | None:
    program = shutil.which("zstd")
    return None if program is None else lambda raw: _piped(program, raw)


@contextmanager
def _piped(program: str, raw: IO[bytes]) -> Iterator[IO[bytes]]:
    """Through the program, fed from here, so that what it reads is counted as it passes."""
    with tempfile.TemporaryFile() as said:
        line = [program, "--decompress", "--stdout", "--quiet", f"--memory={1 << _WINDOW_LOG}"]
        process = subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said)
        assert process.stdin is not None  # noqa: S101 - both were asked for
        assert process.stdout is not None  # noqa: S101
        failed: list[BaseException] = []
        feeder = threading.Thread(target=_feed, args=(raw, process.stdin, failed))
        feeder.start()
        try:
            yield process.stdout
            rest = process.stdout.read(1)
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdout.close()
            if process.poll() is None and failed:
                process.kill()
            code = process.wait()
            feeder.join()
        if failed:
            raise failed[0]
        if code != 0 and not rest:
            said.seek(0)
            words = said.read(500).decode(errors="replace").strip()
            raise tar.damaged(words or f"zstd ended with {code}")


def _feed(raw: IO[bytes], sink: IO[bytes], failed: list[BaseException]) -> None:
    try:
        while piece := raw.read(1 << 18):
            sink.write(piece)
    except BrokenPipeError:
        pass  # it ended before: its exit code says why
    except Exception as error:  # noqa: BLE001 - raised again by whoever reads
        failed.append(error)
    finally:
        with suppress(OSError):
            sink.close()


@contextmanager
def _damaged(kind: type[Exception]) -> Iterator[None]:
    try:
        yield
    except kind as error:
        raise tar.damaged(f"zstd: {error}") from error


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        return None
