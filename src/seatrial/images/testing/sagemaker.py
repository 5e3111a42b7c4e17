"""SageMaker's contract for hosting, clause by clause, on the image started as SageMaker starts it.

docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html: `docker run IMAGE serve`; GET /ping
answers 200 within 2 s; POST /invocations, on port 8080; model artefacts in /opt/ml/model, read-only; SIGTERM, and
SIGKILL 30 s later; an answer within 60 s. docs.aws.amazon.com/general/latest/gr/sagemaker.html: payloads up to 25 MB.
docs.aws.amazon.com/sagemaker/latest/dg/build-multi-model-build-container.html and inference-pipelines.html: where the
image says that it accepts it, the port is the one in SAGEMAKER_BIND_TO_PORT.
That a connection is accepted within 250 ms cannot be seen here: the carrier to the sandbox accepts it first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from seatrial import answers, readiness
from seatrial.clock import SystemClock
from seatrial.errors import SeatrialError
from seatrial.images import runtime
from seatrial.images.rootfs import locate
from seatrial.images.runtimes.launch import DEFAULT_PATH
from seatrial.images.testing.model import Check, Subject, failed, passed, skipped
from seatrial.images.testing.serving import Server, end, started
from seatrial.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.config.model import Call

PORT = 8080
OTHER_PORT = 18_080
BIND_LABEL = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port"
_MODEL = "/opt/ml/model"
_PING_LIMIT, _ANSWER_LIMIT, _STOP_LIMIT = 2.0, 60.0, 30.0
_LARGEST = 25 * 1024 * 1024
_PINGS = 3
_PATIENCE = 10.0
_OK, _NOT_FOUND, _NO_METHOD, _TOO_LARGE = 200, 404, 405, 413
_SHELLS = {"sh", "bash", "dash", "ash"}


def check(subject: Subject) -> Iterator[Check]:
    """One answer for each clause; what cannot be asked after a broken one is not."""
    if not subject.spec.sagemaker:
        yield skipped("sagemaker", "not asked for (--sagemaker, images.NAME.test.sagemaker)")
        return
    line = _command(subject)
    if isinstance(line, Check):
        yield line
        return
    yield from _hosted(subject, line)
    if str((subject.root.settings.get("Labels") or {}).get(BIND_LABEL, "")).lower() == "true":
        yield from _other_port(subject, line)


def _command(subject: Subject) -> list[str] | Check:
    """The arguments to start it with, or the clause that says why `serve` cannot start anything."""
    if subject.root.settings.get("Entrypoint"):
        return ["serve"]
    variables = dict(str(item).partition("=")[::2] for item in subject.root.settings.get("Env") or [])
    folders = variables.get("PATH", DEFAULT_PATH).split(":")
    if any(locate(subject.root, f"{folder}/serve")[1] is not None for folder in folders):
        return ["serve"]
    return failed(
        "sagemaker:serve",
        "SageMaker runs `IMAGE serve`: the image has no entry point, and no program `serve` in PATH",
        "give the image an entry point that takes the argument `serve`, or put a program of that name into /usr/local/bin",
    )


def _hosted(subject: Subject, line: list[str]) -> Iterator[Check]:
    data = subject.spec.model_data
    binds: tuple[runtime.Bind, ...] = ()
    if data:
        place = Path(subject.spec.folder, data)
        if not place.is_dir():
            yield failed(
                "sagemaker:model",
                f"{data} is no folder",
                "correct model_data: the folder with what model.tar.gz holds",
            )
            return
        binds = (runtime.Bind(str(place.resolve()), _MODEL),)
    with started(subject, line, subject.spec.env, PORT, binds) as server:
        ready = _answers_ping(server, subject, "sagemaker:serve", PORT)
        yield ready
        if ready.status == "fail":
            return
        yield _ping(server)
        yield from _invocations(server, subject)
        if subject.at_least("full"):
            yield _largest(server, subject)
        yield _stop(server, subject)


def _other_port(subject: Subject, line: list[str]) -> Iterator[Check]:
    env = {**subject.spec.env, "SAGEMAKER_BIND_TO_PORT": str(OTHER_PORT)}
    with started(subject, line, env, OTHER_PORT) as server:
        found = _answers_ping(server, subject, "sagemaker:bind-to-port", OTHER_PORT)
    yield found


def _answers_ping(server: Server, subject: Subject, identifier: str, port: int) -> Check:
    """The server comes up on the port within its start timeout."""
    clock = SystemClock()
    limit = subject.spec.start_timeout

    def ended() -> str | None:
        code = server.process.poll()
        return None if code is None else f"it ended with {code}"

    try:
        ready = readiness.wait_http(
            f"{server.url}/ping", deadline=clock.now() + limit, clock=clock, alive=ended, timeout=_PATIENCE
        )
    except SeatrialError as error:
        words = server.last_words().splitlines()
        code = server.process.poll()
        if code is not None:
            last = words[-1][:300] if words else "it said nothing"
            message = f"`IMAGE serve` ended with {code}: {last}"
            fix = (
                "let the entry point take the argument `serve` and start the server: SageMaker gives no other"
            )
        else:
            why = error.why or error.what
            message = f"nothing answers GET /ping with 200 on port {port} within {limit:g} s of `IMAGE serve`: {why}"
            fix = (
                f"listen on 0.0.0.0:{port} and answer /ping"
                if port == PORT
                else "listen on the port in SAGEMAKER_BIND_TO_PORT when it is set, or take the label away"
            )
        return failed(identifier, message, fix, words)
    return passed(
        identifier,
        f"`IMAGE serve` answers /ping on port {port} after {ready.waited:.1f} s",
        _remarks(subject),
    )


def _remarks(subject: Subject) -> Iterator[str]:
    user = str(subject.root.settings.get("User") or "root")
    if user.partition(":")[0] not in {"root", "0"}:
        yield f"it runs as {user}: AWS expects containers to run as root"
    entry = subject.root.settings.get("Entrypoint") or []
    if entry and str(entry[0]).rpartition("/")[2] in _SHELLS and "-c" in entry:
        yield "the entry point is a shell's -c: arguments such as `serve` are not handed on, nor are signals without exec"


def _ping(server: Server) -> Check:
    slowest = 0.0
    for _ in range(_PINGS):
        try:
            answer = readiness.request("GET", f"{server.url}/ping", timeout=_PATIENCE)
        except TransportError as error:
            return failed(
                "sagemaker:ping",
                f"/ping stopped answering: {error.what}",
                "look at the server's log",
                _log(server),
            )
        if answer.status != _OK:
            fix = "answer 200 as long as requests can be served"
            return failed("sagemaker:ping", f"/ping answers {answer.status}, not 200", fix)
        slowest = max(slowest, answer.seconds)
    if slowest > _PING_LIMIT:
        message = f"/ping takes {slowest:.1f} s; SageMaker waits {_PING_LIMIT:g} s"
        return failed(
            "sagemaker:ping", message, "answer without work: load the model once, at start, not in the ping"
        )
    return passed("sagemaker:ping", f"/ping answers 200 within {_PING_LIMIT:g} s ({slowest * 1000:.0f} ms)")


def _invocations(server: Server, subject: Subject) -> Iterator[Check]:
    calls = [call for call in subject.spec.inference if call.path == "/invocations"]
    if not calls:
        yield _empty_request(server)
    for number, call in enumerate(calls, 1):
        yield _call(server, subject, call, f"sagemaker:invocations:{number}")


def _empty_request(server: Server) -> Check:
    """Without a request of the project's: there is something that takes a POST."""
    identifier = "sagemaker:invocations"
    try:
        answer = readiness.request(
            "POST",
            f"{server.url}/invocations",
            body=b"{}",
            headers={"Content-Type": "application/json"},
            timeout=_ANSWER_LIMIT,
        )
    except TransportError as error:
        return failed(
            identifier,
            f"POST /invocations gets no answer: {error.what}",
            "look at the server's log",
            _log(server),
        )
    if answer.status in {_NOT_FOUND, _NO_METHOD}:
        message = f"POST /invocations answers {answer.status}"
        return failed(identifier, message, "serve POST requests at /invocations")
    return passed(
        identifier,
        f"POST /invocations is served: an empty JSON object gets {answer.status}; declare requests under `inference` to test answers",
    )


def _call(server: Server, subject: Subject, call: Call, identifier: str) -> Check:
    folder = Path(subject.spec.folder)
    if (
        call.request
        and (folder / call.request).is_file()
        and (folder / call.request).stat().st_size > _LARGEST
    ):
        return failed(
            identifier,
            f"{call.request} is larger than the 25 MB that SageMaker takes",
            "send less at a time, or use asynchronous inference",
        )
    try:
        asked = answers.ask(server.url, call, folder)
    except TransportError as error:
        message = f"POST {call.path} as {call.content_type} gets no answer: {error.what}"
        return failed(identifier, message, "look at the server's log", _log(server))
    if asked.problems:
        refused = asked.status in {415, 406}
        fix = (
            f"take {call.content_type} at /invocations"
            if refused
            else "look at the server's log; it is in the details"
        )
        return failed(
            identifier, f"{asked.what} as {call.content_type}: {asked.problems[0]}", fix, _log(server)
        )
    if asked.seconds > _ANSWER_LIMIT:
        message = f"{asked.what} takes {asked.seconds:.0f} s; SageMaker waits {_ANSWER_LIMIT:g} s"
        return failed(identifier, message, "compute less at a time, or use asynchronous inference")
    return passed(
        identifier,
        f"{asked.what} as {call.content_type} answers {asked.status} in {asked.seconds * 1000:.0f} ms",
    )


def _largest(server: Server, subject: Subject) -> Check:
    """The largest payload that SageMaker passes on is not refused for its size; what it means is not asked."""
    kind = next((call.content_type for call in subject.spec.inference), "application/json")
    identifier = "sagemaker:payload"
    try:
        answer = readiness.request(
            "POST",
            f"{server.url}/invocations",
            body=b" " * _LARGEST,
            headers={"Content-Type": kind},
            timeout=_ANSWER_LIMIT,
        )
    except TransportError as error:
        message = f"a payload of 25 MB, the most that SageMaker passes on, gets no answer: {error.what}"
        return failed(
            identifier,
            message,
            "raise the server's limit for bodies, such as client_max_body_size 25m",
            _log(server),
        )
    if answer.status == _TOO_LARGE:
        message = "a payload of 25 MB, the most that SageMaker passes on, is refused with 413"
        return failed(
            identifier, message, "raise the server's limit for bodies, such as client_max_body_size 25m"
        )
    return passed(identifier, f"a payload of 25 MB is taken (answered {answer.status})")


def _stop(server: Server, subject: Subject) -> Check:
    limit = min(_STOP_LIMIT, subject.spec.stop_timeout)
    ended = end(server, limit)
    if not ended:
        return failed(
            "sagemaker:stop",
            f"the server still runs {limit:g} s after SIGTERM; SageMaker kills it after {_STOP_LIMIT:g} s",
            "handle SIGTERM; write the entry point as a list, since a shell does not hand the signal on without `exec`",
        )
    return passed("sagemaker:stop", ended)


def _log(server: Server) -> list[str]:
    return server.last_words().splitlines()
