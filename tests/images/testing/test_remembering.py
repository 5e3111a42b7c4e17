"""What passed is not run again as long as nothing that it depends on changes; what protects is always run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from seatrial.config.model import Call, Model, Vulnerabilities
from seatrial.images import cache as caches
from seatrial.images.testing import remembering, suite
from seatrial.images.testing.model import TestSpec, Verdict
from support.debian import PACKAGES, Item, base, folder, image, needs_bwrap, own_cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVER = """
import http.server, json, os, signal
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.reply(b"")
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"])); self.reply(b"[1]")
    def reply(self, body):
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def log_message(self, *args): pass
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http.server.HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Page).serve_forever()
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    yield from own_cache(tmp_path_factory)


def made(layout: Path, *more: Item) -> Path:
    metadata = "Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n"
    info = f"{PACKAGES}/thing-1.0.dist-info"
    record = Item(f"{info}/RECORD", "thing.py,,\n")
    items = [Item(f"{PACKAGES}/thing.py", "x = 1\n"), Item(f"{info}/METADATA", metadata), record]
    image(layout, [[*items, *more]], {"Cmd": ["python3"]}, base=base())
    return layout


@pytest.fixture
def layout(cache: Path, tmp_path: Path) -> Path:
    """An image of this test's own, so that nothing is known of it."""
    return made(tmp_path / "layout", Item("srv/of", str(tmp_path)))


def ran(layout: Path, **settings: Any) -> set[str]:
    """Which checks really ran, by the name of their group."""
    verdict = verdict_of(layout, **settings)
    return {
        check.id.partition(":")[0] for check in verdict.checks if not check.ran and check.status != "skip"
    }


def verdict_of(layout: Path, **settings: Any) -> Verdict:
    return suite.run_tests(layout, **{"level": "quick", "fresh": False, **settings})


def test_only_security_is_asked_twice(layout: Path) -> None:
    first = ran(layout, lock={"thing": "1.0"})
    assert {"imports", "versions", "secrets", "size"} <= first
    assert ran(layout, lock={"thing": "1.0"}) == {"secrets"}
    assert ran(layout, lock={"thing": "1.0"}, fresh=True) == first


def test_what_it_depends_on_is_part_of_it(layout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = {"thing": "1.0"}
    ran(layout, lock=lock)
    assert "imports" in ran(layout, lock=lock, spec=TestSpec(imports=("json",)))
    assert "imports" in ran(layout, lock=lock, level="full")
    assert "versions" in ran(layout, lock={"thing": "1.0.0"})
    monkeypatch.setenv("SEATRIAL_RUNTIME", "bwrap")
    assert "imports" in ran(layout, lock=lock)
    monkeypatch.undo()


def test_another_image_is_another_answer(cache: Path, tmp_path: Path) -> None:
    ran(made(tmp_path / "one", Item("srv/of", str(tmp_path))))
    assert "imports" in ran(made(tmp_path / "two", Item("srv/of", f"{tmp_path} and more")))
    again = made(tmp_path / "three", Item("srv/of", str(tmp_path)))
    assert "imports" not in ran(again), "the same content elsewhere is the same image"


def test_what_failed_runs_again(cache: Path, tmp_path: Path) -> None:
    broken = made(
        tmp_path / "layout", Item(f"{PACKAGES}/thing.py", "import nowhere\n"), Item("srv/of", str(tmp_path))
    )
    assert "imports" in ran(broken)
    verdict = verdict_of(broken)
    assert [check.id for check in verdict.checks if check.status == "fail"] == ["imports:thing"]
    assert all(not check.ran for check in verdict.checks if check.status == "fail")


def test_a_changed_file_of_the_tests_is_noticed(cache: Path, tmp_path: Path) -> None:
    layout = tmp_path / "layout"
    items = [folder("srv"), Item("srv/serve.py", SERVER), Item("srv/of", str(tmp_path))]
    settings = {"Entrypoint": ["python3", "serve.py"], "WorkingDir": "/srv", "ExposedPorts": {"8080/tcp": {}}}
    image(layout, [items], settings, base=base())
    (tmp_path / "in.json").write_text("[1, 2]")
    (tmp_path / "out.json").write_text("[1]")
    call = Call(request="in.json", expect="out.json")
    asked: dict[str, Any] = {"level": "standard", "spec": TestSpec(inference=(call,), folder=str(tmp_path))}
    assert verdict_of(layout, **asked).verdict == "pass"
    assert "inference" not in ran(layout, **asked)
    (tmp_path / "out.json").write_text("[2]")
    assert verdict_of(layout, **asked).verdict == "fail"


@pytest.mark.parametrize("where", ["models/bert", "../beside/bert"])
def test_a_model_that_changed_is_another_question(tmp_path: Path, where: str) -> None:
    project = tmp_path / "project"
    place = project / where
    place.mkdir(parents=True)
    (place / "config.json").write_text("{}")
    spec = TestSpec(folder=str(project), models={"bert": Model(kind="huggingface", path=where)})

    def key() -> dict[str, str]:
        return remembering.keys(["models"], "sha256:" + "0" * 64, level="full", spec=spec, lock=None)

    before = key()
    assert key() == before
    (place / "config.json").write_text('{"hidden_size": 8}')
    assert key() != before


def test_a_new_finding_counts_at_once(layout: Path, tmp_path: Path) -> None:
    """The report is another each day while the image is the same."""
    scan: dict[str, Any] = {"SchemaVersion": 2, "ArtifactName": "x", "Results": []}
    spec = TestSpec(folder=str(tmp_path), vulnerabilities=Vulnerabilities(reports=("scan.json",)))
    (tmp_path / "scan.json").write_text(json.dumps(scan))
    assert verdict_of(layout, spec=spec).verdict == "pass"
    found = {
        "VulnerabilityID": "CVE-2026-0001",
        "PkgName": "thing",
        "InstalledVersion": "1.0",
        "Severity": "HIGH",
    }
    scan["Results"] = [{"Class": "lang-pkgs", "Type": "python-pkg", "Vulnerabilities": [found]}]
    (tmp_path / "scan.json").write_text(json.dumps(scan))
    verdict = verdict_of(layout, spec=spec)
    assert [check.id for check in verdict.checks if check.status == "fail"] == ["vulnerabilities:thing"]
    assert any(check.ran for check in verdict.checks), "the others are still known"


def test_damage_and_pruning_only_cost_time(layout: Path, cache: Path) -> None:
    ran(layout)
    kept = sorted((cache / "tests").iterdir())
    assert kept
    for number, path in enumerate(kept):
        path.write_bytes(b"{" if number % 2 else b"\0" * 50)
    assert "imports" in ran(layout)
    assert "tests" in {entry.kind for entry in caches.entries()}
    for path in (cache / "tests").iterdir():
        os.utime(path, (1, 1))  # as if nobody had used them for long
    everything = sum(entry.size for entry in caches.entries())
    assert caches.prune(everything - 1).removed >= 1
    assert verdict_of(layout).verdict == "pass"


def test_the_command_says_what_it_knew(layout: Path, tmp_path: Path) -> None:
    def command(*words: str) -> subprocess.CompletedProcess[str]:
        argv = [sys.executable, "-m", "seatrial", "image", "test", str(layout), "--level", "quick", *words]
        return subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)

    assert "as on" not in command().stdout
    again = command()
    (line,) = [line for line in again.stdout.splitlines() if line.startswith("ok   imports")]
    assert "(as on 2" in line
    assert "not run again; --fresh runs all" in again.stderr
    checks = json.loads(command("--json").stdout)["checks"]
    assert {c["id"] for c in checks if c["status"] == "pass" and not c["ran"]} == {"secrets"}
    assert "as on" not in command("--fresh").stdout
