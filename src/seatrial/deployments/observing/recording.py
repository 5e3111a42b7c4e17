"""Collecting both versions' answers while requests are copied, and comparing them.

Envoy copies a request on its way and sends what each version answered to a socket in its own folder, without waiting
for it: nothing here is in the way of a client. When nobody listens, or too slowly, copies are left out and counted.

    with Recorder(proxy_folder, settings, deployment_folder / "shadow.json") as recorder:
        target.mirror(home, name, revision, settings.share, settings.methods)
        ...                                  # now and then: verdict(settings, recorder.comparison())
        target.mirror(home, name, revision, 0)

What came out is kept in the file, so whoever was killed goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Self

import msgspec

from seatrial.deployments.envoy_terms import RECORDER
from seatrial.deployments.observing import latencies
from seatrial.deployments.observing.shadow import (
    EXAMPLES,
    LARGEST,
    Comparison,
    Example,
    Told,
    differences,
    example,
)
from seatrial.errors import SeatrialError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.config.deploying import Shadow

_MOST = 10_000
_MOST_BYTES = 64 << 20
_PATIENCE = 75.0
"""Seconds that one answer is kept for the other one, which may take the load balancer's 60."""
_SAVED_EVERY = 1.0
_HEAD = 64 << 10
_LONGEST = 2 * LARGEST
_STARTED = 10.0
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class _Waiting(NamedTuple):
    side: str
    told: Told
    since: float


class Recorder:
    """Listens in the load balancer's folder for the length of a block.

    Raises:
        SeatrialError: the socket cannot be made.
    """

    def __init__(self, folder: Path, settings: Shadow, saved: Path) -> None:
        self._folder = folder
        self._settings = settings
        self._file = saved
        self._lock = threading.Lock()
        self._waiting: dict[str, _Waiting] = {}
        self._bytes = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._written = 0.0
        before = _read(saved)
        self._counts = [before.compared, before.different, before.alone, before.large]
        self._examples: list[Example] = list(before.examples)
        self._old, self._new = (Counter(dict(latencies.counted(one))) for one in (before.old, before.new))

    def __enter__(self) -> Self:
        listening = _bound(self._folder)
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(listening, started)), name="shadow", daemon=True
        )
        self._thread.start()
        started.wait(_STARTED)
        return self

    def __exit__(self, *_: object) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended by itself
                self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join()
        with suppress(FileNotFoundError):
            (self._folder / RECORDER).unlink()
        self._save()

    def comparison(self) -> Comparison:
        """What came out so far."""
        with self._lock:
            compared, different, alone, large = self._counts
            return Comparison(
                compared=compared,
                different=different,
                alone=alone,
                large=large,
                examples=tuple(self._examples),
                old=tuple(latencies.flat(self._old)),
                new=tuple(latencies.flat(self._new)),
            )

    async def _serve(self, listening: socket.socket, started: threading.Event) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_unix_server(self._converse, sock=listening, limit=_HEAD)
        started.set()
        async with server:
            while not self._done.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._done.wait(), _SAVED_EVERY)
                self._forget(time.monotonic() - _PATIENCE)
                self._save()
        # Connections are kept open by Envoy; what is on its way belongs to nobody any more.
        for writer in list(self._open):
            writer.close()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            while not self._done.is_set():
                head = await reader.readuntil(b"\r\n\r\n")
                path, fields = _parsed(head)
                length = int(fields.get("content-length", "0"))
                if not 0 <= length <= _LONGEST:
                    break
                body = await reader.readexactly(length)
                writer.write(_OK)
                self._take(path.strip("/"), fields, body)
        except (OSError, EOFError, asyncio.LimitOverrunError, ValueError, KeyError):
            pass  # somebody else, or Envoy has ended
        finally:
            writer.close()
            self._open.discard(writer)

    def _take(self, side: str, fields: dict[str, str], body: bytes) -> None:
        told, identifier = _told(fields, body), fields["x-id"]
        other = self._waiting.pop(identifier, None)
        if other is None or other.side == side:
            self._waiting[identifier] = _Waiting(side, told, time.monotonic())
            self._bytes += len(body)
            while len(self._waiting) > _MOST or self._bytes > _MOST_BYTES:
                self._forget_first()
            return
        self._bytes -= len(other.told.body) + len(other.told.request)
        old, new = (told, other.told) if side == "client" else (other.told, told)
        self._compare(old, new)

    def _compare(self, old: Told, new: Told) -> None:
        if max(old.size, new.size) > LARGEST:
            with self._lock:
                self._counts[3] += 1
            return
        found = list(differences(old, new, self._settings))
        with self._lock:
            self._counts[0] += 1
            self._old[latencies.bucket(old.seconds)] += 1
            self._new[latencies.bucket(new.seconds)] += 1
            if found:
                self._counts[1] += 1
                if len(self._examples) < EXAMPLES:
                    self._examples.append(example(old, new, found))

    def _forget(self, before: float) -> None:
        while self._waiting and next(iter(self._waiting.values())).since < before:
            self._forget_first()

    def _forget_first(self) -> None:
        gone = self._waiting.pop(next(iter(self._waiting)))
        self._bytes -= len(gone.told.body) + len(gone.told.request)
        with self._lock:
            self._counts[2] += 1

    def _save(self) -> None:
        write_atomic(self._file, msgspec.json.encode(self.comparison()), mode=0o600)


def _read(saved: Path) -> Comparison:
    try:
        return msgspec.json.decode(saved.read_bytes(), type=Comparison)
    except (FileNotFoundError, msgspec.DecodeError):
        return Comparison()


def _bound(folder: Path) -> socket.socket:
    """The socket; one that a killed recorder left is replaced."""
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        descriptor = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # Through the folder's descriptor the path is short however deep the folder lies.
            path = f"/proc/self/fd/{descriptor}/{RECORDER}"
            with suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 - no Path, to keep the descriptor's meaning
            listening.bind(path)
            os.chmod(path, 0o600)  # noqa: PTH101 - as above; before anybody can connect
        finally:
            os.close(descriptor)
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise SeatrialError(
            "cannot listen for the answers to copied requests",
            where=str(folder / RECORDER),
            why=error.strerror or str(error),
        ) from error
    return listening


def _parsed(head: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines if ": " in line)
    return first.split(" ")[1], fields


def _told(fields: dict[str, str], content: bytes) -> Told:
    asked = int(fields["x-request"])
    return Told(
        asked=fields["x-asked"],
        status=int(fields["x-status"]),
        kind=fields.get("x-type", ""),
        encoding=fields.get("x-encoding", ""),
        request=content[:asked],
        body=content[asked:],
        size=int(fields["x-size"]),
        seconds=max(0, int(fields["x-ended"]) - int(fields["x-began"])) / 1e6,
    )
