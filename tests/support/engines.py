"""Container engines that a test starts for itself, with nothing of this machine's own in them."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.registries import need
from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def docker(folder: Path) -> Iterator[dict[str, str]]:
    """Run the Docker engine with its data in `folder`; yields the variables by which its clients find it.

    Its containers have no network: bridges and packet filters are the machine's.
    """
    client, daemon = need("docker"), need("dockerd")
    need("containerd")
    if os.geteuid() != 0:
        pytest.skip("the Docker engine needs root")
    folder.mkdir(parents=True)
    # The names of sockets have at most 107 bytes, which a test's own folder may exceed.
    short = Path(tempfile.mkdtemp(prefix="seatrial-"))
    socket = f"unix://{short / 'socket'}"
    options = ["--storage-driver=vfs", "--iptables=false", "--ip6tables=false", "--bridge=none"]
    places = [
        f"--data-root={folder / 'data'}",
        f"--exec-root={short / 'exec'}",
        f"--pidfile={folder / 'pid'}",
    ]
    environment = {**os.environ, "DOCKER_HOST": socket, "DOCKER_CONFIG": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([daemon, *options, *places, f"--host={socket}"], stdout=log, stderr=log)
    try:
        until(
            lambda: process.poll() is not None or _answers([client, "version"], environment), "Docker ready"
        )
        if process.poll() is not None:
            pytest.skip(f"the Docker engine does not start here: {(folder / 'log').read_text()[-300:]}")
        yield environment
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.wait()
        _end_containerd(short)
        _unmount(folder, short)
        shutil.rmtree(short, ignore_errors=True)
        shutil.rmtree(folder / "data", ignore_errors=True)


def _end_containerd(short: Path) -> None:
    """End the engine's own containerd, which outlives an engine that was killed, and what that started."""
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if str(short).encode() in (place / "cmdline").read_bytes():
                os.kill(int(place.name), signal.SIGKILL)


def _unmount(*folders: Path) -> None:
    """Unmount what a killed engine left mounted: its data folder is bound to itself, and containers' roots in it."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    places = [line.split(" ")[4].encode().decode("unicode_escape") for line in lines]
    inside = [p for p in places if any(Path(p).is_relative_to(folder.resolve()) for folder in folders)]
    for place in reversed(inside):
        subprocess.run(["umount", "-l", place], capture_output=True, check=False)


def containers(folder: Path) -> dict[str, str]:
    """Variables that give Podman, Buildah and Skopeo a storage of their own in `folder`."""
    folder.mkdir(parents=True)
    settings = folder / "storage.conf"
    # Podman waits ten seconds and more when the names of its sockets do not fit into an address, as in a test's folder.
    short = Path(tempfile.mkdtemp(prefix="seatrial-"))
    atexit.register(shutil.rmtree, short, ignore_errors=True)
    settings.write_text(f'[storage]\ndriver = "vfs"\ngraphroot = "{folder / "graph"}"\nrunroot = "{short}"\n')
    return {**os.environ, "CONTAINERS_STORAGE_CONF": str(settings)}


def output(argv: list[str], environment: Mapping[str, str] | None = None) -> str:
    """What the program prints; fails with what it said."""
    done = subprocess.run(
        argv,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, f"{argv}: {done.stderr}{done.stdout}"
    return done.stdout.strip()


def _answers(argv: list[str], environment: Mapping[str, str]) -> bool:
    return subprocess.run(argv, env=environment, capture_output=True, check=False).returncode == 0
