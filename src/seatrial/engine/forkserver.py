"""The fork server: a small process without threads, database or secrets, from which shims are forked.

Forking the supervisor itself would carry its SQLite connection into the child, which corrupts databases
(https://www.sqlite.org/howtocorrupt.html, 2.6), and would need it to have no threads. The server ends
with its supervisor; shims do not.
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
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.errors import SeatrialError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.engine.launch import Launch


class Client:
    """The supervisor's end."""

    def __init__(self, modules: Sequence[str] = ()) -> None:
        """Start it, and let it import `modules` while the supervisor gets ready."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LARGEST)
        with theirs:
            self._process = subprocess.Popen(
                # -I and the path as an argument: the environment stays what the user's programs should see.
                [sys.executable, "-I", "-c", _START, str(theirs.fileno()), json.dumps(sys.path), *modules],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # Ctrl-C is for the supervisor, which decides what becomes of the steps.
                start_new_session=True,
            )
        self._socket = ours

    def start(self, launch: Launch, held: list[int]) -> int | None:
        """Fork a shim that keeps the descriptors `held`; returns a pidfd, or None when it has ended already."""
        body = msgspec.json.encode({"launch": launch}, enc_hook=str)
        descriptors = self._ask(body, held)
        return descriptors[0] if descriptors else None

    def guard(self, home: Path, run: str) -> None:
        """Fork the warden of a run."""
        self._ask(json.dumps({"guard": run, "home": str(home)}).encode(), [])

    def _ask(self, body: bytes, descriptors: list[int]) -> list[int]:
        try:
            socket.send_fds(self._socket, [body], descriptors)
            answer, received, _, _ = socket.recv_fds(self._socket, 4096, 4)
        except OSError as error:
            raise SeatrialError(
                f"the fork server is gone: {error}", fix="run the same command again"
            ) from error
        if answer != b"ok":
            raise SeatrialError(
                f"a process could not be started: {answer.decode(errors='replace') or 'no answer'}"
            )
        return list(received)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


_START = """
import json, sys
sys.path[:] = json.loads(sys.argv[2])
from seatrial.engine.forkserver import serve
serve(int(sys.argv[1]), sys.argv[3:])
"""
_LARGEST = 4 << 20
_MOST_DESCRIPTORS = 64


def serve(descriptor: int, modules: Sequence[str] = ()) -> None:
    """Answer requests until the supervisor goes away."""
    # Ended shims must not stay as zombies here; their exit files say how they ended.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _warm(modules)
    connection = socket.socket(fileno=descriptor)
    os.set_inheritable(descriptor, False)
    while True:
        try:
            body, descriptors, _, _ = socket.recv_fds(connection, _LARGEST, _MOST_DESCRIPTORS)
        except ConnectionError:
            return
        if not body:
            return
        try:
            request = json.loads(body)
            answer, given = _launch(request, tuple(descriptors)) if "launch" in request else _guard(request)
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


def _launch(request: dict[str, Any], held: tuple[int, ...]) -> tuple[bytes, list[int]]:
    from seatrial.engine.call import program
    from seatrial.engine.launch import Launch
    from seatrial.engine.shim import fork_shim

    launch = msgspec.convert(request["launch"], Launch, dec_hook=lambda kind, value: kind(value))
    _know(launch.what)
    pid = fork_shim(launch, held, program(launch))
    try:
        return b"ok", [os.pidfd_open(pid)]
    except ProcessLookupError:
        return b"ok", []


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
