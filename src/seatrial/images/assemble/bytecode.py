"""Bytecode for installed wheels, compiled by the image's own interpreter.

Without it every container compiles on its first import: 10 s instead of 5 for a large stack. The files are
"unchecked hash" ones (PEP 552): valid whatever the time of the source, and never looked at again.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import struct
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import IO, TYPE_CHECKING

from seatrial.errors import MissingToolError, SeatrialError
from seatrial.images.assemble.install import Installed, Scheme, content_of, placements

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.images.assemble.install import Placement
    from seatrial.images.assemble.layer import LayerWriter
    from seatrial.images.assemble.wheel import Wheel
    from seatrial.images.probe import Interpreter

# Files per process. What a marshalled constant looks like depends on what was compiled before it in the same
# process, so the split is part of the result and must not depend on the machine.
_PER_PROCESS = 400
_TIME_LIMIT = 600
_HEAD = struct.Struct(">II")
# Reads (path, source) pairs from stdin and answers each with the content of a .pyc, or nothing if it does not
# compile (some packages carry templates and Python 2 files; pip ignores them too).
_WORKER = r"""
import sys, struct, importlib.util, warnings, gc
from importlib._bootstrap_external import SourceFileLoader, _code_to_hash_pyc
gc.disable()
warnings.simplefilter("ignore")
read, write, head = sys.stdin.buffer.read, sys.stdout.buffer.write, struct.Struct(">II")
while first := read(8):
    a, b = head.unpack(first)
    path, source = read(a).decode(), read(b)
    try:
        code = SourceFileLoader("<module>", path).source_to_code(source, path)
        data = _code_to_hash_pyc(code, importlib.util.source_hash(source), False)
        code = None
    except (SyntaxError, ValueError, RecursionError, OverflowError, MemoryError):
        data = b""
    write(struct.pack(">I", len(data)) + data)
"""


def write_bytecode(
    writer: LayerWriter, wheels: Sequence[Wheel], scheme: Scheme, interpreter: Interpreter, threads: int
) -> Installed:
    """Write the `.pyc` of every module of `wheels`.

    Raises:
        MissingToolError: the image's interpreter cannot run on this machine.
        WheelError: a wheel is damaged.
    """
    need_interpreter(interpreter)
    jobs = [(wheel, part) for wheel in wheels for part in _parts(wheel, scheme)]
    files: dict[str, str] = {}
    folders: set[str] = set()
    with ThreadPoolExecutor(threads) as pool:
        for made in pool.map(lambda job: list(_compile(job[0], job[1], interpreter)), jobs):
            for source, content in made:
                path = bytecode_path(source, interpreter.cache_tag)
                folder = posixpath.dirname(path)
                if not content or path in files:
                    continue
                if folder not in folders:
                    folders.add(folder)
                    writer.add_directory(folder.lstrip("/"))
                writer.add_bytes(path.lstrip("/"), content)
                files[path] = hashlib.sha256(content).hexdigest()
    return Installed(files)


def need_interpreter(interpreter: Interpreter) -> None:
    """Raise unless something here compiles for the image's interpreter.

    Raises:
        MissingToolError: nothing does.
    """
    if interpreter.compiler is None:
        raise MissingToolError(
            "bytecode cannot be compiled on this machine",
            why=f"the base's Python ({interpreter.target}) does not run here: bubblewrap is missing or blocked, "
            "or the processor differs and there is no emulator",
            fix="install bubblewrap, and qemu-user-static for another processor (`seatrial doctor`), "
            "or set `bytecode: false`",
        )


def bytecode_path(source: str, cache_tag: str) -> str:
    """`/a/b.py` → `/a/__pycache__/b.cpython-311.pyc`."""
    folder, name = posixpath.split(source)
    return f"{folder}/__pycache__/{name.removesuffix('.py')}.{cache_tag}.pyc"


def _parts(wheel: Wheel, scheme: Scheme) -> Iterator[list[Placement]]:
    inside = (scheme.purelib + "/", scheme.platlib + "/")
    sources = [p for p in placements(wheel, scheme) if p.path.endswith(".py") and p.path.startswith(inside)]
    for start in range(0, len(sources), _PER_PROCESS):
        yield sources[start : start + _PER_PROCESS]


def _compile(wheel: Wheel, part: list[Placement], interpreter: Interpreter) -> Iterator[tuple[str, bytes]]:
    from seatrial.images.system.pythons import sandboxed

    assert interpreter.compiler is not None  # noqa: S101 - asked before
    argv = sandboxed(interpreter.compiler, ["-s", "-S", "-c", _WORKER])
    failures: list[BaseException] = []
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        watchdog = threading.Timer(_TIME_LIMIT, process.kill)
        watchdog.start()
        feeder = threading.Thread(target=_feed, args=(process.stdin, wheel, part, failures), daemon=True)
        feeder.start()
        try:
            for placed in part:
                yield placed.path, _answer(process.stdout, wheel, failures)
        finally:
            watchdog.cancel()
            process.kill()
            feeder.join()


def _feed(stdin: IO[bytes], wheel: Wheel, part: list[Placement], failures: list[BaseException]) -> None:
    try:
        descriptor = os.open(wheel.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            with stdin:
                for placed in part:
                    content = content_of(wheel, placed, descriptor, "")
                    name = placed.path.encode()
                    stdin.write(_HEAD.pack(len(name), len(content)) + name + content)
        finally:
            os.close(descriptor)
    except BrokenPipeError:
        return  # the reader of the answers says why
    except BaseException as error:  # noqa: BLE001 - handed to the reading thread
        failures.append(error)


def _answer(stdout: IO[bytes] | None, wheel: Wheel, failures: list[BaseException]) -> bytes:
    head = stdout.read(4) if stdout else b""
    if len(head) == 4:  # noqa: PLR2004
        size = struct.unpack(">I", head)[0]
        content = stdout.read(size) if stdout else b""
        if len(content) == size:
            return content
    for failure in failures:
        raise failure
    raise SeatrialError(
        "the image's Python ended while compiling", where=wheel.filename,
        why="it was killed or ran out of time or memory", fix="run the same command again, or set `bytecode: false`",
    )  # fmt: skip
