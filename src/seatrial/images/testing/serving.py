"""The image as a server: SageMaker's contract, and answers compared with the expected ones.

The server runs as it would in production, as process 1 and with its own port, but in a network of its own: two
tests at a time do not meet, and nothing gets out. A port of loopback is carried into that network.
Contract: docs.aws.amazon.com, "Use Your Own Inference Code with Hosting Services": GET /ping answers 200 within
2 s, POST /invocations, SIGTERM and 30 s later SIGKILL.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial import answers, readiness
from seatrial.clock import SystemClock
from seatrial.errors import SeatrialError
from seatrial.images import runtime
from seatrial.images.testing.model import Check, Subject, failed, passed, skipped
from seatrial.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

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
    if subject.spec.sagemaker:
        yield skipped("service", "it is started as SageMaker does: see the sagemaker checks")
        return
    spec = subject.spec
    with started(subject, [], {"PORT": str(spec.port), **spec.env}, spec.port) as server:
        ready = _ready(server, subject)
        yield ready
        if ready.status == "fail":
            return
        yield _ping(server, subject)
        for number, call in enumerate(spec.inference, 1):
            yield _inference(server, subject, call, f"inference:{number}")
        yield _stop(server, subject)


@contextmanager
def started(
    subject: Subject,
    command: Sequence[str],
    env: Mapping[str, str],
    port: int,
    binds: tuple[runtime.Bind, ...] = (),
) -> Iterator[Server]:
    """The image as a server for the length of a block; a port of loopback is carried to its `port`."""
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        log = Path(folder) / "log"
        launch = runtime.Launch(
            env=dict(env),
            network="none",
            publish=(runtime.Publish(listener.fileno(), port),),
            binds=binds,
        )
        with (
            log.open("wb") as stream,
            runtime.start(subject.root, command, launch, stdout=stream, stderr=stream) as process,
        ):
            yield Server(process, f"http://127.0.0.1:{listener.getsockname()[1]}", log)


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
    try:
        asked = answers.ask(server.url, call, Path(subject.spec.folder))
    except TransportError as error:
        message = f"{call.method or 'request to'} {call.path} got no answer: {error.what}"
        return failed(identifier, message, "look at the server's log", server.last_words().splitlines())
    if not asked.problems:
        how = "as expected" if call.expect else str(asked.status)
        return passed(identifier, f"{asked.what} answered {how} in {asked.seconds * 1000:.0f} ms")
    if asked.status != call.status:
        details = server.last_words().splitlines()
        return failed(identifier, f"{asked.what} {asked.problems[0]}", "look at the server's log", details)
    message = f"{asked.what} answered something else than {call.expect}: {asked.problems[0]}"
    fix = "correct the model or the code; if the answer is right, correct the expected one or set a tolerance"
    return failed(identifier, message, fix, asked.problems)


def _stop(server: Server, subject: Subject) -> Check:
    """SIGTERM as the platform sends it: the server has `stop_timeout` seconds before it would be killed."""
    limit = subject.spec.stop_timeout
    ended = end(server, limit)
    if not ended:
        return failed(
            "stop",
            f"the server still runs {limit:g} s after SIGTERM",
            "handle SIGTERM; a shell as entry point must `exec` the server, or it does not hand the signal on",
        )
    return passed("stop", ended)


def end(server: Server, limit: float) -> str:
    """Send SIGTERM, and say how and when the server ended; empty when it runs longer than `limit` seconds."""
    begin = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    try:
        code = server.process.wait(limit)
    except subprocess.TimeoutExpired:
        return ""
    return f"ended with {code}, {time.monotonic() - begin:.1f} s after SIGTERM"


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
