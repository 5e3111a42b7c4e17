"""containerd and stargz-snapshotter with folders of their own, empty at first, for the length of a block."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SETTINGS = """version = 2
root = "{folder}/root"
state = "{folder}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "{folder}/containerd.sock"
[proxy_plugins.stargz]
type = "snapshot"
address = "{folder}/stargz.sock"
"""


class Engine(NamedTuple):
    """Its socket; pulls whole or lazily, and runs what was pulled."""

    socket: str

    def start(self, reference: str, *, lazy: bool, done: str) -> float:
        """Pull, run, and return the seconds until the program printed a line that starts with `done`."""
        begin = time.monotonic()
        program, verb = ("ctr-remote", "rpull") if lazy else ("ctr", "pull")
        self._call(program, "image", verb, "--plain-http", reference)
        kind = ["--snapshotter=stargz"] if lazy else []
        argv = [program, "-a", self.socket, "run", "--rm", *kind, reference, "measured"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            lines = []
            for line in process.stdout or ():
                lines.append(line)
                if line.startswith(done):
                    return time.monotonic() - begin
        raise RuntimeError(f"{reference} did not say {done!r}: {''.join(lines[-5:])}")

    def _call(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [program, "-a", self.socket, *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{program} {' '.join(arguments)}: {done.stderr[-2000:]}")


@contextmanager
def engine(folder: Path, snapshotter: str, *, background: bool = True) -> Iterator[Engine]:
    """A fresh engine; at the end nothing of it is left, mounts neither.

    Without `background` it fetches what is read and nothing else.
    """
    folder.mkdir(parents=True)
    (folder / "containerd.toml").write_text(_SETTINGS.format(folder=folder))
    (folder / "stargz.toml").write_text(f"no_background_fetch = {str(not background).lower()}\n")
    commands = (
        [snapshotter, "-address", f"{folder}/stargz.sock", "-root", f"{folder}/stargz", "-config", f"{folder}/stargz.toml"],
        ["containerd", "-c", f"{folder}/containerd.toml"],
    )  # fmt: skip
    processes = []
    try:
        with (folder / "log").open("wb") as log:
            for argv, name in zip(commands, ("stargz", "containerd"), strict=True):
                processes.append(subprocess.Popen(argv, stdout=log, stderr=log))
                until((folder / f"{name}.sock").exists, f"{name} ready")
        yield Engine(f"{folder}/containerd.sock")
    finally:
        for process in reversed(processes):
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(10)
            process.kill()
            process.wait()
        _unmount(folder)
        shutil.rmtree(folder, ignore_errors=True)


def _unmount(folder: Path) -> None:
    with open("/proc/mounts", encoding="utf-8") as stream:  # noqa: PTH123 - no path of ours
        mounted = [line.split()[1] for line in stream]
    for place in reversed([one for one in mounted if one.startswith(f"{folder}{os.sep}")]):
        subprocess.run(["umount", "-l", place], check=False)
