"""What a hostile build may try: none of it gets out, and each attempt is named."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from seatrial.errors import SeatrialError
from seatrial.images.building.model import Limits
from support.builds import building, of_sdist, project, sdist
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

FORBIDDEN = {
    "home": ('print(open("{secret}").read())', "No such file"),
    "environment": ('assert "TOP_SECRET" not in os.environ, "leaked"; assert 0, "clean"', "clean"),
    "processes": (
        'names = [p for p in os.listdir("/proc") if p.isdigit()]; assert names != ["1"], "alone"', "alone",
    ),
    "kernel settings": ('open("/proc/sys/kernel/core_pattern", "r+").write("core")', "Read-only file system"),
    "its own tools": ('open("/build/env/bin/python3.999", "w")', "Read-only file system"),
    "the root": ('open(os.__file__, "r+b")', "Read-only file system"),
    "the hook": ('open("/build/hook.py", "r+b")', "Read-only file system"),
    "mounting": (
        'import ctypes; c = ctypes.CDLL(None, use_errno=True); assert c.mount(b"x", b"/tmp", b"tmpfs", 0, None) == 0, "not mounted"',
        "not mounted",
    ),
    "network": ('import socket; socket.create_connection(("192.0.2.1", 80), timeout=5)', "wanted something from the network"),
    "this machine's loopback": (
        'import socket; socket.create_connection(("127.0.0.1", {port}), timeout=5)', "wanted something from the network",
    ),
    "another user": ("os.setuid(0)", "OSError"),
}  # fmt: skip

ENDED = {
    "hangs": ("import time; time.sleep(1000)", Limits(seconds=1.5), "did not finish in 1.5 s"),
    "forks": ("import time\nwhile True:\n    if os.fork() == 0: time.sleep(1000)", Limits(processes=100), "100 processes"),
    "fills the disk": (
        'import itertools, time\nfor n in itertools.count():\n    open(f"/tmp/{n}", "wb").write(bytes(1 << 22)); time.sleep(0.01)',
        Limits(disk=64 << 20), "wrote more than 64 MiB",
    ),
    "fills memory that is a disk": (
        'import itertools, time\nfor n in itertools.count():\n    open(f"/dev/{n}", "wb").write(bytes(1 << 22)); time.sleep(0.01)',
        Limits(memory=256 << 20), "256 MiB of memory",
    ),
    "takes memory with many processes": (
        "import time\nfor n in range(8):\n    if os.fork() == 0: kept = bytearray(os.urandom(1 << 20) * 60); time.sleep(1000)\ntime.sleep(1000)",
        Limits(memory=256 << 20), "256 MiB of memory",
    ),
    "takes memory alone": ("kept = bytearray(1 << 30)", Limits(memory=256 << 20), "ran out of memory"),
    "prints without end": ('while True: print("x" * 100000)', Limits(log=4 << 20), "printed more than 4 MiB"),
}  # fmt: skip


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.mark.parametrize("attempt", FORBIDDEN)
def test_nothing_of_this_machine_is_within_reach(
    image_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int, attempt: str
) -> None:
    secret = tmp_path / "netrc"
    secret.write_text("machine example.org password s3cret")
    monkeypatch.setenv("TOP_SECRET", "s3cret")
    run, named = FORBIDDEN[attempt]
    path = sdist(tmp_path, project(run.replace("{secret}", str(secret)).replace("{port}", str(port))))
    with building(image_base) as build, pytest.raises(SeatrialError) as error:
        build(of_sdist(path))
    assert named in str(error.value)
    assert "build_wheel failed" in str(error.value)
    log = Path(str(error.value).rpartition("whole log: ")[2].rstrip(")"))
    assert "s3cret" not in str(error.value) + log.read_text()


@pytest.mark.parametrize("attempt", ENDED)
def test_what_takes_too_much_is_ended_and_leaves_nothing(
    image_base: Path, tmp_path: Path, cache: Path, attempt: str
) -> None:
    run, limits, named = ENDED[attempt]
    with building(image_base, limits=limits) as build, pytest.raises(SeatrialError) as error:
        build(of_sdist(sdist(tmp_path, project(run))))
    assert named in str(error.value)
    assert build_processes() == []
    assert list((cache / "scratch").glob("*.d")) == []


def test_a_daemon_ends_with_its_build_and_is_named(image_base: Path, tmp_path: Path) -> None:
    run = """
import subprocess, sys, time
code = "import os, time; os.setsid(); open('/tmp/up', 'w'); time.sleep(1000)"
subprocess.Popen([sys.executable, "-c", code])
while not os.path.exists("/tmp/up"): time.sleep(0.01)
"""
    path = sdist(tmp_path, project(run))
    with building(image_base) as build:
        built = build(of_sdist(path))
        assert build(of_sdist(path)).notes == built.notes
    assert built.notes == ("the build of demo 1.0 left programs running, which were ended: python",)
    assert build_processes() == []


def test_a_killed_builder_takes_its_build_with_it(image_base: Path, tmp_path: Path, cache: Path) -> None:
    path = sdist(tmp_path, project("import time; time.sleep(1000)"))
    child = os.fork()
    if child == 0:
        with building(image_base) as build:
            build(of_sdist(path))
        os._exit(1)
    until(lambda: bool(build_processes()), "the build runs")
    os.kill(child, 9)
    os.waitpid(child, 0)
    until(lambda: not build_processes(), "the build is gone")
    with building(image_base, limits=Limits(seconds=1)) as build, pytest.raises(SeatrialError):
        build(of_sdist(path))
    assert list((cache / "scratch").glob("*.d")) == []


def build_processes() -> list[str]:
    """Command lines of programs in sandboxes that have a folder of this test's cache."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            mounts, command = (place / "mountinfo").read_text(), (place / "cmdline").read_bytes()
        except OSError:
            continue
        if f"{os.environ['SEATRIAL_CACHE']}/scratch/" in mounts and b"/build/hook.py" in command:
            found.append(command.decode(errors="replace"))
    return found
