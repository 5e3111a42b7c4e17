"""`seatrial image test` as people and programs use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from support.debian import PACKAGES, Item, base, image, needs_bwrap, own_cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEATRIAL = [sys.executable, "-m", "seatrial", "image", "test"]
CODE = """
import http.server, json, os, signal
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.reply(b"")
    def do_POST(self): self.reply(json.dumps({"sum": sum(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))}).encode())
    def reply(self, body):
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http.server.HTTPServer(("", 8080), Page).serve_forever()
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    yield from own_cache(tmp_path_factory)


@pytest.fixture(scope="module")
def layout(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("image") / "layout"
    info = f"{PACKAGES}/thing-1.0.dist-info/METADATA"
    items = [Item("srv/serve.py", CODE), Item(info, "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")]
    image(place, [items], {"Entrypoint": ["python3", "/srv/serve.py"]}, base=base())
    return place


def image_test(*words: str | Path, where: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SEATRIAL, "-C", str(where), *map(str, words)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_json_is_the_verdict_and_nothing_else(layout: Path, tmp_path: Path) -> None:
    done = image_test(layout, "--level", "quick", "--json", where=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout)
    assert answer["verdict"] == "pass"
    assert {"id", "status", "message", "fix"} <= set(answer["checks"][0])
    assert {c["status"] for c in answer["checks"]} <= {"pass", "skip"}
    assert {p.name for p in (tmp_path / "test-reports").iterdir()} == {
        "image-tests.json", "image-tests.xml", "image-tests.html",
    }  # fmt: skip


def test_a_service_is_asked_what_the_files_say(layout: Path, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text("[1, 2]")
    (tmp_path / "out.json").write_text('{"sum": 3}')
    words = ["--request", "in.json", "--expect", "out.json", "--level", "standard"]
    done = image_test(layout, *words, where=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "ok   inference:1: POST /invocations with in.json answered as expected" in done.stdout
    (tmp_path / "out.json").write_text('{"sum": 4}')
    done = image_test(layout, *words, where=tmp_path)
    assert done.returncode == 1
    first, second = done.stdout.splitlines()[:2]
    assert first.startswith(
        "FAIL inference:1: POST /invocations with in.json answered something else than out.json: $.sum"
    )
    assert second.startswith("     fix: ")


def test_mistakes_are_named(layout: Path, tmp_path: Path) -> None:
    (tmp_path / "out.json").write_text("1")
    done = image_test(layout, "--expect", "out.json", where=tmp_path)
    assert done.returncode == 2
    assert "--expect needs --request" in done.stderr
    (tmp_path / "lock.toml").write_text("not a lock")
    assert image_test(layout, "--lock", "lock.toml", where=tmp_path).returncode in (1, 2)
    done = image_test("./nowhere", where=tmp_path)
    assert done.returncode == 1
    assert "not an OCI image layout" in done.stderr
