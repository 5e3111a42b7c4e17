"""The fork server: a small process without threads, database or secrets, from which shims are forked.

Forking the supervisor itself would carry its SQLite connection into the child, which corrupts databases
(https://www.sqlite.org/howtocorrupt.html, 2.6), and would need it to have no threads. As long as it has neither, the
server is forked from it, which saves importing everything again; else it is started anew. The server ends with its
supervisor; shims do not.
"""

from __future__ import annotations

import array
import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.engine.launch import LARGEST, MOST_DESCRIPTORS, connected, received, sent
from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seatrial.engine.launch import Launch


class Client:
    """The supervisor's end."""

    def __init__(self, modules: Sequence[str] = ()) -> None:
        """Start it, and let it import `modules` while the supervisor gets ready."""
        ours, theirs = connected()
        with theirs:
            self._wait = _forked(theirs, modules) if _may_fork() else _started(theirs, modules)
        self._socket = ours
        self._unheard = 0

    def start(self, launch: Launch, held: list[int]) -> int:
        """Have a shim that keeps the descriptors `held`; returns a pipe that ends when the attempt is over."""
        (over,) = self._ask(b'{"launch":' + sent(launch) + b"}", held)
        return over

    def guard(self, home: Path, run: str) -> None:
        """Fork the warden of a run; whether that went well is heard before anything else is started."""
        self._send(json.dumps({"guard": run, "home": str(home)}).encode(), [])

    def _ask(self, body: bytes, descriptors: list[int]) -> list[int]:
        self._send(body, descriptors)
        received: list[int] = []
        while self._unheard:
            received = self._hear()
        return received

    def _send(self, body: bytes, descriptors: list[int]) -> None:
        try:
            socket.send_fds(self._socket, [body], descriptors)
        except OSError as error:
            raise _gone(error) from error
        self._unheard += 1

    def _hear(self) -> list[int]:
        try:
            answer, received, _, _ = socket.recv_fds(self._socket, 4096, 4)
        except OSError as error:
            raise _gone(error) from error
        self._unheard -= 1
        if answer != b"ok":
            raise SeatrialError(
                f"a process could not be started: {answer.decode(errors='replace') or 'no answer'}"
            )
        return list(received)

    def close(self) -> None:
        self._socket.close()
        self._wait()


def _may_fork() -> bool:
    return "sqlite3" not in sys.modules and threading.active_count() == 1


def _forked(end: socket.socket, modules: Sequence[str]) -> Callable[[], object]:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return lambda: os.waitpid(pid, 0)
    try:
        from seatrial.engine.program import close_except

        # Ctrl-C is for the supervisor, which decides what becomes of the steps.
        os.setsid()
        signal.set_wakeup_fd(-1)
        null = os.open(os.devnull, os.O_RDONLY)
        os.dup2(null, 0)
        close_except({0, 1, 2, end.fileno()})
        serve(end.detach(), modules)
    finally:
        os._exit(0)


def _started(end: socket.socket, modules: Sequence[str]) -> Callable[[], object]:
    return subprocess.Popen(
        # -I and the path as an argument: the environment stays what the user's programs should see.
        [sys.executable, "-I", "-c", _START, str(end.fileno()), json.dumps(sys.path), *modules],
        pass_fds=[end.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    ).wait


def _gone(error: OSError) -> SeatrialError:
    return SeatrialError(f"the fork server is gone: {error}", fix="run the same command again")


_START = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[2])
from seatrial.engine.forkserver import serve
serve(int(sys.argv[1]), sys.argv[3:])
os._exit(0)  # nothing is left to be done, and its supervisor waits
"""


def serve(descriptor: int, modules: Sequence[str] = ()) -> None:
    """Answer requests until the supervisor goes away."""
    # Ended shims must not stay as zombies here; their exit files say how they ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _warm(modules)
    connection = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    shims = _Shims()
    if modules:
        shims.add()
    while True:
        try:
            body, descriptors, _, _ = socket.recv_fds(connection, LARGEST, MOST_DESCRIPTORS)
        except ConnectionError:
            return
        if not body:
            return
        try:
            request = json.loads(body)
            answer, given = _launch(request, descriptors, shims) if "launch" in request else _guard(request)
        except Exception as error:  # noqa: BLE001 - the supervisor reports it
            answer, given = f"{type(error).__name__}: {error}"[:2000].encode(), []
        for descriptor_ in descriptors:
            os.close(descriptor_)
        with suppress(BrokenPipeError, ConnectionError):
            rights = array.array("i", given)
            connection.sendmsg([answer], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)] if given else [])
        for descriptor_ in given:
            os.close(descriptor_)


def _warm(modules: Sequence[str]) -> None:
    """Import what every shim needs, and keep the collector from copying those pages in every child."""
    import gc

    from seatrial.engine import call, identity, shim  # noqa: F401 - so that children find them imported

    identity.boot_id()
    for name in modules:
        with suppress(Exception):  # the step that needs it says so
            importlib.import_module(name)
    gc.disable()
    gc.freeze()


def _launch(request: dict[str, Any], held: list[int], shims: _Shims) -> tuple[bytes, list[int]]:
    from seatrial.engine import namespaces
    from seatrial.engine.call import program
    from seatrial.engine.shim import fork_shim, stays

    launch = received(request["launch"])
    launch.contain = launch.contain and namespaces.tried()
    # The shim alone has the end that `over` waits for, until the attempt is over.
    over, until = os.pipe2(os.O_CLOEXEC)
    try:
        if stays(launch):
            shims.give(sent(launch), [*held, until])
        else:
            _know(launch.what)
            fork_shim(launch, [*held, until], program)
    except BaseException:
        os.close(over)
        raise
    finally:
        os.close(until)
    return b"ok", [over]


class _Shims:
    """Those that stay, and whether each was free when it was last heard of."""

    def __init__(self) -> None:
        self._free: dict[socket.socket, bool] = {}

    def add(self) -> socket.socket:
        """Fork one more."""
        from seatrial.engine.call import program
        from seatrial.engine.shim import fork_staying_shim

        ours, theirs = connected()
        with theirs:
            fork_staying_shim(theirs, program)
        self._free[ours] = True
        return ours

    def give(self, launch: bytes, held: list[int]) -> None:
        """Hand a launch to one that is free, or to a new one."""
        for shim in tuple(self._free):
            if self._is_free(shim):
                with suppress(ConnectionError):
                    return self._hand(shim, launch, held)
        return self._hand(self.add(), launch, held)

    def _hand(self, shim: socket.socket, launch: bytes, held: list[int]) -> None:
        socket.send_fds(shim, [launch], held, socket.MSG_NOSIGNAL)
        self._free[shim] = False

    def _is_free(self, shim: socket.socket) -> bool:
        from seatrial.engine.shim import FREE

        try:
            said = shim.recv(len(FREE), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return self._free[shim]
        except ConnectionError:
            said = b""
        if said != FREE:  # it has ended
            del self._free[shim]
            shim.close()
        return said == FREE


def _know(what: dict[str, Any]) -> None:
    """Import a step's module here, once for all steps that are forked from now on. Steps leave costly imports to
    their functions, and one that cannot be imported says so itself.
    """
    if what["type"] == "call":
        with suppress(Exception):
            importlib.import_module(what["target"].partition(":")[0])


def _guard(request: dict[str, Any]) -> tuple[bytes, list[int]]:
    from seatrial.engine.warden import fork_warden

    fork_warden(Path(request["home"]), request["guard"])
    return b"ok", []
