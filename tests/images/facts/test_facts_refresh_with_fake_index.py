"""`image facts refresh` against a small fake index on loopback: it speaks the real protocol, its packages are made up.

The project's names are tracked ones, so that the plan applies; versions and requirements are the test's.
"""

from __future__ import annotations

import io
import json
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from seatrial.cli.image_facts import refresh
from seatrial.errors import SeatrialError
from seatrial.images import facts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LINUX = "manylinux_2_28_x86_64"


class FakeIndex:
    """Packages as the simple API (PEP 691) shows them; `asked` are the paths that were requested."""

    def __init__(self) -> None:
        self.files: dict[str, list[dict[str, Any]]] = {}
        self.bodies: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.address = ""

    def add(self, name: str, filename: str, *, requires: tuple[str, ...] | None = (), **more: Any) -> None:
        """`requires` is served as the wheel's metadata file; None serves none."""
        entry = {
            "filename": filename,
            "url": f"../../files/{filename}",
            "hashes": {},
            "upload-time": "2026-01-02T03:04:05Z",
        }
        self.files.setdefault(name, []).append({**entry, **more})
        if requires is not None:
            self.bodies[f"/files/{filename}.metadata"] = metadata(requires).encode()


def metadata(requires: tuple[str, ...]) -> str:
    return "Metadata-Version: 2.1\nName: x\nVersion: 1\n" + "".join(
        f"Requires-Dist: {one}\n" for one in requires
    )


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeIndex]:
    fake = FakeIndex()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            fake.asked.append(self.path)
            name = self.path.removeprefix("/simple/").strip("/")
            if self.path.startswith("/simple/") and name in fake.files:
                page = {"meta": {"api-version": "1.1"}, "name": name, "files": fake.files[name]}
                self._send(200, json.dumps(page).encode())
            elif self.path in fake.bodies:
                self._part(fake.bodies[self.path])
            else:
                self._send(404, b"")

        def _part(self, body: bytes) -> None:
            wanted = self.headers.get("Range", "")
            if not wanted:
                self._send(200, body)
                return
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            start = int(first) if first else max(0, len(body) - int(last))
            stop = min(int(last) + 1 if first else len(body), len(body))
            self._send(206, body[start:stop], ("Content-Range", f"bytes {start}-{stop - 1}/{len(body)}"))

        def _send(self, code: int, body: bytes, *headers: tuple[str, str]) -> None:
            self.send_response(code)
            for one in (*headers, ("Content-Length", str(len(body)))):
                self.send_header(*one)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    fake.address = f"http://127.0.0.1:{server.server_port}/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", fake.address)
    monkeypatch.setenv("SEATRIAL_HOME", str(tmp_path / "home"))
    facts.forget()
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()
    facts.forget()


def refreshed(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(refresh, [*arguments, "--json"], catch_exceptions=False)
    assert done.exit_code == 0
    facts.forget()
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def everything_of(index: FakeIndex, name: str) -> None:
    """Serve what our own table says, so that nothing seems lost."""
    for one in facts.releases(name):
        if one.linux:
            index.add(
                name, f"{name.replace('-', '_')}-{one.version}-py3-none-{LINUX}.whl", requires=one.requires
            )
        else:
            index.add(name, f"{name}-{one.version}.tar.gz", requires=None)
    index.asked.clear()


def test_a_new_release_is_found_and_used_from_then_on(index: FakeIndex, tmp_path: Path) -> None:
    everything_of(index, "autoawq")
    index.add(
        "autoawq",
        f"autoawq-9.1-cp312-cp312-{LINUX}.whl",
        requires=(
            "torch==2.7.1",
            "unheard-of>=1",
            'triton; platform_system == "Windows"',
            'numpy; python_version < "3.10"',
        ),
        **{"requires-python": ">=3.9"},
    )

    seen = refreshed("--package", "autoawq")
    assert facts.release("autoawq", "9.1") is None  # only looked
    kept = refreshed("--package", "autoawq", "--write")

    added = {"package": "autoawq", "version": "9.1", "what": "added", "old": "", "new": "2026-01-02, cp312"}
    assert added in seen["changes"]
    assert seen["written"] == []
    assert kept["written"] == [str(tmp_path / "home/facts/autoawq.json")]
    one = facts.release("autoawq", "9.1")
    assert one is not None
    assert (one.linux, one.glibc, one.python) == (("cp312",), "2.28", ">=3.9")
    assert one.requires == ("numpy; python_version < '3.10'", "torch==2.7.1")
    assert str(facts.needs(one, "torch")) == "==2.7.1"
    assert facts.needs(one, "numpy", python="3.12") is None
    assert facts.newest("autoawq") == one


def test_the_metadata_of_a_known_release_is_not_asked_for_again(index: FakeIndex) -> None:
    everything_of(index, "autoawq")
    refreshed("--package", "autoawq")
    known = [one.version for one in facts.releases("autoawq") if one.requires is not None]
    first = [path for path in index.asked if any(f"-{version}-" in path for version in known)]
    refreshed("--package", "autoawq", "--again")
    again = [path for path in index.asked if path.endswith(".metadata")]

    assert first == []
    assert again


def test_metadata_is_read_out_of_the_wheel_where_there_is_no_file_of_it(index: FakeIndex) -> None:
    everything_of(index, "autoawq")
    name = f"autoawq-9.2-py3-none-{LINUX}.whl"
    index.add("autoawq", name, requires=None)
    wheel = io.BytesIO()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3000):  # a directory that is larger than the first part that is fetched
            archive.writestr(f"autoawq/some/long/folder/name/module_{number}.py", "")
        archive.writestr("autoawq-9.2.dist-info/METADATA", metadata(("torch (==2.6.0)",)))
        archive.writestr("autoawq/weights.bin", bytes(range(256)) * 4000, zipfile.ZIP_STORED)
    index.bodies[f"/files/{name}"] = wheel.getvalue()

    refreshed("--package", "autoawq", "--write")

    one = facts.release("autoawq", "9.2")
    assert one is not None
    assert one.requires == ("torch==2.6.0",)


def test_a_table_that_shrinks_is_refused_and_the_old_one_stays(index: FakeIndex, tmp_path: Path) -> None:
    everything_of(index, "autoawq")
    index.files["autoawq"] = index.files["autoawq"][:5]
    before = facts.releases("autoawq")

    with pytest.raises(SeatrialError) as refused:
        CliRunner().invoke(refresh, ["--package", "autoawq", "--write"], catch_exceptions=False)
    facts.forget()

    assert "releases are gone" in str(refused.value.why)
    assert facts.releases("autoawq") == before
    assert not (tmp_path / "home").exists()


def test_metadata_against_an_anchor_or_a_hand_kept_fact_is_refused(index: FakeIndex, tmp_path: Path) -> None:
    everything_of(index, "torch")
    index.bodies[f"/files/torch-2.7.1-py3-none-{LINUX}.whl.metadata"] = metadata(
        ("nvidia-cuda-runtime-cu12==12.8.90",)
    ).encode()

    with pytest.raises(SeatrialError) as refused:
        CliRunner().invoke(
            refresh,
            ["--package", "torch", "--again", "--into", str(tmp_path / "out")],
            catch_exceptions=False,
        )

    assert "torch 2.7.1 does not say that it needs nvidia-cudnn-cu12==9.5.1.17" in str(refused.value.why)
    assert "CUDA 12.6 as the default of torch 2.7.1, its metadata 12.8" in str(refused.value.why)
    assert not (tmp_path / "out").exists()


def test_yanked_releases_keep_their_reason(index: FakeIndex) -> None:
    everything_of(index, "autoawq")
    index.add("autoawq", f"autoawq-9.3-py3-none-{LINUX}.whl", yanked="broken on import")
    refreshed("--package", "autoawq", "--write")

    one = facts.release("autoawq", "9.3")
    assert one is not None
    assert one.yanked == "broken on import"
    assert facts.newest("autoawq", "==9.3") is None


@pytest.mark.parametrize("page", [b"<html></html>", b"{}"])
def test_an_index_without_the_json_form_is_named(
    index: FakeIndex, page: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.bodies["/html/autoawq/"] = page
    monkeypatch.setenv("UV_DEFAULT_INDEX", index.address.replace("/simple", "/html"))

    with pytest.raises(SeatrialError, match="does not answer in JSON"):
        CliRunner().invoke(refresh, ["--package", "autoawq"], catch_exceptions=False)


def test_a_package_that_the_index_lacks_is_named(index: FakeIndex) -> None:
    with pytest.raises(SeatrialError, match="404 for the package autoawq"):
        CliRunner().invoke(refresh, ["--package", "autoawq"], catch_exceptions=False)


def test_a_newer_release_of_seatrial_wins_over_a_table_that_was_made_before_it(
    index: FakeIndex, tmp_path: Path
) -> None:
    everything_of(index, "autoawq")
    index.add("autoawq", f"autoawq-9.4-py3-none-{LINUX}.whl")
    refreshed("--package", "autoawq", "--write")
    path = tmp_path / "home/facts/autoawq.json"
    path.write_text(path.read_text().replace('"derived": "20', '"derived": "19', 1))
    facts.forget()

    assert facts.release("autoawq", "9.4") is None
