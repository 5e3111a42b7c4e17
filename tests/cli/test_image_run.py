"""`seatrial image run` as people use it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from support.debian import Item, base, image, needs_bwrap, own_cache
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SEATRIAL = [sys.executable, "-m", "seatrial", "image", "run"]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    needs_bwrap()
    yield from own_cache(tmp_path_factory)


@pytest.fixture(scope="module")
def layout(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("image") / "layout"
    settings = {"Entrypoint": ["sh", "-c"], "Cmd": ["echo from the image"], "Env": ["GREETING=hello"]}
    image(place, [[Item("srv/page", "a page")]], settings, base=base())
    return place


def run(*words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SEATRIAL, *map(str, words)],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_the_programs_output_and_exit_code_are_the_commands(layout: Path) -> None:
    done = run(layout)
    assert (done.returncode, done.stdout, done.stderr) == (0, "from the image\n", "")
    done = run(layout, "--", "echo out; echo err >&2; exit 9")
    assert (done.returncode, done.stdout, done.stderr) == (9, "out\n", "err\n")


def test_options_reach_the_program(layout: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("data")
    script = (
        'echo "$GREETING $FROM_HERE $PWD $(id -u)"; cat /in/data; touch /etc/x 2>/dev/null || echo read-only'
    )
    done = run(
        layout, "--env", "GREETING=hi", "--env", "FROM_HERE", "--volume", f"{tmp_path}:/in:ro", "--user", "33",
        "--workdir", "/srv", "--read-only", "--network", "none", "--memory", "1g", "--", script, FROM_HERE="there",
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout == "hi there /srv 33\ndataread-only\n"
    assert run(layout, "--entrypoint", "cat", "--", "/srv/page").stdout == "a page"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--volume", "x"], 2, "is not HOST:DEST[:ro]"),
        (["--env", "=x"], 2, "has no name"),
        (["--publish", "80:80"], 2, "needs --network none"),
        (["--network", "none", "--publish", "0:99999"], 2, "is not [IP:]PORT:PORT"),
        (["--memory", "lots"], 2, "is not a size"),
        (["--user", "stranger"], 1, "no user 'stranger'"),
        (["--entrypoint", "missing"], 1, "no program 'missing'"),
        (["--volume", "/no/such/place:/x"], 1, "nothing here to bind"),
    ],
)
def test_mistakes_are_named(words: list[str], code: int, message: str, layout: Path) -> None:
    done = run(layout, *words)
    assert done.returncode == code
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_is_no_image_is_said_so(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 1
    assert "not an OCI image layout" in done.stderr


def test_a_service_is_published_stopped_and_leaves_nothing(layout: Path, cache: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    marker = f"{time.monotonic_ns()}"
    script = (
        f"cd /srv; python3 -m http.server --bind 127.0.0.1 8080 & trap 'exit 5' TERM; sleep {marker} & wait"
    )
    command = [*SEATRIAL, str(layout), "--network", "none", "--publish", f"{port}:8080", "--", script]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:

        def answers() -> bool:
            try:
                with urlopen(f"http://127.0.0.1:{port}/page", timeout=5) as page:
                    return bool(page.read() == b"a page")
            except OSError:
                return False

        until(answers, "the page is served")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 5
    finally:
        process.kill()
        process.wait()
    until(lambda: not _alive(marker), "nothing is left")
    assert str(cache) not in Path("/proc/mounts").read_text()
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", port))


def _alive(marker: str) -> bool:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in process.read_bytes():
                return True
        except OSError:
            continue
    return False
