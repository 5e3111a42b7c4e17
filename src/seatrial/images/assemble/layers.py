"""The layers of one image, each with a key of everything that decides its bytes; built side by side."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import IO, TYPE_CHECKING, NamedTuple, cast, get_args

import msgspec

from seatrial.images.assemble.accounts import Ground, write_ground
from seatrial.images.assemble.bytecode import RECIPE, need_interpreter, write_bytecode
from seatrial.images.assemble.groups import describe
from seatrial.images.assemble.install import Half, Installed, Scheme, write_half, write_wheels
from seatrial.images.assemble.known import keep, open_wheel
from seatrial.images.assemble.layer import LayerWriter, WrittenLayer
from seatrial.images.assemble.source_layer import SourceFile, write_source
from seatrial.images.assemble.store import StoredLayer, Use, stored_layer
from seatrial.images.lazy.writer import FORMAT, LazyWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from seatrial.images.lock import LockedWheel
    from seatrial.images.probe import Interpreter

_FORMAT = 7
"""Part of every key: raise it when the bytes of a layer change for the same inputs."""
_TURN = 0.0003  # seconds, instead of 0.005


class LayerPlan(NamedTuple):
    """One layer to be: `what` is in it, its `key`, the wheels it is made of, and how to write it.

    `first` are the files that come first in a layer that is pulled lazily; None for an ordinary layer.
    """

    what: str
    key: str
    wheels: tuple[LockedWheel, ...]
    write: Callable[[LayerWriter], Installed]
    first: frozenset[str] | None = None


def plan_wheels(wheels: tuple[LockedWheel, ...], scheme: Scheme) -> LayerPlan:
    """The installed files of some wheels."""
    named = [(w.sha256, w.filename, *([w.direct_url] if w.direct_url else [])) for w in wheels]
    key = _key("wheels", named, scheme)

    def write(out: LayerWriter) -> Installed:
        opened = [open_wheel(wheel) for wheel in wheels]
        installed = write_wheels(out, opened, scheme)
        for wheel, read in zip(wheels, opened, strict=True):
            keep(wheel, read, installed.compared[wheel.filename])
        return installed

    return LayerPlan(describe(wheels), key, wheels, write)


def plan_halves(wheel: LockedWheel, scheme: Scheme) -> list[LayerPlan]:
    """The installed files of one very large wheel in two layers: its largest files, and the rest."""
    lock, compared = threading.Lock(), dict[str, bytes]()

    def write(half: Half, out: LayerWriter) -> Installed:
        read = open_wheel(wheel)
        installed = write_half(out, read, scheme, half)
        with lock:
            compared.update(installed.compared[wheel.filename])
            keep(wheel, read, compared)
        return installed

    origin = [wheel.direct_url] if wheel.direct_url else []
    return [
        LayerPlan(
            f"{describe([wheel])}, {half}",
            _key("wheels", [(wheel.sha256, wheel.filename, *origin)], scheme, half),
            (wheel,),
            partial(write, half),
        )
        for half in get_args(Half)
    ]


def plan_bytecode(wheels: tuple[LockedWheel, ...], interpreter: Interpreter, threads: int) -> LayerPlan:
    """The bytecode of some wheels.

    Raises:
        MissingToolError: the image's interpreter cannot run on this machine.
    """
    need_interpreter(interpreter)
    scheme = interpreter.scheme
    shas = [(w.sha256, w.filename) for w in wheels]
    key = _key(
        "bytecode", RECIPE, shas, scheme, interpreter.version, interpreter.magic, interpreter.cache_tag
    )

    def write(out: LayerWriter) -> Installed:
        return write_bytecode(out, [open_wheel(w) for w in wheels], interpreter, threads)

    return LayerPlan(f"bytecode of {describe(wheels)}", key, wheels, write)


def plan_ground(ground: Ground) -> LayerPlan:
    """Accounts, folders and removals."""
    what = f"user {ground.account.name}, folders" + (
        f", removes {len(ground.removed)} files" if ground.removed else ""
    )

    def write(out: LayerWriter) -> Installed:
        write_ground(out, ground)
        return Installed({})

    return LayerPlan(what, _key("ground", ground), (), write)


def plan_source(files: Sequence[SourceFile], uid: int, gid: int, mtime: int) -> LayerPlan:
    """The project's own files."""
    content = [(f.path, f.kind, f.mode, f.content) for f in files]
    key = _key("source", content, uid, gid, mtime)
    return LayerPlan("source", key, (), lambda out: write_source(out, files, uid, gid, mtime))


def lazily(plan: LayerPlan, first: Sequence[str]) -> LayerPlan:
    """The same layer, written so that its files can be fetched one by one; those of `first` come first."""
    return plan._replace(key=_key("lazy", FORMAT, plan.key, sorted(set(first))), first=frozenset(first))


def build(
    plans: Sequence[LayerPlan],
    use: Use,
    *,
    threads: int,
    point: Callable[[str], None],
    ready: Callable[[StoredLayer], None] = lambda _layer: None,
) -> list[StoredLayer]:
    """Take layers from the cache or write them, `threads` at a time; the answer is in the order of `plans`.

    `ready` hears of each as soon as it is there, on the thread that wrote it; what it raises ends the work.

    Raises:
        SeatrialError: one of them cannot be written; those that were are kept for the next run.
    """
    interrupted = threading.Event()
    with _short_turns(), ThreadPoolExecutor(threads) as pool:
        # The largest first: it decides how long all of it takes.
        largest_first = sorted(range(len(plans)), key=lambda n: -sum(w.size for w in plans[n].wheels))
        jobs = {n: pool.submit(_build_one, plans[n], use, point, ready, interrupted) for n in largest_first}
        try:
            return [jobs[n].result() for n in range(len(plans))]
        except BaseException as error:
            if not isinstance(error, Exception):  # someone pressed Ctrl-C, and does not want to wait
                interrupted.set()
            for job in jobs.values():
                job.cancel()
            raise


@contextmanager
def _short_turns() -> Iterator[None]:
    """Let a thread that has inflated or hashed wait less long for one that runs Python: 0.3 s of 6 for a large stack."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(_TURN)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


class _Interruptible:
    """A file that takes nothing any more once the work is interrupted."""

    def __init__(self, out: IO[bytes], interrupted: threading.Event) -> None:
        self._out, self._interrupted = out, interrupted

    def write(self, data: bytes) -> int:
        if self._interrupted.is_set():
            raise InterruptedError(errno.EINTR, "the layer is not finished")
        return self._out.write(data)


def _build_one(
    plan: LayerPlan,
    use: Use,
    point: Callable[[str], None],
    ready: Callable[[StoredLayer], None],
    interrupted: threading.Event,
) -> StoredLayer:
    def write(out: IO[bytes]) -> tuple[WrittenLayer, Installed]:
        stream = cast("IO[bytes]", _Interruptible(out, interrupted))
        with LayerWriter(stream) if plan.first is None else LazyWriter(stream, first=plan.first) as writer:
            installed = plan.write(cast("LayerWriter", writer))
            return writer.finish(), installed

    layer = stored_layer(use, plan.key, write, point=point)
    ready(layer)
    return layer


def _key(*parts: object) -> str:
    return hashlib.sha256(msgspec.json.encode([_FORMAT, *parts])).hexdigest()


def processors() -> int:
    """How many layers are written side by side."""
    return len(os.sched_getaffinity(0))
