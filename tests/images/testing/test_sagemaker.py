"""SageMaker's contract: an image that keeps it, and each clause broken in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from seatrial.config.model import Call
from seatrial.images.testing.model import TestSpec
from support.debian import Item, base, folder, needs_bwrap, own_cache
from support.ml import checks

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = """#!/usr/bin/python3
import http.server, os, signal, sys, time
if sys.argv[1:] not in ([], ["serve"]):
    sys.exit("what is %s?" % sys.argv[1:])
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(float(os.environ.get("SLOW", "0")))
        self.answer(200 if self.path == os.environ.get("PING", "/ping") else 404)
    def do_POST(self):
        size = int(self.headers["Content-Length"])
        while size > 0:
            size -= len(self.rfile.read(min(size, 1 << 20)))
        if self.path != os.environ.get("INVOKE", "/invocations"): return self.answer(404)
        if int(self.headers["Content-Length"]) > int(os.environ.get("MOST", 1 << 30)): return self.answer(413)
        if self.headers["Content-Type"] != "text/csv": return self.answer(415)
        self.answer(200, ",".join(os.listdir("/opt/ml/model")).encode() if os.path.isdir("/opt/ml/model") else b"none")
    def answer(self, status, body=b""):
        self.send_response(status); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
signal.signal(signal.SIGTERM, signal.SIG_IGN if os.environ.get("STUBBORN") else lambda *_: os._exit(0))
port = int(os.environ.get("SAGEMAKER_BIND_TO_PORT", "8080") if os.environ.get("BINDS") else os.environ.get("ON", "8080"))
http.server.ThreadingHTTPServer(("127.0.0.1", port), Page).serve_forever()
"""
LAYER = [folder("usr/local/bin"), Item("usr/local/bin/serve", SERVER, mode=0o755), Item("srv.csv", "1,2\n")]
LABEL = {"com.amazonaws.sagemaker.capabilities.accept-bind-to-port": "true"}


@pytest.fixture(scope="module")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    for _ in own_cache(tmp_path_factory):
        yield base()


def spec(tmp_path: Path, **settings: Any) -> TestSpec:
    (tmp_path / "rows.csv").write_text("1,2\n")
    calls = (Call(request="rows.csv", content_type="text/csv"),)
    given: dict[str, Any] = {"inference": calls, "start_timeout": 20, "stop_timeout": 20, **settings}
    return TestSpec(sagemaker=True, folder=str(tmp_path), **given)


@pytest.mark.parametrize("entry", [None, ["python3", "/usr/local/bin/serve"]], ids=["program", "argument"])
def test_an_image_that_keeps_the_contract(debian: Path, tmp_path: Path, entry: list[str] | None) -> None:
    found = checks(debian, tmp_path, LAYER, spec(tmp_path), "sagemaker", Entrypoint=entry)
    assert [(check.id, check.status) for check in found] == [
        ("sagemaker:serve", "pass"),
        ("sagemaker:ping", "pass"),
        ("sagemaker:invocations:1", "pass"),
        ("sagemaker:payload", "pass"),
        ("sagemaker:stop", "pass"),
    ]


def test_model_artefacts_are_where_sagemaker_puts_them(debian: Path, tmp_path: Path) -> None:
    (tmp_path / "artefacts").mkdir()
    (tmp_path / "artefacts/model.bin").write_text("weights")
    (tmp_path / "expected.txt").write_text("model.bin")
    call = Call(request="rows.csv", content_type="text/csv", expect="expected.txt")
    asked = spec(tmp_path, inference=(call,), model_data="artefacts")
    found = checks(debian, tmp_path, LAYER, asked, "sagemaker", "standard")
    assert {check.status for check in found} == {"pass"}
    (found_none,) = checks(
        debian, tmp_path / "b", LAYER, spec(tmp_path, model_data="absent"), "sagemaker", "standard"
    )
    assert (found_none.id, found_none.status) == ("sagemaker:model", "fail")


JSON = (Call(method="POST", content_type="application/json", request="rows.csv"),)
# What is broken, the image's settings and the specification, the clause, and what is said of it.
BROKEN: list[tuple[str, dict[str, Any], dict[str, Any], str, str]] = [
    ("refuses serve", {"Entrypoint": ["/usr/bin/python3", "-c", "import sys; sys.exit('what is ' + sys.argv[1])"]}, {}, "serve", "`IMAGE serve` ended with 1: what is serve"),
    ("no serve", {"Env": ["PATH=/usr/bin:/bin"]}, {}, "serve", "no entry point, and no program `serve` in PATH"),
    ("other port", {"Env": ["ON=8081"]}, {"start_timeout": 3}, "serve", "nothing answers GET /ping with 200 on port 8080 within 3 s"),
    ("other ping", {"Env": ["PING=/health"]}, {"start_timeout": 3}, "serve", "nothing answers GET /ping with 200 on port 8080"),
    ("slow ping", {"Env": ["SLOW=2.5"]}, {}, "ping", "SageMaker waits 2 s"),
    ("no invocations", {"Env": ["INVOKE=/predict"]}, {"inference": ()}, "invocations", "POST /invocations answers 404"),
    ("content type", {}, {"inference": JSON}, "invocations:1", "POST /invocations with rows.csv as application/json: answered 415"),
    ("payload", {"Env": ["MOST=1000000"]}, {}, "payload", "25 MB, the most that SageMaker passes on, is refused with 413"),
    ("signal", {"Env": ["STUBBORN=1"]}, {"stop_timeout": 2}, "stop", "still runs 2 s after SIGTERM"),
    ("bind to port", {"Labels": LABEL}, {"start_timeout": 8}, "bind-to-port", "on port 18080"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "asked", "clause", "message"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN]
)
def test_a_broken_clause_is_named(
    debian: Path, tmp_path: Path, settings: dict[str, Any], asked: dict[str, Any], clause: str, message: str
) -> None:
    found = checks(debian, tmp_path, LAYER, spec(tmp_path, **asked), "sagemaker", **settings)
    failures = [check for check in found if check.status == "fail"]
    assert [check.id for check in failures] == [f"sagemaker:{clause}"]
    assert message in failures[0].message
    assert failures[0].fix


def test_an_image_that_says_so_takes_another_port(debian: Path, tmp_path: Path) -> None:
    found = checks(
        debian, tmp_path, LAYER, spec(tmp_path), "sagemaker", "standard", Labels=LABEL, Env=["BINDS=1"]
    )
    assert {check.status for check in found} == {"pass"}
    assert "sagemaker:bind-to-port" in {check.id for check in found}


def test_nobody_is_held_to_it_who_did_not_ask(debian: Path, tmp_path: Path) -> None:
    (found,) = checks(debian, tmp_path, LAYER, TestSpec(), "sagemaker", "standard")
    assert found.status == "skip"
