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
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import IO, TYPE_CHECKING

import msgspec

from seatrial.errors import MissingToolError, SeatrialError
from seatrial.images.assemble.install import Installed, Scheme, content_of, placements
from seatrial.images.assemble.kept import kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.images.assemble.install import Placement
    from seatrial.images.assemble.layer import LayerWriter
    from seatrial.images.assemble.wheel import Wheel
    from seatrial.images.probe import Interpreter

    Source = tuple[Wheel, Placement]

RECIPE = 3
"""Part of the key of every layer of bytecode: raise it when their bytes change for the same wheels."""
# Source bytes for one process. What a marshalled constant looks like depends on what was compiled before it in the
# same process, so the split is part of the result and must not depend on the machine. Starting Python costs as
# much as compiling 200 kB.
_PER_PROCESS = 8 << 20
_TIME_LIMIT = 600
_HEAD = struct.Struct(">II")
_PIPE = 1 << 20
# Layers are written side by side, and each compiles: more processes than processors only take memory.
_PROCESSORS = threading.BoundedSemaphore(len(os.sched_getaffinity(0)))
# Reads (path, source) pairs from stdin and answers each with the content of a .pyc, or nothing if it does not
# compile (some packages carry templates and Python 2 files; pip ignores them too).
_WORKER = r"""
import os, sys, struct, importlib.util, warnings, gc
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
sys.stdout.buffer.flush()
os._exit(0)
"""


def write_bytecode(
    writer: LayerWriter, wheels: Sequence[Wheel], interpreter: Interpreter, threads: int
) -> Installed:
    """Write the `.pyc` of every module of `wheels`. What wheels that share a layer have is kept one by one.

    Raises:
        MissingToolError: the image's interpreter cannot run on this machine.
        WheelError: a wheel is damaged.
    """
    need_interpreter(interpreter)
    folders: set[str] = set()
    for sources in _by_wheel(wheels, interpreter.scheme):
        compiled = _compiled(list(_parts(sources)), interpreter, threads)
        if len(wheels) > 1:
            compiled = kept(_key(sources, interpreter), compiled)
        for source, content in compiled:
            path = bytecode_path(source, interpreter.cache_tag)
            folder = posixpath.dirname(path)
            if folder not in folders:
                folders.add(folder)
                writer.add_directory(folder.lstrip("/"))
            writer.add_bytes(path.lstrip("/"), content)
    # Where packages disagree about a module, its source says so.
    return Installed({})


def _compiled(
    parts: list[list[Source]], interpreter: Interpreter, threads: int
) -> Iterator[tuple[str, bytes]]:
    """Path of the source and bytecode of all that compile, in order; few parts are in memory at a time."""
    waiting: deque[Future[list[tuple[str, bytes]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for part in parts:
            waiting.append(pool.submit(_compile, part, interpreter))
            if len(waiting) > threads:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


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


def _by_wheel(wheels: Sequence[Wheel], scheme: Scheme) -> list[list[Source]]:
    """The modules of each wheel; of several with one path the last, which is the one that is installed."""
    inside = (scheme.purelib + "/", scheme.platlib + "/")
    chosen = {
        placed.path: (wheel, placed)
        for wheel in wheels
        for placed in placements(wheel, scheme)
        if placed.path.endswith(".py") and placed.path.startswith(inside)
    }
    found: dict[str, list[Source]] = {}
    for wheel, placed in chosen.values():
        found.setdefault(wheel.filename, []).append((wheel, placed))
    return [found[wheel.filename] for wheel in wheels if wheel.filename in found]


def _parts(sources: list[Source]) -> Iterator[list[Source]]:
    part: list[Source] = []
    size = 0
    for wheel, placed in sources:
        part.append((wheel, placed))
        size += placed.entry.size if placed.entry else len(placed.content)
        if size >= _PER_PROCESS:
            yield part
            part, size = [], 0
    if part:
        yield part


def _key(sources: list[Source], interpreter: Interpreter) -> str:
    """Everything that decides the bytecode of these modules. The store calls a wheel by its hash."""
    modules = [(placed.path, placed.entry.name if placed.entry else "") for _, placed in sources]
    python = (interpreter.version, interpreter.magic)
    wheel = posixpath.basename(sources[0][0].path)
    return hashlib.sha256(msgspec.json.encode([RECIPE, wheel, modules, python])).hexdigest()


def _compile(part: list[Source], interpreter: Interpreter) -> list[tuple[str, bytes]]:
    from seatrial.images.system.pythons import sandboxed

    assert interpreter.compiler is not None  # noqa: S101 - asked before
    argv = sandboxed(interpreter.compiler, ["-s", "-S", "-c", _WORKER])
    failures: list[BaseException] = []
    with (
        _PROCESSORS,
        subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, pipesize=_PIPE
        ) as process,
    ):
        watchdog = threading.Timer(_TIME_LIMIT, process.kill)
        watchdog.start()
        feeder = threading.Thread(target=_feed, args=(process.stdin, part, failures), daemon=True)
        feeder.start()
        try:
            found = [(placed.path, _answer(process.stdout, wheel, failures)) for wheel, placed in part]
        finally:
            watchdog.cancel()
            process.kill()
            feeder.join()
    return [(path, content) for path, content in found if content]


def _feed(stdin: IO[bytes], part: list[Source], failures: list[BaseException]) -> None:
    with suppress(BrokenPipeError), ExitStack() as stack:  # the reader of the answers says why
        stack.enter_context(stdin)
        opened: dict[str, int] = {}
        try:
            for wheel, placed in part:
                if wheel.path not in opened:
                    opened[wheel.path] = os.open(wheel.path, os.O_RDONLY | os.O_CLOEXEC)
                    stack.callback(os.close, opened[wheel.path])
                content = content_of(wheel, placed, opened[wheel.path], "")
                name = placed.path.encode()
                stdin.write(_HEAD.pack(len(name), len(content)) + name + content)
        except BrokenPipeError:
            raise
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
