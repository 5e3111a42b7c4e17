"""Where `seatrial image assemble` brings an image, and what it tells people and scripts about it."""

from __future__ import annotations

import io
import json
import os
import pty
import signal
import socket
import subprocess
import sys
import tarfile
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from seatrial.images import layout as oci
from seatrial.images import registry
from seatrial.images.target import this_platform
from support import assembling, layouts, registries
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return assembling.one_base(tmp_path_factory.mktemp("bases") / "one")


@pytest.fixture(scope="module")
def probed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("probed")


@pytest.fixture
def project(tmp_path: Path, base: Path, probed: Path) -> Path:
    folder = assembling.project(tmp_path / "project", tmp_path / "house")
    assembling.share_probes(tmp_path / "cache", probed)
    settings = {"base": {"oci": str(base)}, "bytecode": False, "platform": this_platform()}
    settings |= {"entrypoint": ["python3", "app.py"], "requirements": ["requirements.txt"]}
    (folder / "seatrial.yaml").write_text(json.dumps({"images": {"iris": settings}}))
    return folder


def environment(project: Path, **changes: str) -> dict[str, str]:
    home = project.parent
    dropped = ("UV_", "SEATRIAL_", "DOCKER_", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {
        **kept, "UV_OFFLINE": "1", "UV_FIND_LINKS": str(home / "house"), "UV_NO_CONFIG": "1",
        "UV_CACHE_DIR": str(home / "uv"), "SEATRIAL_CACHE": str(home / "cache"), "SEATRIAL_HOME": str(home / "state"),
        **changes,
    }  # fmt: skip


def assemble(project: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "seatrial", "image", "assemble", str(project), *arguments],
        env=environment(project, **changes), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def good(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_scripts_read_has_its_form(project: Path, tmp_path: Path) -> None:
    plain = json.loads(good(assemble(project, "--oci", str(tmp_path / "out"), "--json")))
    assert {"digest", "size", "layers", "images", "pushed_bytes", "seconds"} <= set(plain)
    assert {"digest", "size", "what", "reused"} == set(plain["layers"][0])
    (image,) = plain["images"]
    assert (image["platform"], image["digest"]) == (this_platform(), plain["digest"])
    explained = json.loads(good(assemble(project, "--oci", str(tmp_path / "out"), "--json", "--explain")))
    assert {"digest", "size", "what", "reused", "why", "reason"} == set(explained["layers"][0])
    assert [layer["digest"] for layer in explained["layers"]] == [
        layer["digest"] for layer in plain["layers"]
    ]


def test_a_dry_run_makes_nothing(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    seen = assemble(project, "--dry-run", "--oci", str(out))
    assert seen.stdout == ""
    assert "2 wheels to fetch" in seen.stderr
    assert "no image was written" in seen.stderr
    data = json.loads(good(assemble(project, "--dry-run", "--json", "--oci", str(out))))
    assert (data["digest"], data["dry_run"], data["fetch"]["wheels"]) == (None, True, 2)
    assert {layer["digest"] for layer in data["layers"] if not layer["reused"]} == {None}
    assert not out.exists()
    made = json.loads(good(assemble(project, "--json", "--oci", str(out))))
    before = sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*"))
    again = json.loads(good(assemble(project, "--dry-run", "--json", "--oci", str(out))))
    assert (again["digest"], again["size"], again["fetch"]["wheels"]) == (made["digest"], made["size"], 0)
    assert sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*")) == before


def test_it_is_pushed_under_every_tag(project: Path, tmp_path: Path) -> None:
    with registries.running(tmp_path / "registry") as host:
        tags = ["--tag", f"{host}/iris:1", "--tag", f"{host}/iris:latest", "--tag", f"{host}/other:1"]
        data = json.loads(good(assemble(project, *tags, "--push", "--json")))
        assert data["pushed_bytes"] > 0
        for name in ("iris:1", "iris:latest", "other:1"):
            assert registry.resolve(f"{host}/{name}") == data["digest"]
            assert f"{host}/{name}" in data["tags"]
        again = json.loads(good(assemble(project, *tags, "--push", "--json")))
        assert (again["digest"], again["pushed_bytes"]) == (data["digest"], 0)


def test_settings_say_where_to_push(project: Path, tmp_path: Path) -> None:
    settings = json.loads((project / "seatrial.yaml").read_text())
    with registries.running(tmp_path / "registry") as host:
        settings["images"]["iris"]["push"] = {"to": [f"{host}/iris", f"{host}/copy"]}
        (project / "seatrial.yaml").write_text(json.dumps(settings))
        data = json.loads(good(assemble(project, "--push", "--json")))
        tag = data["digest"].removeprefix("sha256:")[:12]
        assert sorted(data["tags"]) == [f"{host}/copy:{tag}", f"{host}/iris:{tag}"]
        assert registry.resolve(f"{host}/copy:{tag}") == data["digest"]
        settings["images"]["iris"]["push"]["tags"] = ["stable"]
        (project / "seatrial.yaml").write_text(json.dumps(settings))
        done = assemble(project, "--push")
        assert f"{host}/iris:stable" in done.stderr
        assert registry.resolve(f"{host}/iris:stable") == done.stdout.strip()
        only = json.loads(good(assemble(project, "--push", "--tag", f"{host}/mine:1", "--json")))
        assert only["tags"] == [f"{host}/mine:1"]


def test_a_registry_that_does_not_answer_is_named_before_anything_is_made(
    project: Path, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        done = assemble(project, "--tag", f"{host}/iris:1", "--push", "--oci", str(tmp_path / "out"))
    assert done.returncode == 1
    assert host in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_archive_goes_to_a_file_or_to_stdout(project: Path, tmp_path: Path) -> None:
    data = json.loads(good(assemble(project, "--docker-archive", str(tmp_path / "app.tar"), "--json")))
    content = (tmp_path / "app.tar").read_bytes()
    assert (data["archive"], data["archive_bytes"]) == (str(tmp_path / "app.tar"), len(content))
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        manifest = opened.extractfile("manifest.json")
        assert manifest is not None
        assert json.load(manifest)[0]["RepoTags"] == ["iris:latest"]
    argv = [sys.executable, "-m", "seatrial", "image", "assemble", str(project), "--docker-archive", "-"]
    piped = subprocess.run(argv, env=environment(project), capture_output=True, check=True)
    assert piped.stdout == content
    assert data["digest"] in piped.stderr.decode()


def test_a_reader_of_the_archive_that_goes_away_is_no_success(project: Path) -> None:
    argv = [sys.executable, "-m", "seatrial", "image", "assemble", str(project), "--docker-archive", "-"]
    with subprocess.Popen(
        argv, env=environment(project), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 1, said
    assert "not read to its end" in said


def test_a_tag_names_the_image_in_a_folder(project: Path, tmp_path: Path) -> None:
    done = assemble(project, "--oci", str(tmp_path / "out"), "--tag", "team/iris:4")
    assert good(done).startswith("sha256:")
    assert f"written to {tmp_path / 'out'} as team/iris:4" in done.stderr
    (top,) = oci.read_index(tmp_path / "out").manifests
    assert top.annotations["org.opencontainers.image.ref.name"] == "4"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--push"], 2, "nothing says where to push to"),
        (["--tag", "Bad Name", "--push"], 2, "is not an image reference"),
        (["--tag", "app@sha256:" + "0" * 64], 2, "names a digest"),
        (["--docker-archive", "-", "--json"], 2, "both need stdout"),
        (["--docker-archive", "/proc/nowhere/app.tar"], 1, "cannot write"),
        (["--load", "containerd"], 2, "'containerd' is not auto, docker or podman"),
        (["--load", "."], 2, "write DIR before --load"),
        (["--platform", "linux/riscv64"], 2, "linux/amd64 or linux/arm64"),
    ],
)
def test_what_cannot_be_is_said(project: Path, arguments: list[str], code: int, says: str) -> None:
    done = assemble(project, *arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_without_an_engine_nothing_is_made(project: Path, tmp_path: Path) -> None:
    done = assemble(project, "--load", "--oci", str(tmp_path / "out"), PATH=str(tmp_path))
    assert done.returncode == 3
    assert "neither Docker nor Podman" in done.stderr
    assert not (tmp_path / "out").exists()


def test_explanations_fit_a_terminal_of_80_columns(project: Path) -> None:
    (project / "a-source-file-with-quite-a-long-name-that-goes-on.py").write_text("")
    assemble(project)
    (project / "a-source-file-with-quite-a-long-name-that-goes-on.py").unlink()
    (project / "more.py").write_text("")
    done = assemble(project, "--explain", COLUMNS="80")
    lines = [line for line in done.stderr.splitlines() if not line.startswith("written to /")]
    assert [line for line in lines if len(line) > 80] == []
    assert "1 source file added: more.py" in " ".join(done.stderr.split())
    assert "\x1b" not in done.stderr


@contextmanager
def on_a_terminal(
    project: Path, *arguments: str, **changes: str
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The command with a terminal as stderr; yields the process and the other end of it."""
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "seatrial", "image", "assemble", str(project), *arguments]
    with subprocess.Popen(
        argv,
        env=environment(project, TERM="xterm", COLUMNS="80", **changes),
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        os.set_blocking(ours, False)
        try:
            yield process, ours
        finally:
            process.kill()
            os.close(ours)


def read_all(descriptor: int) -> str:
    found = b""
    while True:
        try:
            piece = os.read(descriptor, 1 << 16)
        except OSError:  # nothing now, or the other end is closed
            return found.decode()
        if not piece:
            return found.decode()
        found += piece


def test_a_terminal_sees_what_takes_long_and_ctrl_c_ends_it(project: Path, tmp_path: Path) -> None:
    """A base in a registry that says nothing."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        slow = ["--base", f"127.0.0.1:{silent.getsockname()[1]}/base:1", "--oci", str(tmp_path / "out")]
        with on_a_terminal(project, *slow) as (process, terminal):
            seen: list[str] = []

            def shows(text: str) -> bool:
                seen.append(read_all(terminal))
                return text in "".join(seen)

            until(lambda: shows("preparing"), "a line about it")
            assert "\n" not in "".join(seen)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 130
            until(lambda: shows("interrupted"), "the end of it")
            assert "".join(seen).rpartition("preparing")[2].split("\x1b[K")[-1].split() == ["interrupted"]
    assert not (tmp_path / "out").exists()


class Dripping(BaseHTTPRequestHandler):
    """A server that begins a file and then gives a byte now and then."""

    ended: threading.Event
    begun: threading.Event

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        with suppress(OSError):
            for _ in range(10_000):
                self.wfile.write(b"x")
                self.begun.set()
                if self.ended.wait(0.02):
                    return

    def log_message(self, *_: object) -> None:
        pass


def test_ctrl_c_does_not_wait_for_a_download(project: Path, tmp_path: Path) -> None:
    begun, ended = threading.Event(), threading.Event()
    handler = type("Here", (Dripping,), {"ended": ended, "begun": begun})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_address[1]}/slow-1.0-py3-none-any.whl"
        wheel = f'{{name = "slow-1.0-py3-none-any.whl", url = "{address}", size = 1000000, hashes = {{sha256 = "{"0" * 64}"}}}}'
        lock = f'lock-version = "1.0"\ncreated-by = "test"\n[[packages]]\nname = "slow"\nversion = "1.0"\nwheels = [{wheel}]\n'
        (project / "pylock.toml").write_text(lock)
        settings = json.loads((project / "seatrial.yaml").read_text())
        settings["images"]["iris"]["requirements"] = ["pylock.toml"]
        (project / "seatrial.yaml").write_text(json.dumps(settings))
        with on_a_terminal(project, "--oci", str(tmp_path / "out")) as (process, terminal):
            until(lambda: process.poll() is not None or begun.is_set(), "the download")
            process.send_signal(signal.SIGINT)
            try:
                assert process.wait(60) == 130, read_all(terminal)
            finally:
                ended.set()
                server.shutdown()
            assert "interrupted" in read_all(terminal)
    assert not (tmp_path / "out").exists()


def test_a_pipe_and_a_dumb_terminal_see_whole_lines_only(project: Path) -> None:
    with on_a_terminal(project, "--explain", NO_COLOR="1") as (process, terminal):
        assert process.wait(60) == 0
        assert "\x1b[3" not in read_all(terminal)
    assert "\r" not in assemble(project, "--explain").stderr


def test_two_commands_that_write_one_folder_take_turns(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    argv = [sys.executable, "-m", "seatrial", "image", "assemble", str(project), "--oci", str(out), "--json"]
    both = []
    for number in range(4):
        (project / "number.py").write_text(f"{number % 2}\n")
        both.append(
            subprocess.Popen(
                argv, env=environment(project), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
        )
    for process in both:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0 or "changed while it was read" in said, said
    image = oci.read_image(out)
    wanted = {image.digest, image.manifest.config.digest, *(layer.digest for layer in image.manifest.layers)}
    assert {f"sha256:{path.name}" for path in (out / "blobs" / "sha256").iterdir()} == wanted


def inspect(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "seatrial", "image", "inspect", *arguments],
        env=environment(project), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


def test_of_a_folder_with_several_images_this_machines_is_shown(project: Path, tmp_path: Path) -> None:
    top = layouts.two_platforms(tmp_path / "both")
    shown = json.loads(good(inspect(project, str(tmp_path / "both"), "--json")))
    assert shown["platform"] == this_platform()
    assert (shown["index"], shown["platforms"]) == (top.digest, ["linux/amd64", "linux/arm64"])
    for name in ("linux/arm64", "linux/amd64"):
        shown = json.loads(good(inspect(project, str(tmp_path / "both"), "--json", "--platform", name)))
        assert shown["platform"] == name
    refused = inspect(project, str(tmp_path / "both"), "--platform", "linux/s390x")
    assert refused.returncode == 1
    assert "it holds linux/amd64, linux/arm64" in refused.stderr
    alone = layouts.image(tmp_path / "one", architecture="riscv64")
    shown = json.loads(good(inspect(project, str(tmp_path / "one"), "--json")))
    assert (shown["digest"], shown["index"], shown["platform"]) == (alone.digest, None, "linux/riscv64")
