"""Start an image once and send it the declared requests, one after the other.

It runs as in production, as process 1, in a network of its own that only these requests reach.
"""

from __future__ import annotations

import json
import re
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from seatrial.clock import SystemClock
from seatrial.errors import SeatrialError
from seatrial.images import runtime
from seatrial.images.testing.declared.commands import unmet
from seatrial.images.testing.declared.model import Problem, Wanted, answer, shown
from seatrial.transport import TransportError

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence

    from seatrial.config.checks import HttpCheck, Request
    from seatrial.images.testing.declared.declaration import Declared
    from seatrial.images.testing.model import Check, Subject
    from seatrial.readiness import Answer

_UNAVAILABLE = 503
_PAUSE, _PATIENCE = 0.05, 5.0
_LOG_LINES = 15
_STEP = re.compile(r"\.([A-Za-z_][A-Za-z0-9_-]*)|\[(-?\d+)\]|\[\"([^\"]*)\"\]|\['([^']*)'\]")


class _Server(NamedTuple):
    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def last_words(self) -> list[str]:
        return self.log.read_text(errors="replace").strip().splitlines()[-_LOG_LINES:]


def check(subject: Subject, declared: Declared, said: HttpCheck) -> Iterator[Check]:
    """An answer for each request; when the image does not come up, one that says why."""
    if not said.requests:
        return
    port = said.port or subject.spec.port
    with tempfile.TemporaryDirectory(prefix="seatrial-") as folder, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        launch = runtime.Launch(
            env={"PORT": str(port), **subject.spec.env, **said.env},
            network="none",
            publish=(runtime.Publish(listener.fileno(), port),),
            own_tmp=True,
        )
        log = Path(folder) / "log"
        with (
            log.open("wb") as stream,
            runtime.start(subject.root, said.command, launch, stdout=stream, stderr=stream) as process,
        ):
            server = _Server(process, f"http://127.0.0.1:{listener.getsockname()[1]}", log)
            limit = said.start_timeout or subject.spec.start_timeout
            trouble = _wait(server, said.requests[0].path, limit)
            if trouble:
                message = f"expected an answer on port {port} within {limit:g} s, and {trouble}"
                yield answer("http", "", [(message, declared.at("http"))], server.last_words())
                return
            for number, request in enumerate(said.requests):
                yield _ask(server, declared, request, f"http.requests[{number}]")


def _wait(server: _Server, path: str, limit: float) -> str:
    """Ask until there is any answer; returns why there is none. One that says it is not ready yet is asked again."""
    from seatrial.readiness import request

    clock = SystemClock()
    deadline = clock.now() + limit
    status = 0
    while clock.now() < deadline:
        if server.process.poll() is not None:
            words = server.last_words()
            return f"it ended with {server.process.returncode}: {words[-1] if words else 'it said nothing'}"
        try:
            left = max(0.1, min(_PATIENCE, deadline - clock.now()))
            status = request("GET", server.url + path, timeout=left).status
        except TransportError:
            status = 0
        if status not in (0, _UNAVAILABLE):
            return ""
        clock.sleep(_PAUSE)
    return "" if status else "there was none"


def _ask(server: _Server, declared: Declared, said: Request, key: str) -> Check:
    from seatrial.readiness import request

    folder = Path(declared.folder)
    body = said.body if said.body_file is None else _read(folder, said.body_file)
    method = said.method or ("GET" if body is None else "POST")
    identifier, where = f"http:{said.name or f'{method} {said.path}'}", declared.at(key)
    headers = dict(said.headers)
    if body is not None and "content-type" not in {name.lower() for name in headers}:
        headers["Content-Type"] = "application/json"
    try:
        got = request(method, server.url + said.path, body=body, headers=headers, timeout=said.timeout)
    except TransportError as error:
        message = f"expected an answer to {method} {said.path}, and {error.what}"
        return answer(identifier, "", [(message, where)], server.last_words())
    problems = list(_problems(got, declared, said, key))
    good = f"{method} {said.path} answered {got.status} as expected in {got.seconds * 1000:.0f} ms"
    found = answer(identifier, good, problems, server.last_words() if problems else ())
    return msgspec.structs.replace(found, seconds=round(got.seconds, 3))


def _problems(got: Answer, declared: Declared, said: Request, key: str) -> Iterator[Problem]:
    where, text = declared.at(key), got.body.decode(errors="replace")
    if got.status != said.status:
        yield (
            f"expected status {said.status}, got {got.status}: {shown(text.strip()) if text.strip() else 'an empty body'}",
            where,
        )
    if got.seconds > said.timeout:
        yield f"expected the answer within {said.timeout:g} s, and it took {got.seconds:.1f} s", where
    present = {name.lower(): value for name, value in got.headers.items()}
    for name, pattern in said.header.items():
        place = declared.at(f"{key}.header.{name}")
        value = present.get(name.lower())
        if value is None:
            yield f"expected the header {name}, and there is none", place
        else:
            yield from unmet((Wanted(pattern, True, place),), value, f"the header {name}")
    yield from unmet(_wanted(declared, f"{key}.contains", said.contains, found=True), text, "the body")
    yield from unmet(_wanted(declared, f"{key}.excludes", said.excludes, found=False), text, "the body")
    yield from _json(got, declared, said, key)


def _json(got: Answer, declared: Declared, said: Request, key: str) -> Iterator[Problem]:
    from seatrial.readiness import compare

    expected: list[tuple[str, Any, str]] = []
    if said.json is not None:
        expected.append(("$", json.loads(said.json), declared.at(f"{key}.json")))
    if said.json_file is not None:
        place = declared.at(f"{key}.json_file")
        try:
            expected.append(("$", json.loads(_read(Path(declared.folder), said.json_file)), place))
        except ValueError as error:
            raise SeatrialError(f"{said.json_file} is not JSON: {error}", where=place) from error
    expected += [
        (path, json.loads(value), declared.at(f"{key}.json_at.{path}"))
        for path, value in said.json_at.items()
    ]
    if not expected:
        return
    try:
        body = json.loads(got.body)
    except ValueError:
        yield f"expected JSON, got {shown(got.body.decode(errors='replace').strip())}", expected[0][2]
        return
    for path, value, place in expected:
        found, actual = _at(body, path)
        if not found:
            yield f"expected {path} in the answer's JSON, and there is none", place
            continue
        for one in compare(value, actual, said.tolerance, path=path):
            yield f"expected {one.path} to be {one.expected!r}, got {one.actual!r} ({one.why})", place


def _at(value: Any, path: str) -> tuple[bool, Any]:
    """The value at a place such as `$.scores[0]["a b"]`, and whether there is one.

    Raises:
        SeatrialError: the place is not written like that.
    """
    rest = path.removeprefix("$")
    while rest:
        step = _STEP.match(rest)
        if step is None or rest == path:
            raise SeatrialError(f"{path!r} is no place in JSON", fix='write $.key[0]["other key"]')
        rest = rest[step.end() :]
        try:
            name = next(part for part in (step[1], step[3], step[4], step[2]) if part is not None)
            value = value[int(name)] if step[2] is not None and isinstance(value, list) else value[name]
        except (KeyError, IndexError, TypeError):
            return False, None
    return True, value


def _wanted(declared: Declared, key: str, patterns: Sequence[str], *, found: bool) -> tuple[Wanted, ...]:
    return tuple(
        Wanted(pattern, found, declared.at(f"{key}[{number}]")) for number, pattern in enumerate(patterns)
    )


def _read(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError as error:
        raise SeatrialError(f"cannot read: {error.strerror}", where=str(folder / name)) from error
