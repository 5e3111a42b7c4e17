"""The example really has its conflict, really works without it, and its model is what its script makes."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from seatrial.config import check_text, load
from seatrial.readiness import compare, free_port
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.config import Call

EXAMPLE = Path(__file__).parents[2] / "examples/iris-service"
BROKEN, WORKING = "numpy==2.1.3", "numpy==1.26.4"
PATIENCE = 30.0


def environment_for(folder: Path, requirements: str) -> Path:
    """The interpreter of a fresh virtual environment with these requirements."""
    if not (3, 11) <= sys.version_info < (3, 13):
        pytest.skip("onnxruntime 1.17.3 has wheels for Python 3.11 and 3.12 only")
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "-q", "--python", sys.executable, folder], check=True)
    (folder / "requirements.txt").write_text(requirements)
    python = folder / "bin/python"
    done = subprocess.run(
        [uv, "pip", "install", "-q", "--python", python, "-r", folder / "requirements.txt"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    if done.returncode == 2:  # noqa: SIM102 - uv's code for what is not about the packages
        if "error sending request" in done.stderr or "Failed to fetch" in done.stderr:
            pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory) -> Path:
    text = (EXAMPLE / "requirements.txt").read_text()
    assert BROKEN in text
    return environment_for(tmp_path_factory.mktemp("working") / "venv", text.replace(BROKEN, WORKING))


def test_every_resolver_accepts_the_requirements_and_the_import_fails(tmp_path: Path) -> None:
    python = environment_for(tmp_path / "venv", (EXAMPLE / "requirements.txt").read_text())
    done = subprocess.run([python, "-c", "import onnxruntime"], capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "_ARRAY_API not found" in done.stderr


@contextmanager
def service(python: Path) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The running service and its port, once it answers /ping."""
    port = free_port()
    environ = {**os.environ, "PORT": str(port), "HOST": "127.0.0.1", "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen([python, EXAMPLE / "serve.py"], env=environ, stderr=subprocess.PIPE) as process:
        try:
            until(
                lambda: answers_ping(port) or process.poll() is not None,
                "the service starts",
                seconds=PATIENCE,
            )
            assert process.poll() is None, process.stderr and process.stderr.read().decode()
            yield process, port
        finally:
            process.kill()


def answers_ping(port: int) -> bool:
    try:
        return ask(port, "GET", "/ping")[0] == 200
    except ConnectionError:
        return False


def ask(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str, str]:
    """Status, content type and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        return answer.status, answer.headers.get_content_type(), answer.read().decode()
    finally:
        connection.close()


def test_it_answers_what_its_configuration_says(working: Path) -> None:
    config = load(EXAMPLE, environ={})
    calls = [*config.services["iris"].verify, *config.images["iris"].test.inference]
    with service(working) as (_, port):
        for call in calls:
            check(port, call)


def check(port: int, call: Call) -> None:
    body = (EXAMPLE / call.request).read_bytes() if call.request else b""
    headers = {"content_type": call.content_type, **({"accept": call.accept} if call.accept else {})}
    status, kind, text = ask(port, call.method or "POST", call.path, body, **headers)
    assert status == call.status, text
    if call.expect is None:
        return
    expected = (EXAMPLE / call.expect).read_text()
    if kind == "application/json":
        assert compare(json.loads(expected), json.loads(text), call.tolerance) == []
    else:
        assert kind == call.accept
        assert compare(_table(expected), _table(text), call.tolerance) == []


def _table(text: str) -> list[list[str | float]]:
    rows = [line.split(",") for line in text.splitlines()]
    return [[row[0], *(float(one) for one in row[1:])] for row in rows]


REFUSED = {
    "not JSON": (b"{", "application/json", 400),
    "no rows": (b'{"instances": []}', "application/json", 400),
    "other shape": (b'{"rows": [[1, 2, 3, 4]]}', "application/json", 400),
    "a text in a row": (b'{"instances": [[1, 2, 3, "4"]]}', "application/json", 400),
    "not a number": (b'{"instances": [[1, 2, 3, NaN]]}', "application/json", 400),
    "deep nesting": (b"[" * 100_000, "application/json", 400),
    "words in CSV": (b"a,b,c,d\n", "text/csv", 400),
    "five columns": (b"1,2,3,4,5\n", "text/csv", 400),
    "not UTF-8": (b"\xff\xfe1", "text/csv", 400),
    "another type": (b"<x/>", "application/xml", 415),
    "too large": (b"1" * (6 * 1024 * 1024 + 1), "text/csv", 413),
}


def test_what_cannot_be_answered_is_refused_with_a_reason(working: Path) -> None:
    with service(working) as (process, port):
        for name, (body, kind, expected) in REFUSED.items():
            status, _, text = ask(port, "POST", "/invocations", body, content_type=kind)
            assert status == expected, f"{name}: {text}"
            assert json.loads(text)["error"], name
        status, _, text = ask(
            port, "POST", "/invocations", b"5,3,1,0", content_type="text/csv", accept="image/png"
        )
        assert status == 406, text
        assert process.poll() is None


def test_sigterm_ends_it_cleanly_and_answers_the_request_that_is_open(working: Path) -> None:
    body = (EXAMPLE / "verify/request.csv").read_bytes()
    with service(working) as (process, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        connection.putrequest("POST", "/invocations")
        connection.putheader("content-type", "text/csv")
        connection.putheader("content-length", str(len(body)))
        connection.endheaders()
        connection.send(body[:20])
        assert answers_ping(port)  # asked later, so the half request has arrived as well
        process.send_signal(signal.SIGTERM)
        until(lambda: not answers_ping(port), "the service accepts no more requests")
        connection.send(body[20:])
        answer = connection.getresponse()

        assert answer.status == 200
        answer.read()
        connection.close()
        assert process.wait(PATIENCE) == 0


def test_the_committed_model_is_what_its_script_makes(tmp_path: Path) -> None:
    python = environment_for(tmp_path / "venv", (EXAMPLE / "training/requirements.txt").read_text())
    made = tmp_path / "made.onnx"
    subprocess.run(
        [python, EXAMPLE / "training/train.py", made], check=True, timeout=300, capture_output=True
    )
    # Another processor's arithmetic may change last digits, nothing else.
    script = """
import sys, onnx, numpy as np
one, two = (onnx.load(path) for path in sys.argv[1:])
assert one.opset_import == two.opset_import
assert len(one.graph.node) == len(two.graph.node)
for left, right in zip(one.graph.node, two.graph.node):
    assert (left.op_type, list(left.input), list(left.output)) == (right.op_type, list(right.input), list(right.output))
    for a, b in zip(left.attribute, right.attribute):
        assert a.name == b.name
        np.testing.assert_allclose(a.floats, b.floats, rtol=1e-4, atol=1e-5)
"""
    subprocess.run([python, "-c", script, EXAMPLE / "model/iris.onnx", made], check=True, timeout=60)


def test_its_configuration_has_no_mistake_and_a_copy_is_complete(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(EXAMPLE, tmp_path / "copy"))

    assert check_text("seatrial.yaml", (copy / "seatrial.yaml").read_text(), copy) == []
