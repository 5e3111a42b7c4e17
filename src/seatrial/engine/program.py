"""The innermost process of a step: what it keeps of the shim's, and how it goes on to the next step.

A new process copies every page that it writes to, which is most of what a quick step takes. So a function's process
that is as it was before the function may stay and do the next one of its run.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from seatrial.engine.launch import LARGEST, Launch, connected, received, sent

if TYPE_CHECKING:
    from collections.abc import Callable

ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
"""Signals that a shim is asked with to stop its program."""
FAILED = 254
PDEATHSIG, NAME, CHILD_SUBREAPER = 1, 15, 36
_libc = ctypes.CDLL(None, use_errno=True)


class Staying(NamedTuple):
    """A program that may do more than one launch: they and how they went pass through `line`."""

    pid: int
    line: socket.socket

    def take(self, launch: Launch, out: int, err: int) -> bool:
        """Hand it a launch; False when it has ended."""
        try:
            socket.send_fds(self.line, [sent(launch)], [out, err], socket.MSG_NOSIGNAL)
        except ConnectionError:
            return False
        return True


class Done(msgspec.Struct, frozen=True):
    """A function has ended well and its process stays. Seconds of processor time, and bytes."""

    cpu_seconds: float
    peak_memory: int


def fork(out: int, err: int, program: Callable[[], int], keep: int = 0) -> int:
    """Fork the program and return its pid. Of our descriptors it has none but `keep`; it ends with us."""
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        prctl(PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before that took effect
            os._exit(FAILED)
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in ASKING:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)
        _print_to(out, err)
        close_except({0, 1, 2, keep})
        os._exit(program())
    finally:
        os._exit(FAILED)


def fork_staying(program: Callable[[Launch], int]) -> Staying:
    """The same for a program that does what it is handed, as long as it stays."""
    ours, theirs = connected()
    with theirs:
        return Staying(fork(1, 2, lambda: _serve(theirs, program), theirs.fileno()), ours)


def _serve(line: socket.socket, program: Callable[[Launch], int]) -> int:
    """Do one launch after the other, until one does not end well, leaves anything behind, or nobody asks for more."""
    before, used = _around(), measured(resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    while True:
        body, streams, _, _ = socket.recv_fds(line, LARGEST, 2)
        if not body:
            return 0
        _print_to(*streams)
        for stream in streams:
            os.close(stream)
        code = program(received(body))
        if code or _around() != before or _has_children():
            return code
        now = measured(resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        null = os.open(os.devnull, os.O_RDWR)
        _print_to(null, null)  # whoever reads what was printed learns that this was all
        os.close(null)
        line.send(msgspec.json.encode(Done(now.cpu_seconds - used.cpu_seconds, now.peak_memory)))
        used = now


def _around() -> tuple[object, ...]:
    """What a function may change of its process that the next one would notice."""
    ours = ("SEATRIAL_TOKEN", "SEATRIAL_RUN")  # set anew for each
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    files = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a count
    return os.readlink("/proc/self/cwd"), files, threading.active_count(), environment  # noqa: PTH115


def _has_children() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


def _print_to(out: int, err: int) -> None:
    os.dup2(out, 1)
    os.dup2(err, 2)


def measured(*whose: int) -> Done:
    """What was used so far by `whose` (resource.RUSAGE_SELF, RUSAGE_CHILDREN); the memory is that of one process."""
    used = [resource.getrusage(one) for one in whose]
    return Done(sum(one.ru_utime + one.ru_stime for one in used), max(one.ru_maxrss for one in used) * 1024)


def close_except(keep: set[int]) -> None:
    """Close all descriptors of this process but these."""
    # The last ones first: what an attempt holds is free when its lock, which comes first, says that it is over.
    for name in reversed(os.listdir("/proc/self/fd")):  # noqa: PTH208 - plain names, no Path objects after a fork
        if int(name) not in keep:
            with suppress(OSError):
                os.close(int(name))


def prctl(option: int, value: int | bytes) -> None:
    """Change an attribute of this process. The numbers are those that Linux documents."""
    _libc.prctl(option, value, 0, 0, 0)
