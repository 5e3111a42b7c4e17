"""Docker as a contestant, with an engine of its own, so that nothing of this machine's Docker is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from contest.kitchen import Kitchen


@contextmanager
def engine(folder: Path) -> Iterator[str]:
    """Start Docker's engine with its data in `folder`; yields its address, or "" where it cannot be started."""
    from support.waiting import until

    daemon, client = shutil.which("dockerd"), _client()
    if daemon is None or not client or os.geteuid() != 0:
        yield ""
        return
    folder.mkdir()
    address = f"unix://{folder / 'socket'}"
    options = ["--storage-driver=overlay2", "--iptables=false", "--ip6tables=false", "--bridge=none"]
    places = [
        f"--data-root={folder / 'data'}",
        f"--exec-root={folder / 'exec'}",
        f"--pidfile={folder / 'pid'}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([daemon, *options, *places, f"--host={address}"], stdout=log, stderr=log)
    try:
        asked = [client, "--host", address, "version"]
        until(
            lambda: process.poll() is not None or not subprocess.call(asked, stdout=-3, stderr=-3), "Docker"
        )
        yield "" if process.poll() is not None else address
    finally:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        process.wait()


class Docker(NamedTuple):
    """Docker with BuildKit; the wheels are an image that a RUN mounts. What its engine costs is not measured."""

    name: str
    title: str
    dockerfile: str
    warm: bool = True
    engine: bool = True

    def missing(self, kitchen: Kitchen) -> str:
        return "" if kitchen.docker else "no Docker engine can be started, or its client lacks BuildKit"

    def forget(self, kitchen: Kitchen) -> None:
        """Images and build steps go, base and packages come back; what a RUN keeps in a cache mount stays."""
        docker = self._program(kitchen)
        images = subprocess.run([*docker, "images", "-aq"], check=True, capture_output=True, text=True).stdout
        if images.split():
            subprocess.run([*docker, "rmi", "-f", *set(images.split())], check=False, capture_output=True)
        prune = ["builder", "prune", "-a", "-f", "--filter", "type=regular"]
        subprocess.run([*docker, *prune], check=True, capture_output=True)
        subprocess.run([*docker, "pull", "-q", kitchen.base], check=True, capture_output=True)
        context = kitchen.folder / "docker-wheels"
        if not context.exists():
            shutil.copytree(kitchen.wheels, context / "wheels", copy_function=os.link)
            (context / "uv").mkdir()
            shutil.copy2(kitchen.uv, context / "uv/uv")
            (context / "Dockerfile").write_text("FROM scratch\nCOPY wheels /wheels\nCOPY uv /uv\n")
        build = ["build", "-q", "--network", "none", "-t", "wheels:1", str(context)]
        subprocess.run([*docker, *build], check=True, capture_output=True, env=self._variables())

    def commands(self, kitchen: Kitchen, project: Path, reference: str) -> list[list[str]]:
        bytecode = "UV_COMPILE_BYTECODE=1" if "bytecode" in self.name else ""
        mounts = (
            "--mount=type=bind,from=wheels:1,source=/wheels,target=/wheels"
            " --mount=type=bind,from=wheels:1,source=/uv,target=/opt/uv"
        )
        text = self.dockerfile.format(base=kitchen.base, compile=bytecode, mounts=mounts)
        (project / "Dockerfile").write_text(text)
        docker = self._program(kitchen)
        return [
            [*docker, "build", "-q", "--network", "none", "-t", reference, str(project)],
            [*docker, "push", "-q", reference],
        ]

    def environment(self, kitchen: Kitchen) -> dict[str, str]:
        return self._variables()

    def _program(self, kitchen: Kitchen) -> list[str]:
        return [_client(), "--host", kitchen.docker]

    def _variables(self) -> dict[str, str]:
        return {**os.environ, "DOCKER_BUILDKIT": "1"}


def _client() -> str:
    """A client that can build with BuildKit: a new one needs its buildx component."""
    for folder in os.get_exec_path():
        program = Path(folder) / "docker"
        if not os.access(program, os.X_OK):
            continue
        argv = [str(program), "build", "--help"]
        env = {**os.environ, "DOCKER_BUILDKIT": "1"}
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
        if done.returncode == 0 and "buildx component is missing" not in done.stderr:
            buildx = [str(program), "buildx", "version"]
            version = subprocess.run([str(program), "--version"], capture_output=True, text=True, check=False)
            major = version.stdout.removeprefix("Docker version ").partition(".")[0]
            old = major.isdigit() and int(major) < 23  # noqa: PLR2004 - from there on BuildKit is buildx
            if old or not subprocess.call(buildx, stdout=-3, stderr=-3):
                return str(program)
    return ""
