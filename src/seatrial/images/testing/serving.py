"""The image as a server: SageMaker's contract, and answers compared with the expected ones.

The server runs as it would in production, as process 1 and with its own port, but in a network of its own: two
tests at a time do not meet, and nothing gets out. A port of loopback is carried into that network.
Contract: docs.aws.amazon.com, "Use Your Own Inference Code with Hosting Services": GET /ping answers 200 within
2 s, POST /invocations, SIGTERM and 30 s later SIGKILL.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial import readiness
from seatrial.clock import SystemClock
from seatrial.errors import SeatrialError
from seatrial.images import runtime
from seatrial.images.testing.model import Check, Subject, failed, passed, skipped
from seatrial.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.config.model import Call

_PING_LIMIT = 2.0
_LOG_LINES = 15
# Seconds to wait for an answer that is too late anyway, so that the report can say how late.
_PATIENCE = 10.0
_PINGS = 3
_OK = 200


class Server(NamedTuple):
    """A started image: its launcher, the port that reaches it, and what it has said so far."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return "\n".join(lines[-_LOG_LINES:])


def serves(subject: Subject) -> bool:
    """Whether the image is a server: stated, or seen from requests to answer or its exposed port."""
    if subject.spec.serves is not None:
        return subject.spec.serves
    exposed = subject.root.settings.get("ExposedPorts") or {}
    return bool(subject.spec.inference) or f"{subject.spec.port}/tcp" in exposed


def check(subject: Subject) -> Iterator[Check]:
    """Start, ping, ask, stop: each its own answer; what comes after a failure is skipped."""
    if not serves(subject):
        yield skipped("service", f"the image does not say that it serves port {subject.spec.port}")
        return
    spec = subject.spec
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        log = Path(folder) / "log"
        launch = runtime.Launch(
            env={"PORT": str(spec.port), **spec.env},
            network="none",
            publish=(runtime.Publish(listener.fileno(), spec.port),),
        )
        with (
            log.open("wb") as stream,
            runtime.start(subject.root, [], launch, stdout=stream, stderr=stream) as process,
        ):
            server = Server(process, f"http://127.0.0.1:{listener.getsockname()[1]}", log)
            ready = _ready(server, subject)
            yield ready
            if ready.status == "fail":
                return
            yield _ping(server, subject)
            for number, call in enumerate(spec.inference, 1):
                yield _inference(server, subject, call, f"inference:{number}")
            yield _stop(server, subject)


def _ready(server: Server, subject: Subject) -> Check:
    spec = subject.spec
    clock = SystemClock()

    def ended() -> str | None:
        code = server.process.poll()
        return None if code is None else f"it ended with {code}: {server.last_words()}"

    try:
        ready = readiness.wait_http(
            server.url + spec.ping,
            deadline=clock.now() + spec.start_timeout,
            clock=clock,
            alive=ended,
            # A slow first answer is the next check's; here it counts whether there is one at all.
            timeout=_PATIENCE,
        )
    except SeatrialError as error:
        words = server.last_words()
        why = error.why or error.what
        return failed(
            "service",
            f"the server did not start: {_last_line(why)}",
            _advice(words or why),
            words.splitlines(),
        )
    return passed("service", f"{spec.ping} answered 200 after {ready.waited:.1f} s")


def _ping(server: Server, subject: Subject) -> Check:
    path, slowest = subject.spec.ping, 0.0
    for _ in range(_PINGS):
        try:
            answer = readiness.request("GET", server.url + path, timeout=_PATIENCE)
        except TransportError as error:
            message = f"{path} stopped answering: {error.what}"
            return failed("ping", message, "look at the server's log", server.last_words().splitlines())
        if answer.status != _OK:
            message = f"{path} answered {answer.status}"
            return failed("ping", message, "answer 200 as long as requests can be served")
        slowest = max(slowest, answer.seconds)
        if slowest > _PING_LIMIT:
            message = f"{path} took {slowest:.1f} s; SageMaker allows {_PING_LIMIT:g} s"
            fix = "answer without work: load the model once, at start, not in the ping"
            return failed("ping", message, fix)
    return passed("ping", f"{path} answers 200 in {slowest * 1000:.0f} ms")


def _inference(server: Server, subject: Subject, call: Call, identifier: str) -> Check:
    base = Path(subject.spec.folder)
    body = _read(base, call.request) if call.request else None
    method = call.method or ("POST" if body is not None else "GET")
    headers = {"Content-Type": call.content_type} if body is not None else {}
    headers |= {"Accept": call.accept} if call.accept else {}
    try:
        answer = readiness.request(
            method, server.url + call.path, body=body, headers=headers, timeout=call.timeout
        )
    except TransportError as error:
        message = f"{method} {call.path} got no answer: {error.what}"
        return failed(identifier, message, "look at the server's log", server.last_words().splitlines())
    shown = f"{method} {call.path}"
    if answer.status != call.status:
        message = f"{shown} answered {answer.status} instead of {call.status}: {_excerpt(answer.body)}"
        return failed(identifier, message, "look at the server's log", server.last_words().splitlines())
    if call.expect is None:
        return passed(identifier, f"{shown} answered {answer.status} in {answer.seconds * 1000:.0f} ms")
    differences = list(_differences(_read(base, call.expect), answer.body, call))
    if differences:
        message = f"{shown} answered something else than {call.expect}: {differences[0]}"
        fix = (
            f"correct the model or the code; if the answer is right, update {call.expect} or set a tolerance"  # noqa: S608 - not SQL
        )
        return failed(identifier, message, fix, differences)
    return passed(identifier, f"{shown} answered as expected in {answer.seconds * 1000:.0f} ms")


def _differences(expected: bytes, actual: bytes, call: Call) -> Iterator[str]:
    """JSON and CSV by value, the rest by text."""
    left, right = _decoded(expected, call), _decoded(actual, call)
    if left is None or right is None:
        if expected.strip() != actual.strip():
            yield f"expected {_excerpt(expected)!r}, got {_excerpt(actual)!r}"
        return
    for difference in readiness.compare(left[0], right[0], call.tolerance):
        yield f"{difference.path}: expected {difference.expected!r}, got {difference.actual!r} ({difference.why})"


def _decoded(content: bytes, call: Call) -> tuple[object] | None:
    if str(call.expect).endswith(".csv"):
        import csv

        rows = csv.reader(content.decode(errors="replace").splitlines())
        return ([[_number(cell) for cell in row] for row in rows if row],)
    try:
        return (json.loads(content),)
    except ValueError:
        return None


def _number(cell: str) -> object:
    try:
        return float(cell)
    except ValueError:
        return cell.strip()


def _stop(server: Server, subject: Subject) -> Check:
    """SIGTERM as the platform sends it: the server has `stop_timeout` seconds before it would be killed."""
    limit = subject.spec.stop_timeout
    begin = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    try:
        code = server.process.wait(limit)
    except subprocess.TimeoutExpired:
        return failed(
            "stop",
            f"the server still runs {limit:g} s after SIGTERM",
            "handle SIGTERM; a shell as entry point must `exec` the server, or it does not hand the signal on",
        )
    return passed("stop", f"ended with {code}, {time.monotonic() - begin:.1f} s after SIGTERM")


def _read(base: Path, name: str) -> bytes:
    try:
        return (base / name).read_bytes()
    except OSError as error:
        raise SeatrialError(
            f"cannot read a file of the inference test: {error.strerror}",
            where=str(base / name),
            fix="correct its path",
        ) from error


def _advice(words: str) -> str:
    if "Address already in use" in words:
        return "the server starts twice, or listens on a port that something else in the image has"
    if "No module named" in words or "cannot open shared object" in words:
        return "see the imports and libraries checks: something is not in the image"
    if "Permission denied" in words:
        return "see the permissions check: the image's user may not use a file"
    return "listen on 0.0.0.0 and the port of the contract (8080, or $PORT) and answer /ping; the log is in the details"


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1][:300]


def _excerpt(body: bytes) -> str:
    return " ".join(body[:200].decode(errors="replace").split())
