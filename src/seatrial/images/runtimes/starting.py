"""Start the launcher, and end it with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import ExitStack, contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

from seatrial import locks, processes
from seatrial.errors import SeatrialError
from seatrial.images.rootfs import Root, locate
from seatrial.images.runtimes.copying import copied
from seatrial.images.runtimes.launch import Launch, arguments, argv, command_of, environment
from seatrial.images.runtimes.probe import required
from seatrial.images.runtimes.users import who

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

Stream = int | IO[Any] | None
# Overlay takes the names of all lower folders in one page: 4096 bytes, less the other options.
MOST_LAYERS = 150
_PATIENCE = 10.0
_FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def launched(
    root: Root, command: Sequence[str], launch: Launch, *, stdin: Stream, stdout: Stream, stderr: Stream
) -> Iterator[subprocess.Popen[bytes]]:
    """The launcher's process for the length of a block; afterwards its whole tree is gone."""
    with _ready(root, command, launch) as (line, env, descriptors):
        process = subprocess.Popen(
            line, env=env, pass_fds=descriptors, stdin=stdin, stdout=stdout, stderr=stderr
        )
        try:
            yield process
        finally:
            end(process)


def become(root: Root, command: Sequence[str], launch: Launch) -> int:
    """Turn this process into the launcher: it does not come back, and nothing of ours stays in memory.

    It does come back, with the exit code, where the root had to be copied: someone must remove the copy.
    """
    with _ready(root, command, launch) as (line, env, descriptors):
        if not _needs_copy(root):
            for descriptor in descriptors:
                os.set_inheritable(descriptor, True)
            os.execve(line[0], line, env)  # noqa: S606 - there is no shell on purpose
        process = subprocess.Popen(line, env=env, pass_fds=descriptors)
        try:
            for number in _FORWARDED:
                signal.signal(number, lambda number, _: process.send_signal(number))
            return process.wait()
        finally:
            end(process)


@contextmanager
def _ready(
    root: Root, command: Sequence[str], launch: Launch
) -> Iterator[tuple[list[str], dict[str, str], tuple[int, ...]]]:
    """The launcher's command line, environment and descriptors, with the layers held and the root at hand."""
    bwrap = processes.find("bwrap")
    person = who(root, launch.user or root.settings.get("User") or "")
    values = environment(root, launch, person.home, os.environ)
    line = command_of(root, command, launch.entrypoint)
    _check(root, line[0], values.get("PATH", ""), launch)
    with ExitStack() as stack:
        held = [stack.enter_context(_shared(root, layer)) for layer in root.layers]
        copy = stack.enter_context(copied(root)) if _needs_copy(root) else ""
        memory = _in_memory(stack, values)
        earlier = [_in_memory(stack, values | one.env) for one in launch.before]
        # Not the program's environment: an image's LD_LIBRARY_PATH must not reach programs of this machine.
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SEATRIAL_PARENT": str(os.getpid())}
        full = argv(
            root, line, launch, person,
            bwrap=bwrap, args_fd=memory, copy=copy, host=os.environ, before_fds=earlier,
        )  # fmt: skip
        yield full, env, (memory, *earlier, *held, *(p.descriptor for p in launch.publish))


def _in_memory(stack: ExitStack, values: Mapping[str, str]) -> int:
    """A descriptor from which bwrap reads an environment."""
    memory = os.memfd_create("arguments", os.MFD_CLOEXEC)
    stack.callback(os.close, memory)
    os.write(memory, arguments(values))
    os.lseek(memory, 0, os.SEEK_SET)
    return memory


def _needs_copy(root: Root) -> bool:
    return not required().overlay or len(root.layers) > MOST_LAYERS


def end(process: subprocess.Popen[bytes]) -> None:
    """End the whole tree and return when nothing of it is left."""
    if process.poll() is None:
        # The launcher answers by killing process 1 of the namespace and waiting until the kernel has cleared it.
        process.send_signal(signal.SIGRTMIN)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with suppress(OSError):
                stream.close()


@contextmanager
def _shared(root: Root, layer: str) -> Iterator[int]:
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


def _check(root: Root, program: str, path: str, launch: Launch) -> None:
    for bind in launch.binds:
        if not bind.target.startswith("/"):
            raise SeatrialError(
                f"{bind.target!r} is not an absolute path in the image", fix="use HOST:/DEST[:ro]"
            )
        if not os.path.exists(bind.source):  # noqa: PTH110 - a string on both sides
            raise SeatrialError("there is nothing here to bind into the image", where=bind.source)
    if launch.before:
        program = launch.before[0].command[0]
        path = launch.before[0].env.get("PATH", path)
    if not launch.binds:
        _check_program(root, program, path, launch)


def _check_program(root: Root, program: str, path: str, launch: Launch) -> None:
    """Say in our words what bwrap would say as `execvp`. With binds only bwrap knows: they may bring the program.

    The same goes for programs that run after others; the first one is looked for.
    """
    workdir = launch.workdir or root.settings.get("WorkingDir") or "/"
    folders = [""] if "/" in program else path.split(":")
    for folder in folders:
        place = f"{folder}/{program}" if folder else program
        _, found = locate(root, place if place.startswith("/") else f"{workdir}/{place}")
        if found is not None and found.is_file():
            if found.stat().st_mode & 0o111:
                return
            raise SeatrialError(
                f"{place} in the image is not executable",
                where=root.digest,
                fix=f"make it so: chmod +x {place}",
            )
    why = "there is no such file" if "/" in program else f"PATH is {path}"
    raise SeatrialError(f"the image has no program {program!r}", where=root.digest, why=why)
