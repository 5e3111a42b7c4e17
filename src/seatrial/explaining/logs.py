"""Where logs come from: a file, standard input, a run of this machine."""

from __future__ import annotations

import codecs
import zlib
from typing import TYPE_CHECKING, NamedTuple

from seatrial.diagnosis.model import Context
from seatrial.errors import SeatrialError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from sqlite3 import Row
    from typing import BinaryIO

    from seatrial.engine.journal import Journal

_CHUNK = 1 << 18
_FINE = {"pass", "running", "pending"}
_OF_GROUP = "deployment:"
_GZIP = b"\x1f\x8b"
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Log(NamedTuple):
    """A log that can be read once; `name` says what it is, `context` what is known besides."""

    name: str
    chunks: Iterable[bytes]
    context: Context = Context()


def of_file(path: Path) -> Log:
    """A log file, also one that gzip has packed, and one in UTF-16.

    Raises:
        UsageError: it cannot be read.
    """
    if path.is_dir():
        raise UsageError("this is a folder, not a log", where=str(path), fix="name the file")
    try:
        stream = path.open("rb")
    except OSError as error:
        raise UsageError(
            "the log cannot be read", where=str(path), why=error.strerror or str(error)
        ) from error
    return Log(str(path), _closing(stream))


def of_stream(stream: BinaryIO) -> Log:
    """What is written to standard input."""
    return Log("standard input", unpacked(_read(stream)))


def of_run(journal: Journal, reference: str) -> Log:
    """What the failed step of a run has said, and what Seatrial knows of it; of a run without one, its last step.

    Of a deployment to a group it is what the first host that failed has said.

    Raises:
        SeatrialError: there is no such run, or it has no log.
    """
    from seatrial.engine import logs

    run_id = journal.find(reference)
    run = journal.run(run_id)
    if is_of_group(run) and (found := of_group(journal.home, run)):
        return found
    tried = journal.rows(
        "SELECT step, n, status, exit, error, reason FROM attempts WHERE run=? ORDER BY started, step, n",
        run_id,
    )
    failed = [row for row in tried if row["status"] not in _FINE and not row["reason"]]
    if not tried:
        raise SeatrialError(f"run {run_id} has no logs", why=run["error"] or "no step of it has started")
    chosen = (failed or tried)[0 if failed else -1]
    path = journal.attempt_folder(run_id, chosen["step"], chosen["n"]) / "log"
    error = (chosen["error"] or run["error"] or "").strip()
    good = run["status"] == "succeeded"
    code = 0 if good else (chosen["exit"] or None)
    context = Context(exit_code=code, step=chosen["step"], error=error)
    return Log(f"{chosen['step']} of run {run_id}", _then(logs.read(path), error), context)


def is_of_group(run: Row) -> bool:
    """Whether a run is a deployment to a group of hosts."""
    return run["kind"] == "deployment" and str(run["subject"]).startswith(_OF_GROUP)


def of_group(home: Path, run: Row) -> Log | None:
    """What the host has said that a deployment to a group has failed for first; None when none has failed."""
    from seatrial.deployments.deployments import first_failed, load

    deployment = str(run["subject"]).removeprefix(_OF_GROUP)
    found = first_failed(load(home, deployment))
    if found is None or run["status"] == "succeeded":
        return None
    host, here = found
    context = Context(exit_code=1, step=host, error=here.message)
    return Log(f"host {host} of deployment {deployment}", _then([here.log.encode()], here.message), context)


def _then(chunks: Iterable[bytes], error: str) -> Iterator[bytes]:
    """A log, and what Seatrial itself says last, which may be the only line that tells the cause."""
    last = b"\n"
    for chunk in chunks:
        last = chunk
        yield chunk
    if error:
        yield (b"" if last.endswith(b"\n") else b"\n") + error.encode() + b"\n"


def _closing(stream: BinaryIO) -> Iterator[bytes]:
    with stream:
        yield from unpacked(_read(stream))


def _read(stream: BinaryIO) -> Iterator[bytes]:
    # A pipe gives what it has; read1 does not wait for a whole chunk.
    read = getattr(stream, "read1", stream.read)
    while chunk := read(_CHUNK):
        yield chunk


def unpacked(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of a log as UTF-8, out of gzip or UTF-16 when its first bytes say so.

    Raises:
        SeatrialError: the packed data are damaged.
    """
    pieces = iter(chunks)
    start = b""
    while len(start) < len(_GZIP) and (piece := next(pieces, b"")):
        start += piece
    whole = _chain(start, pieces)
    if start.startswith(_GZIP):
        yield from unpacked(_gunzip(whole))
    elif start[:2] in _UTF16:
        decoder = codecs.getincrementaldecoder(_UTF16[start[:2]])("replace")
        for chunk in whole:
            yield decoder.decode(chunk).encode("utf-8", "replace")
    else:
        yield from whole


def _chain(start: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if start:
        yield start
    yield from rest


def _gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    unpack = zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            data = chunk
            while data:
                yield unpack.decompress(data, _CHUNK)
                data = unpack.unconsumed_tail
                if unpack.eof:
                    # Logs that were appended to are several packed files in a row.
                    data, unpack = unpack.unused_data, zlib.decompressobj(wbits=31)
    except zlib.error as error:
        raise SeatrialError("the packed log is damaged", why=str(error), fix="fetch it again") from error
