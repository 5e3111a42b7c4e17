"""One script, from its start to its end or to the end of its time, with everything that it has started."""

from __future__ import annotations

import ctypes
import errno
import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from seatrial.engine import identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

GRACE = 5.0
"""Seconds between TERM and KILL."""
_LONGEST = 64 << 10
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_libc = ctypes.CDLL(None, use_errno=True)


class Ended(NamedTuple):
    """`code` is None for a script that a signal ended; `late` when its time was over; `left_open` a stream that
    something in the background still had open then.
    """

    code: int | None
    late: bool = False
    left_open: str = ""


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: str,
    seconds: float,
    say: Callable[[str], None],
    begun: Callable[[], None] = lambda: None,
) -> Ended:
    """Run a script; each line that it says goes to `say`, as `[stdout]…` or `[stderr]…`, with its line break.

    What it leaves running goes on, unless its time was over, or we are told to stop. `begun` is called once it runs.

    Raises:
        OSError: it cannot be started.
    """
    # What a script starts comes to us when its parent ends, so that it can be found.
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before = set(_below())
    process = _start(argv, env, cwd)
    streams = {process.stdout: _Lines("[stdout]", say), process.stderr: _Lines("[stderr]", say)}
    try:
        begun()
        return _follow(process, streams, time.monotonic() + seconds, before)
    except BaseException:
        _stop(before)
        raise
    finally:
        for stream, lines in streams.items():
            lines.end()
            assert stream is not None  # noqa: S101 - they are pipes
            stream.close()


def end_left(marks: Mapping[str, str]) -> list[int]:
    """Kill every process whose environment has all of `marks`; returns their ids."""
    wanted = {f"{name}={value}".encode() for name, value in marks.items()}
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with suppress(OSError):
            if wanted <= set((entry / "environ").read_bytes().split(b"\0")):
                os.kill(int(entry.name), signal.SIGKILL)
                found.append(int(entry.name))
    return found


def _start(argv: Sequence[str], env: Mapping[str, str], cwd: str) -> subprocess.Popen[bytes]:
    def start(words: Sequence[str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            list(words),
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            process_group=0,
            preexec_fn=_die_with_us,  # noqa: PLW1509 - there is one thread here
        )

    try:
        return start(argv)
    except OSError as error:
        if error.errno != errno.ENOEXEC:
            raise
        return start(["/bin/sh", *argv])  # no shebang


def _die_with_us() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class _Lines:
    """A stream cut into lines."""

    def __init__(self, mark: str, say: Callable[[str], None]) -> None:
        self._mark, self._say, self._rest = mark, say, b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._tell(line + b"\n")
        if len(self._rest) > _LONGEST:
            self.end()

    def end(self) -> None:
        if self._rest:
            self._tell(self._rest)
            self._rest = b""

    def _tell(self, line: bytes) -> None:
        self._say(self._mark + line.decode("utf-8", "replace"))


def _follow(
    process: subprocess.Popen[bytes],
    streams: dict[IO[bytes] | None, _Lines],
    deadline: float,
    before: set[identity.Identity],
) -> Ended:
    ended = os.pidfd_open(process.pid)
    try:
        still = _wait(ended, streams, deadline)
    finally:
        os.close(ended)
    if ended in still:
        _stop(before)
        process.wait()
        # What it says once it is told to end is no part of the log, as with AWS's agent.
        return Ended(None, late=True)
    code = process.wait()
    named = ((process.stdout, "STDOUT"), (process.stderr, "STDERR"))
    left = next((name for stream, name in named if stream in still), "")
    return Ended(code if code >= 0 else None, left_open=left)


def _wait(ended: int, streams: dict[IO[bytes] | None, _Lines], deadline: float) -> set[Any]:
    """Read until the process and both streams are over, or the time is; returns what is not."""
    with selectors.DefaultSelector() as selector:
        selector.register(ended, selectors.EVENT_READ)
        for stream in streams:
            assert stream is not None  # noqa: S101 - they are pipes
            os.set_blocking(stream.fileno(), False)
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            left = deadline - time.monotonic()
            if left <= 0:
                break
            for key, _ in selector.select(left):
                if key.fileobj == ended or not _read(key.fileobj, streams[key.fileobj]):  # type: ignore[arg-type, index]
                    selector.unregister(key.fileobj)
        return {key.fileobj for key in selector.get_map().values()}


def _read(stream: IO[bytes] | None, lines: _Lines) -> bool:
    assert stream is not None  # noqa: S101 - it is a pipe
    try:
        data = os.read(stream.fileno(), 1 << 16)
    except BlockingIOError:
        return True
    lines.feed(data)
    return bool(data)


def _below() -> Iterable[identity.Identity]:
    return filter(None, map(identity.of, identity.descendants(os.getpid())))


def _stop(before: set[identity.Identity]) -> None:
    """End all that the script has started: TERM, and KILL for what is there after five seconds."""
    deadline = time.monotonic() + GRACE
    asked: set[identity.Identity] = set()
    while left := set(_below()) - before:
        over = time.monotonic() > deadline
        for who in left if over else left - asked:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(who.pid, signal.SIGKILL if over else signal.SIGTERM)
        asked |= left
        if time.monotonic() > deadline + GRACE:
            return  # what cannot be killed sleeps in the kernel
        time.sleep(0.02)
