"""What bwrap and runc share: layers held in the store, control groups, and files in memory."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

import msgspec

from seatrial import locks
from seatrial.errors import SeatrialError
from seatrial.images.runtimes import cgroups
from seatrial.images.runtimes.backends import Prepared
from seatrial.images.runtimes.copying import copied
from seatrial.images.runtimes.probe import required

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from seatrial.images.rootfs import Root
    from seatrial.images.runtimes.launch import Launch

# Overlay takes the names of all lower folders in one page: 4096 bytes, less the other options.
MOST_LAYERS = 150


class Place:
    """Where a program will run, for the length of a block."""

    def __init__(self, stack: ExitStack, copy: str, groups: Sequence[str], kept: Sequence[int]) -> None:
        self._stack, self._kept = stack, list(kept)
        self.copy, self.groups = copy, tuple(groups)

    def memory_file(self, content: bytes) -> int:
        """A file that is in no folder, to hand on content that must not be in an argument list."""
        memory = os.memfd_create("arguments", os.MFD_CLOEXEC)
        self._stack.callback(os.close, memory)
        view = memoryview(content)
        while view:
            view = view[os.write(memory, view) :]
        os.lseek(memory, 0, os.SEEK_SET)
        self._kept.append(memory)
        return memory

    @property
    def tended(self) -> bool:
        """Whether something must be put in order afterwards, by the process that starts the launcher."""
        return bool(self.copy or self.groups)

    def launch(self, launch: Launch) -> Launch:
        """The same launch, ending with the process that must put things in order."""
        return msgspec.structs.replace(launch, die_with_parent=True) if self.tended else launch

    def prepared(self, line: Sequence[str]) -> Prepared:
        # Not the program's environment: an image's LD_LIBRARY_PATH must not reach programs of this machine.
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SEATRIAL_PARENT": str(os.getpid())}
        return Prepared(tuple(line), env, tuple(self._kept), self.tended)


@contextmanager
def held(root: Root, launch: Launch) -> Iterator[Place]:
    """Keep the layers in the store, and make what is needed besides them: a copy of them, control groups."""
    with ExitStack() as stack:
        kept = [stack.enter_context(shared(root, layer)) for layer in root.layers]
        kept += [one.descriptor for one in launch.publish]
        mounts = required().overlay and len(root.layers) <= MOST_LAYERS
        copy = "" if mounts else stack.enter_context(copied(root))
        groups: list[str] = []
        if launch.total_memory or launch.cpus:
            with suppress(cgroups.Refused):
                groups = stack.enter_context(cgroups.limited(launch.total_memory, launch.cpus))
        yield Place(stack, copy, groups, kept)


def bounded(launch: Launch) -> Launch:
    """The same launch with a limit on each process where there can be none on all of them together."""
    if not launch.total_memory or not cgroups.problem(memory=True, cpus=bool(launch.cpus)):
        return launch
    limits = [size for size in (launch.memory, launch.total_memory) if size]
    return msgspec.structs.replace(launch, memory=min(limits))


def remarks(launch: Launch) -> tuple[str, ...]:
    """What will not hold as asked."""
    if not (launch.total_memory or launch.cpus):
        return ()
    why = cgroups.problem(memory=bool(launch.total_memory), cpus=bool(launch.cpus))
    if not why:
        return ()
    said = []
    if launch.total_memory:
        said.append(f"memory is limited for each process, not for all together: {why}")
    if launch.cpus:
        said.append(f"processors are not limited: {why}")
    return tuple(said)


@contextmanager
def shared(root: Root, layer: str) -> Iterator[int]:
    """Hold a layer in the store; the launcher inherits the lock and keeps it if this process dies."""
    descriptor = locks.wait_lock(_lock_file(root, layer), shared=True)
    with suppress(OSError):
        os.utime(descriptor)  # what was used last is pruned last
    try:
        if not root.folder(layer).is_dir():
            raise SeatrialError(
                f"layer {layer} was removed from the layer store", fix="run the command again"
            )
        yield descriptor
    finally:
        os.close(descriptor)


def _lock_file(root: Root, layer: str) -> Path:
    return root.folder(layer).parent.parent / "locks" / layer
