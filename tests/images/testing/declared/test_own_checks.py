"""Seatrial's own checks of an image: from a file, from seatrial.yaml, and on the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.config.load import load
from seatrial.images.testing.declared.reading import read
from seatrial.images.testing.model import Check, TestSpec
from seatrial.images.testing.suite import run_tests
from seatrial.shipping.testing import spec_of
from support.debian import Item, base, folder, image, needs_bwrap, own_cache, symlink

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = """
import http.server, json, os, time
class Page(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Page.asked += 1
        if Page.asked < 3: return self.answer(503, {})
        if self.path == "/slow": time.sleep(5)
        self.answer(404 if self.path == "/none" else 200, {"path": self.path, "who": self.headers.get("X-Who")})
    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(200, {"sum": sum(rows), "labels": ["a", "b c"], "of": {"x y": 1.001}})
    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status); self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Page).serve_forever()
"""
ITEMS = [
    folder("srv"),
    Item("srv/serve.py", SERVER),
    Item("srv/tool", "#!/bin/sh\necho hi\necho oops >&2\nexit 3\n", mode=0o755, uid=5, gid=6),
    symlink("srv/link", "tool"),
    Item("srv/set", "x", mode=0o4711),
    Item("usr/share/doc/fine/copyright", "MIT"),
    Item("usr/share/doc/odd/copyright", "SSPL"),
]
SETTINGS: dict[str, Any] = {
    "Env": ["PATH=/usr/bin:/bin", "WHERE=/srv"], "Entrypoint": ["python3", "/srv/serve.py"], "User": "1000:1000",
    "ExposedPorts": {"8080/tcp": {}}, "Labels": {"v": "1.10"}, "WorkingDir": "/srv",
}  # fmt: skip
GOOD = """
commands:
  - {name: tool, command: [/srv/tool], exit_code: 3, output: ['^hi\\n$'], no_output: [oops], error: [oops], no_error: [hi]}
  - {name: setup, command: [cat, /tmp/a], setup: [[touch, /tmp/a], [sh, -c, 'echo two > /tmp/a']], output: [two]}
  - {name: fresh, command: [test, '!', -e, /tmp/a]}
  - {name: as another, command: [sh, -c, 'id -u; pwd; echo $A'], user: root, workdir: /usr, env: {A: 1.10}, output: ['^0\\n/usr\\n1.10\\n$']}
  - {name: no network, command: [cat, /proc/net/dev], no_output: ['eth\\d']}
files:
  - {path: $WHERE/tool, kind: file, permissions: '0755', uid: 5, gid: 6, executable_by: owner, contains: ['^#!/bin/sh\\n'], excludes: [bash]}
  - {path: /srv/link, kind: link, permissions: lrwxrwxrwx, contains: [exit 3]}
  - {path: /srv/set, permissions: -rws--x--x}
  - {path: /srv, kind: folder}
  - {path: /etc/hosts.none, exists: false}
metadata:
  {env: {WHERE: /srv}, env_matches: {PATH: bin$}, no_env: [SECRET], labels: {v: 1.10}, label_matches: {v: '^1'}, user: 1000:1000,
   entrypoint: [python3, /srv/serve.py], command: [], ports: [8080], no_ports: [22], no_volumes: [/data], workdir: /srv}
licenses: {files: [/usr/share/doc/fine/copyright], deny: [SSPL]}
http:
  port: 9000
  requests:
    - {path: /ping, header: {content-type: '^application/json'}, json: '{"path": "/ping", "who": null}'}
    - {path: /x, headers: {X-Who: me}, json_at: {$.who: '"me"'}}
    - {path: /none, status: 404}
    - {path: /sum, body: '[1, 2]', json_at: {$.sum: 3, '$.labels[1]': '"b c"', '$.of["x y"]': 1}, tolerance: 0.01, contains: [sum], excludes: [mean]}
    - {path: /sum, name: file, body_file: in.json, json_file: out.json}
"""
# a check of a file, which id fails, what is said
BAD = [
    ("commands: [{command: [/srv/tool]}]", "command:/srv/tool", "expected exit code 0, got 3: oops"),
    ("commands: [{name: a, command: ['true'], setup: [['false']]}]", "command:a", "`false` ended with 1"),
    ("commands: [{name: a, command: [sleep, 60], timeout: 0.5}]", "command:a", "expected an end within 0.5 s"),
    ("commands: [{name: a, command: [/srv/serve.py]}]", "command:a", "is not executable"),
    ("files: [{path: /srv/tool, permissions: 644}]", "file:/srv/tool", "got 0755"),
    ("files: [{path: /srv/tool, kind: folder}]", "file:/srv/tool", "to be a folder, got a file"),
    ("files: [{path: /srv/none, contains: [x]}]", "file:/srv/none", "must exist"),
    ("files: [{path: /srv/link, excludes: [exit]}]", "content:/srv/link", "must not have 'exit'"),
    ("metadata: {label_matches: {v: '^2'}}", "metadata", "expected the label v to match '^2', got '1.10'"),
    ("licenses: {debian: true, deny: [SSPL]}", "license", "odd/copyright must not have SSPL"),
    ("http: {requests: [{path: /none}]}", "http:GET /none", "expected status 200, got 404"),
    ("http: {requests: [{path: /sum, body: '[1]', json_at: {$.sum: 2}}]}", "http:POST /sum", "expected $.sum to be 2, got 1"),
    ("http: {requests: [{path: /x, header: {X-None: a}}]}", "http:GET /x", "expected the header X-None"),
    ("http: {requests: [{path: /x, json_at: {sum: 2}}]}", "http", "'sum' is no place in JSON"),
    ("http: {requests: [{path: /x}, {path: /slow, timeout: 0.3}]}", "http:GET /slow", "expected an answer to GET /slow"),
    ("http: {command: [--help], requests: [{path: /x}], env: {PORT: none}}", "http", "it ended with 1"),
    ("{}", "declared", "no test is declared in checks.yaml"),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    yield from own_cache(tmp_path_factory)


@pytest.fixture(scope="module")
def layout(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("image") / "layout"
    image(place, [ITEMS], SETTINGS, base=base())
    return place


def answers(layout: Path, spec: TestSpec) -> list[Check]:
    return list(run_tests(layout, level="quick", spec=spec, only=("declared",)).checks)


def wanted_files(folder: Path) -> None:
    (folder / "in.json").write_text("[1, 2, 3]")
    (folder / "out.json").write_text('{"sum": 6.0, "labels": ["a", "b c"], "of": {"x y": 1.001}}')


def test_what_holds_passes_each_under_its_name(layout: Path, tmp_path: Path) -> None:
    wanted_files(tmp_path)
    (tmp_path / "checks.yaml").write_text(GOOD)
    found = answers(layout, TestSpec(declared=(read(tmp_path / "checks.yaml", "checks.yaml"),)))
    assert [(one.id, one.message) for one in found if one.status != "pass"] == []
    assert {one.id for one in found} >= {
        "command:tool", "command:fresh", "file:$WHERE/tool", "content:$WHERE/tool", "metadata", "license",
        "http:GET /ping", "http:POST /sum", "http:file",
    }  # fmt: skip


@pytest.mark.parametrize(("text", "identifier", "said"), BAD)
def test_what_does_not_hold_says_expected_and_got(
    layout: Path, tmp_path: Path, text: str, identifier: str, said: str
) -> None:
    (tmp_path / "checks.yaml").write_text(f"# one\n{text}\n")
    found = answers(layout, TestSpec(declared=(read(tmp_path / "checks.yaml", "checks.yaml"),)))
    assert found[0].status == "fail", found
    assert found[0].id == identifier
    assert said in found[0].message
    assert found[0].fix


def test_checks_in_seatrial_yaml_are_asked_and_named_by_their_line(layout: Path, tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text("files:\n- {path: /srv/none}\n")
    (tmp_path / "seatrial.yaml").write_text(
        "images:\n  app:\n    test:\n      config: [more.yaml]\n      checks:\n"
        "        files:\n          - {path: /srv/tool}\n          - {path: /srv/other}\n"
    )
    project = load(tmp_path, environ={}).images["app"]
    found = {one.id: one for one in answers(layout, spec_of(str(tmp_path), project, None))}
    assert {name: one.status for name, one in found.items()} == {
        "file:/srv/tool": "pass", "file:/srv/other": "fail", "file:/srv/none": "fail",
    }  # fmt: skip
    assert "seatrial.yaml:8" in found["file:/srv/other"].fix
    assert "more.yaml:2" in found["file:/srv/none"].fix


def test_equal_names_are_told_apart(layout: Path, tmp_path: Path) -> None:
    (tmp_path / "checks.yaml").write_text("files: [{path: /srv}, {path: /srv}]\n")
    found = answers(layout, TestSpec(declared=(read(tmp_path / "checks.yaml"),)))
    assert [one.id for one in found] == ["file:/srv", "file:/srv#2"]


def test_the_command_line_takes_both_forms(layout: Path, tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text("files:\n- {path: /srv/tool}\n- {path: /srv/none}\n")
    (tmp_path / "cst.json").write_text(
        json.dumps(
            {"schemaVersion": "2.0.0", "commandTests": [{"name": "hi", "command": "echo", "args": ["hi"]}]}
        )
    )
    line = [
        sys.executable,
        "-m",
        "seatrial",
        "image",
        "test",
        "-C",
        str(tmp_path),
        str(layout),
        "--level",
        "quick",
    ]
    both = [*line, "--config", "own.yaml", "--config", "cst.json", "--json"]
    done = subprocess.run(
        both, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 1, done.stdout + done.stderr
    checks = {one["id"]: one for one in json.loads(done.stdout)["checks"]}
    assert checks["command:hi"]["status"] == checks["file:/srv/tool"]["status"] == "pass"
    assert checks["file:/srv/none"]["status"] == "fail"
    assert "own.yaml:3" in checks["file:/srv/none"]["fix"]
    (tmp_path / "own.yaml").write_text("files:\n- {pth: /srv/tool}\n")
    done = subprocess.run(
        both, env=dict(os.environ), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 2
    assert "own.yaml:2:4" in done.stderr
    assert "the nearest one is path" in done.stderr
