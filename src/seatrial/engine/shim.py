"""The shim: a process between the supervisor and a step's program, which outlives the supervisor.

It is forked from the fork server, so starting one costs milliseconds and secrets pass in memory only. Up to three
processes:

- the *shim* keeps the lock that shows it is alive, writes the log, enforces the deadline and writes the exit file;
- the *keeper* contains the program where that can be had: process 1 of a namespace of its own, with which
  everything in it ends. Elsewhere there is none, and the shim ends what is left, as a subreaper;
- the *program*, in a session of its own.

Killing the shim kills the keeper, which kills the program. Killing the supervisor changes nothing for the shim.

Forking costs little, but every page that a new process writes to is copied first, which is most of what a quick step
takes. So where there is no keeper, shim and program stay for the next step of their run when a function has ended
well and left nothing behind: no process, no thread, no open file. Otherwise both end, as they do for everything else.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import select
import signal
import socket
import struct
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.engine import identity, namespaces
from seatrial.engine.launch import LARGEST, MOST_DESCRIPTORS, received
from seatrial.engine.points import adopt, marked, reach
from seatrial.engine.program import (
    ASKING,
    CHILD_SUBREAPER,
    FAILED,
    NAME,
    PDEATHSIG,
    Done,
    Staying,
    close_except,
    fork,
    fork_staying,
    measured,
    prctl,
)
from seatrial.files import write_atomic
from seatrial.masking import Mask

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seatrial.engine.launch import Launch

_TAIL = 4096
_STATUS = struct.Struct("i")
FREE = b"free"
"""What a shim says that has ended an attempt and may be given another launch."""


def stays(launch: Launch) -> bool:
    """Whether shim and program may be those of another step before or afterwards."""
    return launch.what["type"] in ("call", "teardown") and not launch.contain and not launch.leaves


def fork_shim(launch: Launch, held: Sequence[int], program: Callable[[Launch], int]) -> None:
    """Start the shim of one attempt. It keeps the descriptors `held`, and nothing else of the supervisor's."""
    if os.fork():
        return
    try:
        _become_shim({*held})
        _look_after(launch, program, None)
    finally:  # nothing may unwind into the supervisor's frames
        os._exit(0)


def fork_staying_shim(server: socket.socket, program: Callable[[Launch], int]) -> None:
    """Start a shim and its program that wait for launches at `server`; with each comes what it keeps until the attempt
    is over. Then it says `FREE` there, or ends.
    """
    if os.fork():
        return
    try:
        _become_shim({server.fileno()})
        staying = fork_staying(program)
        while True:
            body, _, _, _ = socket.recv_fds(server, LARGEST, MOST_DESCRIPTORS)
            if not body or not _look_after(received(body), program, staying):
                return
            signal.set_wakeup_fd(-1)
            # Said before the locks are given back: who sees that the attempt is over finds us free.
            server.send(FREE, socket.MSG_NOSIGNAL)
            close_except({0, 1, 2, server.fileno(), staying.line.fileno()})
    finally:
        os._exit(0)


def _look_after(launch: Launch, program: Callable[[Launch], int], staying: Staying | None) -> bool:
    """See an attempt through; returns whether the program stays."""
    try:
        return _Shim(launch, program, staying).run()
    except BaseException:
        _leave_trace(launch)
        raise


def _become_shim(held: set[int]) -> None:
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    prctl(NAME, b"seatrial-shim")
    null = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    close_except({0, 1, 2} | held)


def _leave_trace(launch: Launch) -> None:
    import traceback

    with suppress(OSError), (launch.folder / "shim.log").open("a", encoding="utf-8") as stream:
        stream.write(traceback.format_exc())


class _Shim:
    """What becomes of one attempt. `staying` is a program that may do it; else one is forked."""

    def __init__(self, launch: Launch, program: Callable[[Launch], int], staying: Staying | None) -> None:
        self.launch = launch
        self.program = program
        self.staying = staying
        self.done: Done | None = None
        self.mask = {"out": Mask(launch.secrets.values()), "err": Mask(launch.secrets.values())}
        self.tail = b""
        self.stops = 0
        self.next_stop = 0.0
        self.reason = ""

    def run(self) -> bool:
        """Look after the attempt to its end; returns whether the program stays."""
        folder = self.launch.folder
        self.log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker)
        for number in ASKING:
            signal.signal(number, self._asked)
        # Only now can it be stopped in an orderly way, so only now does it say who it is.
        identity.write(folder / "process.json")
        adopt(self.launch.supervisor)
        reach("shim/started")
        status_read, status_write = os.pipe2(os.O_CLOEXEC)
        if not self.launch.contain:
            # What the program leaves behind comes to us, not to the machine's first process.
            prctl(CHILD_SUBREAPER, 1)
        streams = self._start(status_write)
        os.close(status_write)
        self._loop(os.pidfd_open(self.child), wake, streams)
        if self.done is None or self.stops or not _alone_with(self.child):
            self._let_go()
            _, status = os.waitpid(self.child, 0)
            if self.launch.contain:
                told = os.read(status_read, _STATUS.size)
                # Nothing in the pipe: the keeper itself was killed before it could say how the program ended.
                status = _STATUS.unpack(told)[0] if told else signal.SIGKILL
            elif not self._leaves(status):
                _end_rest()
        else:
            status = 0
        self._finish(streams)
        marked(str(folder / "crash"))
        self._write_exit(status)
        reach("shim/finished")
        return self.staying is not None

    def _let_go(self) -> None:
        """Have a program that stays end: nobody can ask it for more."""
        if self.staying:
            self.staying.line.close()
            self.staying = None

    def _asked(self, number: int, _frame: object) -> None:
        self.reason = self.reason or "stopped"
        if number == signal.SIGUSR1:
            self.stops, self.next_stop = 3, 0.0
        elif not self.stops:  # asking twice does not make it more urgent
            self.stops, self.next_stop = 1, 0.0

    def _start(self, status_write: int) -> dict[int, str]:
        """Fork the keeper or the program; return the pipes to read from and what each carries."""
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        streams = {err_read: "err"}
        out_write = self.log
        if self.launch.secrets:
            out_read, out_write = os.pipe2(os.O_CLOEXEC)
            streams[out_read] = "out"
        signal.pthread_sigmask(signal.SIG_BLOCK, ASKING)
        if self.staying and not self.staying.take(self.launch, out_write, err_write):
            self._let_go()  # it was killed while it waited
        if self.staying:
            self.child = self.staying.pid
        elif self.launch.contain:
            self.child = _fork_keeper(status_write, out_write, err_write, self._once)
        else:
            self.child = fork(out_write, err_write, self._once)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)
        os.close(err_write)
        if out_write != self.log:
            os.close(out_write)
        return streams

    def _once(self) -> int:
        return self.program(self.launch)

    def _loop(self, child: int, wake: int, streams: dict[int, str]) -> None:
        poll = select.poll()
        line = self.staying.line.fileno() if self.staying else -1
        for descriptor in {child, wake, line, *streams} - {-1}:
            poll.register(descriptor, select.POLLIN)
        started = time.monotonic()
        allowed = max(0.0, self.launch.deadline - time.time())
        while True:
            elapsed = time.monotonic() - started
            if elapsed >= allowed and not self.stops:
                self.reason, self.stops = "timeout", 1
            if self.stops:
                self._press()
                pause = max(0.0, self.next_stop - time.monotonic())
            else:
                pause = allowed - elapsed
            ready = poll.poll(min(pause, 3600) * 1000)
            for descriptor, events in ready:
                if descriptor == wake:
                    os.read(wake, 512)
                elif descriptor == line:
                    self.done = self._heard()
                    poll.unregister(line)
                elif descriptor in streams and not self._pump(descriptor, streams[descriptor], events):
                    poll.unregister(descriptor)
            if self.done or child in dict(ready):
                return

    def _heard(self) -> Done | None:
        """What a program that stays says; None when it ends instead."""
        with suppress(ConnectionError):
            if self.staying and (said := self.staying.line.recv(4096)):
                return msgspec.json.decode(said, type=Done)
        return None

    def _press(self) -> None:
        """Ask the program to end, more firmly each time: INT, TERM, KILL. For servers, TERM is the polite way."""
        if time.monotonic() < self.next_stop:
            return
        polite = signal.SIGTERM if self.launch.what["type"] == "service" else signal.SIGINT
        number = (polite, signal.SIGTERM, signal.SIGKILL)[min(self.stops, 3) - 1]
        with suppress(ProcessLookupError):
            self._signal(number)
        self.stops += 1
        self.next_stop = time.monotonic() + self.launch.grace / 2

    def _signal(self, number: int) -> None:
        if not self.launch.contain:
            try:
                return os.killpg(self.child, number)
            except ProcessLookupError:  # it is not yet in a session of its own
                pass
        return os.kill(self.child, number)

    def _pump(self, descriptor: int, name: str, events: int) -> bool:
        chunk = os.read(descriptor, 1 << 20) if events & select.POLLIN else b""
        self._show(name, self.mask[name].feed(chunk) if chunk else self.mask[name].flush())
        return bool(chunk)

    def _show(self, name: str, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self.log, view) :]
            except OSError:  # a full disk loses log lines, never the program
                break
        if name == "err":
            self.tail = (self.tail + data)[-_TAIL:]

    def _finish(self, streams: dict[int, str]) -> None:
        """Read what is still in the pipes; a process that escaped containment must not keep us waiting."""
        for descriptor, name in streams.items():
            os.set_blocking(descriptor, False)
            with suppress(BlockingIOError):
                while chunk := os.read(descriptor, 1 << 20):
                    self._show(name, self.mask[name].feed(chunk))
            self._show(name, self.mask[name].flush())

    def _leaves(self, status: int) -> bool:
        """Whether what the program left running goes on: it was to, and the program ended by itself."""
        return self.launch.leaves and not self.reason and os.WIFEXITED(status)

    def _write_exit(self, status: int) -> None:
        code = os.waitstatus_to_exitcode(status)
        used = self.done if self.staying and self.done else measured(resource.RUSAGE_CHILDREN)
        record = {
            "code": code,
            "reason": self.reason or ("signal" if code < 0 else "exit"),
            "ended": time.time(),
            "stderr": self.tail.decode(errors="replace")[-500:],
            # All that was waited for; the memory is that of the one process that had most. In bytes.
            "cpu_seconds": round(used.cpu_seconds, 3),
            "peak_memory": used.peak_memory,
        }
        write_atomic(self.launch.folder / "exit.json", json.dumps(record), mode=0o600)


def _fork_keeper(status: int, out: int, err: int, program: Callable[[], int]) -> int:
    if not namespaces.leave(namespaces.NEW_PROCESSES):
        raise OSError(ctypes.get_errno(), "no namespace of processes can be made")
    pid = os.fork()
    if pid:
        return pid
    try:
        prctl(PDEATHSIG, signal.SIGKILL)
        # The shim may have died before that took effect: then nobody reads the status any more.
        if _unread(status):
            os._exit(FAILED)
        if namespaces.leave(namespaces.NEW_MOUNTS):
            namespaces.mount_proc()
        _keep(status, out, err, program)
    finally:
        os._exit(FAILED)


def _unread(pipe: int) -> bool:
    poll = select.poll()
    poll.register(pipe, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def _keep(status: int, out: int, err: int, program: Callable[[], int]) -> None:
    signal.set_wakeup_fd(-1)
    child = fork(out, err, program)
    close_except({0, 1, 2, status})

    def forward(number: int, _frame: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(child, number)

    signal.signal(signal.SIGINT, forward)
    signal.signal(signal.SIGTERM, forward)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)
    while True:
        pid, ended = os.wait()
        if pid == child:
            break
    os.write(status, _STATUS.pack(ended))
    os._exit(0)  # and the kernel ends what the program left running


def _alone_with(child: int) -> bool:
    """Whether this process has no child but one: what a program has left behind comes here, to its subreaper."""
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    except OSError:  # a kernel without it
        return False
    return text.split() == [str(child)]


def _end_rest() -> None:
    """End what the program left running, as the subreaper to which it has come."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:  # nobody is left, which the kernel knows without a look through /proc
            return
        for pid in identity.descendants(os.getpid()):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.001)
