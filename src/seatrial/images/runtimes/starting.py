"""Start the launcher, and end it with all that it started."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Any

from seatrial.images.runtimes import backends

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.images.rootfs import Root
    from seatrial.images.runtimes.launch import Launch

Stream = int | IO[Any] | None
_PATIENCE = 30.0
_FORWARDED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)


@contextmanager
def launched(
    root: Root,
    command: Sequence[str],
    launch: Launch,
    *,
    backend: str,
    stdin: Stream,
    stdout: Stream,
    stderr: Stream,
) -> Iterator[subprocess.Popen[bytes]]:
    """The launcher's process for the length of a block; afterwards its whole tree is gone."""
    used = backends.module(backend)
    with used.ready(root, command, launch, interactive=stdin != subprocess.DEVNULL) as start:
        process = subprocess.Popen(
            start.line, env=start.env, pass_fds=start.descriptors, stdin=stdin, stdout=stdout, stderr=stderr
        )
        try:
            yield process
        finally:
            end(process)


def become(root: Root, command: Sequence[str], launch: Launch, *, backend: str) -> int:
    """Turn this process into the launcher: it does not come back, and nothing of ours stays in memory.

    It does come back, with the exit code, where something is to be put in order afterwards: a copy of the root,
    a control group.
    """
    with backends.module(backend).ready(root, command, launch, interactive=True) as start:
        if not start.tended:
            for descriptor in start.descriptors:
                os.set_inheritable(descriptor, True)
            os.execve(start.line[0], start.line, start.env)  # noqa: S606 - there is no shell on purpose
        process = subprocess.Popen(start.line, env=start.env, pass_fds=start.descriptors)
        try:
            for number in _FORWARDED:
                signal.signal(number, lambda number, _: process.send_signal(number))
            return process.wait()
        finally:
            end(process)


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
