"""The process that is a host: it takes orders on a socket and runs one deployment at a time.

It goes on with an order when whoever gave it goes away, and answers the same order with the same result, so that a
controller that was killed finds out how it went and nothing is deployed twice.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from seatrial import locks
from seatrial.deployments.hosts import isolation
from seatrial.deployments.hosts.model import Place, orders, read, socket_address
from seatrial.engine import identity
from seatrial.errors import SeatrialError
from seatrial.files import write_atomic

_KEPT = 20
_LARGEST = 1 << 20
_PATIENCE = 10.0
"""Seconds for somebody who asked to read the answer; nobody else is heard meanwhile."""
_PR_SET_PDEATHSIG = 1


def main(folder: Path) -> int:
    """Become the host of `folder`, in the background; returns when it takes orders, or says why it does not."""
    lock = locks.try_lock(folder / "lock")
    if lock is None:
        return 0  # somebody else has just started it
    os.set_inheritable(lock, True)
    place = read(folder)
    if place.isolation == "namespaces":
        isolation.separate()
    ready, tell = os.pipe()
    host = os.fork()
    if host == 0:
        os.close(ready)
        _be(place, lock, tell)
    os.close(tell)
    who = identity.of(host)
    if who:
        write_atomic(folder / "process.json", msgspec.json.encode(who), mode=0o600)
    with os.fdopen(ready, "rb") as stream:
        said = stream.read().decode(errors="replace")
    if said != "ready":
        sys.stderr.write(said or "the host ended before it was ready\n")
        return 1
    return 0


def _be(place: Place, lock: int, tell: int) -> None:
    """Never returns."""
    code = 1
    try:
        os.setsid()
        public = []
        if place.isolation == "namespaces":
            shared = [Path(place.root)]
            public = isolation.settle(
                place.folder, place.name, shared, unprivileged=os.getuid() == 0 and _mapped()
            )
        daemon = _Daemon(place, public)
        os.write(tell, b"ready")
        os.close(tell)
        _quiet(place.folder)
        daemon.loop()
        code = 0
    except SeatrialError as error:
        os.write(tell, str(error).encode())
    except BaseException:  # noqa: BLE001 - nothing may unwind into the parent's frames
        text = traceback.format_exc()
        with suppress(OSError):
            os.write(tell, text.encode())
        sys.stderr.write(text)
    finally:
        with suppress(OSError):
            os.close(lock)
        sys.stderr.flush()
        os._exit(code)


def _mapped() -> bool:
    """Whether root is only root of a user namespace."""
    return Path("/proc/self/uid_map").read_text(encoding="ascii").split() != ["0", "0", "4294967295"]


def _quiet(folder: Path) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, descriptor in ((0, null), (1, log), (2, log)):
        os.dup2(descriptor, number)
    os.close(null)
    os.close(log)


class _Daemon:
    """One loop, one thread: connections, children and the orders that they carry out."""

    def __init__(self, place: Place, public: list[str]) -> None:
        self.place, self.public = place, public
        self.ended = False
        self.running: dict[int, str] = {}
        self.waiting: dict[str, list[socket.socket]] = {}
        self.partial: dict[socket.socket, bytes] = {}
        (place.folder / "orders").mkdir(mode=0o700, exist_ok=True)
        self.wake, waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        self.door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        with socket_address(place.folder) as address:
            with suppress(FileNotFoundError):
                (place.folder / "socket").unlink()
            self.door.bind(address)
        (place.folder / "socket").chmod(0o600)
        self.door.listen(64)

    def _signalled(self, number: int, _frame: object) -> None:
        self.ended = self.ended or number != signal.SIGCHLD

    def loop(self) -> None:
        import selectors

        with selectors.DefaultSelector() as selector:
            selector.register(self.door, selectors.EVENT_READ)
            selector.register(self.wake, selectors.EVENT_READ)
            while not self.ended:
                for key, _ in selector.select(1.0):
                    if key.fileobj is self.door:
                        connection, _ = self.door.accept()
                        connection.settimeout(_PATIENCE)
                        self.partial[connection] = b""
                        selector.register(connection, selectors.EVENT_READ)
                    elif key.fileobj == self.wake:
                        os.read(self.wake, 4096)
                    else:
                        self._hear(key.fileobj, selector)  # type: ignore[arg-type]
                self._reap()
                if not self.place.folder.is_dir():  # nobody could ask any more, nor end it
                    return

    def _hear(self, connection: socket.socket, selector: Any) -> None:
        try:
            chunk = connection.recv(65536)
        except OSError:
            chunk = b""
        self.partial[connection] += chunk
        if not chunk or len(self.partial[connection]) > _LARGEST:
            selector.unregister(connection)
            del self.partial[connection]
            for waiting in self.waiting.values():
                if connection in waiting:
                    waiting.remove(connection)
            connection.close()
            return
        *lines, self.partial[connection] = self.partial[connection].split(b"\n")
        for line in lines:
            try:
                answer = self._obey(json.loads(line), connection)
            except (ValueError, KeyError, TypeError, OSError) as error:
                answer = {"error": f"{type(error).__name__}: {error}"}
            if answer is not None:
                _send(connection, answer)

    def _obey(self, order: dict[str, Any], connection: socket.socket) -> dict[str, Any] | None:
        if order["op"] == "ping":
            return {"ok": True, "public": self.public}
        name = order["id"]
        folder = orders(self.place.folder) / name
        if order["op"] == "stop":
            for pid in [pid for pid, one in self.running.items() if one == name]:
                os.kill(pid, signal.SIGKILL if order.get("hard") else signal.SIGTERM)
            return {"ok": True}
        if (folder / "result.json").exists():
            return self._result(folder)
        if name not in self.running.values():
            if order["op"] == "await":
                return {"error": "no such order"}
            if order["op"] == "deploy" and (other := self._deploying()):
                return {"busy": other}
            self._start(name, folder, order)
        self.waiting.setdefault(name, []).append(connection)
        return None

    def _deploying(self) -> str:
        return next((one for one in self.running.values() if one.startswith("d-")), "")

    def _start(self, name: str, folder: Path, order: dict[str, Any]) -> None:
        folder.mkdir(mode=0o700, exist_ok=True)
        pid = os.fork()
        if pid == 0:
            try:
                _become(folder, order)
            finally:
                os._exit(127)
        self.running[pid] = name

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            name = self.running.pop(pid, "")
            if not name:
                continue  # something that a hook left running in the background
            folder = orders(self.place.folder) / name
            write_atomic(
                folder / "result.json", json.dumps({"code": os.waitstatus_to_exitcode(status)}), mode=0o600
            )
            for connection in self.waiting.pop(name, []):
                _send(connection, self._result(folder))
            self._forget()

    @staticmethod
    def _result(folder: Path) -> dict[str, Any]:
        result: dict[str, Any] = json.loads((folder / "result.json").read_bytes())
        for stream in ("stdout", "stderr"):
            with suppress(FileNotFoundError):
                result[stream] = (folder / stream).read_bytes()[-_LARGEST // 4 :].decode(errors="replace")
        return result

    def _forget(self) -> None:
        """Keep the latest orders only: deployments longer than questions, of which there are many."""
        from seatrial.files import remove_tree

        every = sorted(orders(self.place.folder).iterdir(), key=lambda one: one.stat().st_mtime)
        old = [one for one in every if (one / "result.json").exists()]
        for kind in (True, False):
            for folder in [one for one in old if one.name.startswith("d-") is kind][:-_KEPT]:
                remove_tree(folder)


def _become(folder: Path, order: dict[str, Any]) -> None:
    """The child: the program of the order, with its own files for what it says."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    os.setsid()
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    writing = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    said = [os.open(folder / stream, writing, 0o600) for stream in ("stdout", "stderr")]
    descriptors = [os.open(os.devnull, os.O_RDONLY), *said]
    for standard, descriptor in enumerate(descriptors):
        os.dup2(descriptor, standard)
    os.closerange(3, 1 << 16)
    os.chdir("/")
    argv = order["argv"]
    try:
        os.execvpe(argv[0], argv, os.environ | order.get("env", {}))  # noqa: S606 - there is no shell on purpose
    except OSError as error:
        os.write(2, f"{argv[0]}: {error.strerror}\n".encode())


def _send(connection: socket.socket, answer: dict[str, Any]) -> None:
    try:
        connection.sendall(json.dumps(answer).encode() + b"\n")
    except OSError:
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)  # half an answer is none; the loop closes it


if __name__ == "__main__":
    try:
        raise SystemExit(main(Path(sys.argv[1])))
    except SeatrialError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
