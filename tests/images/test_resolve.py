"""Resolving names wheels by hash for the target, explains what cannot be, and never runs anything it finds."""

from __future__ import annotations

import hashlib
import io
import tarfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError, UsageError
from seatrial.images.assemble.fetch import fetch, wheel_path
from seatrial.images.lock import from_text, to_text
from seatrial.images.resolve import resolve
from seatrial.images.target import Target, tags, uv_platform
from support import wheels

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TARGET = Target(python="3.11", platform="linux/amd64", glibc="2.36")


def requirements(folder: Path, text: str, name: str = "requirements.txt") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_lock_names_versions_files_and_hashes_and_no_place(wheelhouse: Path, tmp_path: Path) -> None:
    inner = wheels.wheel(wheelhouse, "inner", "2.1")
    outer = wheels.wheel(wheelhouse, "outer", "1.0", requires=("inner>=2", 'other; python_version < "3"'))
    found = resolve([requirements(tmp_path, "outer\n")], TARGET)
    assert [(w.name, w.version, w.filename) for w in found.lock.wheels] == [
        ("inner", "2.1", inner.name),
        ("outer", "1.0", outer.name),
    ]
    assert found.lock.wheels[0].sha256 == hashlib.sha256(inner.read_bytes()).hexdigest()
    text = to_text(found.lock)
    assert str(wheelhouse) not in text
    assert "://" not in text
    assert from_text(text) == found.lock


def test_the_wheel_that_fits_the_target_best_is_taken(wheelhouse: Path, tmp_path: Path) -> None:
    for tag in ("py3-none-any", "cp311-cp311-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_28_x86_64",
                "cp311-cp311-manylinux_2_28_aarch64", "cp312-cp312-manylinux_2_28_x86_64", "cp311-cp311-win_amd64",
                "cp311-cp311-manylinux_2_39_x86_64", "cp311-cp311-musllinux_1_2_x86_64"):  # fmt: skip
        wheels.wheel(wheelhouse, "fast", "1.0", tag=tag)
    path = requirements(tmp_path, "fast\n")
    chosen = {
        target: resolve([path], target).lock.wheels[0].filename.removeprefix("fast-1.0-")
        for target in (TARGET, Target(platform="linux/arm64"), Target(python="3.13"), Target(glibc="2.39"))
    }
    assert list(chosen.values()) == [
        "cp311-cp311-manylinux_2_28_x86_64.whl",
        "cp311-cp311-manylinux_2_28_aarch64.whl",
        "py3-none-any.whl",
        "cp311-cp311-manylinux_2_39_x86_64.whl",
    ]


def test_contradictions_are_explained_with_the_packages_that_make_them(
    wheelhouse: Path, tmp_path: Path
) -> None:
    wheels.wheel(wheelhouse, "inner", "1.0")
    wheels.wheel(wheelhouse, "outer", "1.0", requires=("inner>=2",))
    path = requirements(tmp_path, "outer\ninner==1.0\n")
    with pytest.raises(SeatrialError, match="cannot be satisfied together") as caught:
        resolve([path], TARGET)
    assert "inner" in str(caught.value.why)
    assert "outer" in str(caught.value.why)
    assert caught.value.where == str(path)


def sdist(house: Path, name: str, trap: Path) -> None:
    """A source distribution that leaves a trace when anything of it is run."""
    setup = f"open({str(trap)!r}, 'w').close()\nfrom setuptools import setup\nsetup(name={name!r}, version='1.0')\n"
    with tarfile.open(house / f"{name}-1.0.tar.gz", "w:gz") as archive:
        for file, text in {
            "setup.py": setup,
            "PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        }.items():
            entry = tarfile.TarInfo(f"{name}-1.0/{file}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))


@pytest.mark.parametrize(
    "line",
    [
        "evil",
        "evil\n--no-binary evil",
        "--no-binary :all:\nevil",
        "./evil-1.0.tar.gz",
        "./tree",
        "-e ./tree",
        "-e tree",
        "evil @ file://{folder}/evil-1.0.tar.gz",
    ],
)
def test_nothing_of_the_repository_or_of_an_sdist_is_run(wheelhouse: Path, tmp_path: Path, line: str) -> None:
    project, trap = tmp_path / "project", tmp_path / "executed"
    sdist(wheelhouse, "evil", trap)
    project.mkdir()
    sdist(project, "evil", trap)
    code = f"open({str(trap)!r}, 'w').close()\n"
    requirements(project, code + "from setuptools import setup\nsetup(name='tree')\n", "tree/setup.py")
    requirements(project, code, "setup.py")
    python = requirements(project, f"#!/bin/sh\ntouch {trap}\n", ".venv/bin/python")
    python.chmod(0o755)
    requirements(project, "home = /usr\nversion = 3.11\n", ".venv/pyvenv.cfg")
    with pytest.raises(SeatrialError) as caught:
        resolve([requirements(project, line.format(folder=project) + "\n")], TARGET)
    assert not trap.exists()
    assert caught.value.fix


def test_a_missing_include_names_the_line_that_wants_it(wheelhouse: Path, tmp_path: Path) -> None:
    path = requirements(tmp_path, "# top\n-r more/base.txt\n")
    requirements(tmp_path, "-c nowhere.txt\n", "more/base.txt")
    with pytest.raises(SeatrialError, match=r"more/base\.txt:1:1 includes it") as caught:
        resolve([path], TARGET)
    assert caught.value.where == str(tmp_path / "more" / "nowhere.txt")


def test_includes_are_followed_once(wheelhouse: Path, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        wheels.wheel(wheelhouse, name, "1.0")
    path = requirements(tmp_path, "-r a.txt  # first\n--requirement=b.txt\n-c 'c d.txt'\n")
    for name, line in (("a.txt", "one\n"), ("b.txt", "two\n"), ("c d.txt", "")):
        requirements(tmp_path, f"-r requirements.txt\n{line}" if line else "three==1.0\n", name)
    assert [w.name for w in resolve([path], TARGET).lock.wheels] == ["one", "two"]


def test_what_was_resolved_is_remembered_by_content_of_every_file(wheelhouse: Path, tmp_path: Path) -> None:
    wheels.wheel(wheelhouse, "inner", "1.0")
    path = requirements(tmp_path, "-c limits.txt\ninner\n")
    limits = requirements(tmp_path, "inner<2\n", "limits.txt")
    assert not resolve([path], TARGET).cached
    wheels.wheel(wheelhouse, "inner", "1.1")
    again = resolve([path], TARGET)
    assert again.cached
    assert again.lock.wheels[0].version == "1.0"
    assert resolve([path], TARGET, refresh=True).lock.wheels[0].version == "1.1"
    limits.write_text("inner<1.1\n")
    assert resolve([path], TARGET).lock.wheels[0].version == "1.0"
    assert not resolve([path], Target(python="3.12")).cached


def test_hashes_in_requirements_are_held_to(wheelhouse: Path, tmp_path: Path) -> None:
    inner = wheels.wheel(wheelhouse, "inner", "1.0")
    wheels.wheel(wheelhouse, "other", "1.0")
    good = hashlib.sha256(inner.read_bytes()).hexdigest()
    assert resolve([requirements(tmp_path, f"inner==1.0 --hash=sha256:{good}\n")], TARGET).lock.wheels
    for wrong in (
        f"inner==1.0 \\\n  --hash=sha256:{'0' * 64}\n",
        f"inner==1.0 --hash=sha256:{good}\nother==1.0\n",
    ):
        with pytest.raises(SeatrialError, match="has a hash that the requirements allow"):
            resolve([requirements(tmp_path, wrong)], TARGET)


def test_a_line_that_cannot_be_read_is_named(wheelhouse: Path, tmp_path: Path) -> None:
    with pytest.raises(SeatrialError, match=r"requirements\.txt"):
        resolve([requirements(tmp_path, "fine\n!!! not a requirement\n")], TARGET)


def test_fetching_checks_hashes_and_goes_on_where_it_stopped(wheelhouse: Path, tmp_path: Path) -> None:
    wheels.wheel(wheelhouse, "good", "1.0")
    bad = wheels.wheel(wheelhouse, "bad", "1.0")
    found = resolve([requirements(tmp_path, "good\nbad\n")], TARGET)
    whole = bad.read_bytes()
    bad.write_bytes(whole + b"tampered")
    with pytest.raises(SeatrialError, match="not the file that was locked"):
        fetch(found.lock.wheels, found.urls)
    by_name = {w.name: wheel_path(w.sha256) for w in found.lock.wheels}
    assert not by_name["bad"].exists()
    bad.write_bytes(whole)
    fetch(found.lock.wheels, found.urls)
    assert by_name["good"].exists()
    assert by_name["bad"].read_bytes() == whole
    assert fetch(found.lock.wheels, found.urls) == 0


class Index(BaseHTTPRequestHandler):
    """A package index that wants a password."""

    house: Path
    seen: list[str]

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "Basic bWU6czNjcmV0":  # me:s3cret
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.seen.append(self.path)
        if self.path.endswith(".whl"):
            body, kind = (self.house / self.path.rsplit("/", 1)[1]).read_bytes(), "application/zip"
        else:
            links = [
                f'<a href="/files/{p.name}#sha256={hashlib.sha256(p.read_bytes()).hexdigest()}">{p.name}</a>'
                for p in self.house.glob(f"{self.path.strip('/').split('/')[-1]}-*.whl")
            ]
            body, kind = "".join(links).encode(), "text/html"
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index(wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    handler = type("Here", (Index,), {"house": wheelhouse, "seen": []})
    for name in ("UV_NO_INDEX", "UV_OFFLINE", "UV_FIND_LINKS"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_credentials_of_an_index_are_used_and_kept_nowhere(
    index: str, wheelhouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheels.wheel(wheelhouse, "inner", "1.0")
    monkeypatch.setenv("UV_INDEX_URL", f"http://me:s3cret@{index}/simple")
    found = resolve([requirements(tmp_path, "inner\n")], TARGET)
    assert fetch(found.lock.wheels, found.urls) > 0
    assert "s3cret" not in repr(found)
    kept = [p for p in (tmp_path / "cache").rglob("*") if p.is_file() and b"s3cret" in p.read_bytes()]
    assert kept == []


def test_an_index_that_refuses_is_said_without_the_password(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_INDEX_URL", f"http://me:wrong-pass@{index}/simple")
    with pytest.raises(SeatrialError) as caught:
        resolve([requirements(tmp_path, "inner\n")], TARGET)
    assert "wrong-pass" not in str(caught.value)


def test_an_index_that_is_not_there_is_said(
    index: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV_INDEX_URL", "http://me:secret@127.0.0.1:9/simple")
    with pytest.raises(SeatrialError, match="index cannot be asked") as caught:
        resolve([requirements(tmp_path, "inner\n")], TARGET)
    assert "secret" not in str(caught.value)


def test_targets() -> None:
    assert uv_platform(TARGET) == "x86_64-manylinux_2_36"
    assert uv_platform(Target(glibc="2.99")) == "x86_64-manylinux_2_40"
    assert uv_platform(Target(glibc="2.30", platform="linux/arm64/v8")) == "aarch64-manylinux_2_28"
    names = [str(tag) for tag in tags(TARGET)]
    assert names.index("cp311-cp311-manylinux_2_36_x86_64") < names.index("cp310-abi3-manylinux_2_36_x86_64")
    assert "cp311-cp311-manylinux_2_37_x86_64" not in names
    for target in (Target(glibc="2.12"), Target(glibc="musl"), Target(platform="windows/amd64")):
        with pytest.raises(UsageError):
            uv_platform(target)


@pytest.mark.parametrize("text", ["", "not toml [", 'lock-version = "1.0"', "packages = 3"])
def test_a_text_that_is_no_lock_is_refused(text: str) -> None:
    with pytest.raises(SeatrialError, match="not a lock"):
        from_text(text)
