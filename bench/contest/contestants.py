"""Who takes part, and how each is asked to build and push. Every one starts from the same base and wheels."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from contest.docker import Docker
from contest.kitchen import PYTHON

if TYPE_CHECKING:
    from collections.abc import Sequence

    from contest.kitchen import Kitchen


class Contestant(Protocol):
    """`warm` says that a first run leaves packages at hand for the next, `engine` that the work is done by an engine
    whose cost is not seen. `forget` removes every layer that was made before, and keeps base and packages; `commands` build and push."""

    @property
    def name(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def warm(self) -> bool: ...

    @property
    def engine(self) -> bool: ...

    def missing(self, kitchen: Kitchen) -> str: ...

    def forget(self, kitchen: Kitchen) -> None: ...

    def commands(self, kitchen: Kitchen, project: Path, reference: str) -> list[list[str]]: ...

    def environment(self, kitchen: Kitchen) -> dict[str, str]: ...


class Seatrial(NamedTuple):
    """This project, with its wheels and base in the cache, and neither layers nor resolutions."""

    name: str
    title: str
    bytecode: bool
    warm: bool = True
    engine: bool = False

    def missing(self, kitchen: Kitchen) -> str:
        return ""

    def forget(self, kitchen: Kitchen) -> None:
        for kind in ("layers", "resolutions", "registries"):
            shutil.rmtree(kitchen.cache / kind, ignore_errors=True)

    def commands(self, kitchen: Kitchen, project: Path, reference: str) -> list[list[str]]:
        flag = "--bytecode" if self.bytecode else "--no-bytecode"
        (project / "seatrial.yaml").write_text(
            f"images:\n  app:\n    base: {{registry: '{kitchen.base}'}}\n    requirements: [requirements.txt]\n"
            "    source: {include: [app.py]}\n    entrypoint: [python3, app.py]\n"
        )
        seatrial = [PYTHON, "-m", "seatrial", "image", "assemble", str(project), "--json"]
        wheels = ["--offline", "--find-links", str(kitchen.wheels)]
        return [[*seatrial, flag, "--no-smoke", *wheels, "--tag", reference, "--push"]]

    def environment(self, kitchen: Kitchen) -> dict[str, str]:
        return {}


_PIP = """\
FROM {base}
COPY requirements.txt /tmp/requirements.txt
RUN {mounts} pip install --break-system-packages --no-cache-dir --no-index --find-links /wheels --require-hashes -r /tmp/requirements.txt
COPY app.py /app/app.py
WORKDIR /app
USER 1000:1000
ENTRYPOINT ["python3", "app.py"]
"""
# The heavy packages have a layer of their own, so that another pin does not move them; uv's cache is a mount that is
# warm, and what it links cannot be linked across it, so it copies. Requirements are copied, not mounted: Buildah does
# not look into a mount when it decides whether a step was done before.
_UV = """\
FROM {base}
ENV UV_SYSTEM_PYTHON=1 UV_BREAK_SYSTEM_PACKAGES=1 UV_LINK_MODE=copy {compile}
COPY heavy.txt /tmp/heavy.txt
RUN --mount=type=cache,target=/root/.cache/uv {mounts} \\
  /opt/uv/uv pip install --no-deps --no-index --find-links /wheels --require-hashes -r /tmp/heavy.txt
COPY requirements.txt /tmp/requirements.txt
RUN --mount=type=cache,target=/root/.cache/uv {mounts} \\
  /opt/uv/uv pip install --no-index --find-links /wheels --require-hashes -r /tmp/requirements.txt
COPY app.py /app/app.py
WORKDIR /app
USER 1000:1000
ENTRYPOINT ["python3", "app.py"]
"""


class Buildah(NamedTuple):
    """Buildah with a Dockerfile; `push` are options of its push."""

    name: str
    title: str
    dockerfile: str
    push: tuple[str, ...] = ()
    warm: bool = True
    engine: bool = False

    def missing(self, kitchen: Kitchen) -> str:
        return "" if shutil.which("buildah") else "buildah is not installed"

    def forget(self, kitchen: Kitchen) -> None:
        """Images go, the base comes back; a warm cache of packages stays, as it would on a developer's machine."""
        argv = self._program(kitchen)
        if (kitchen.folder / self.name / "root").exists():
            subprocess.run([*argv, "rmi", "--all", "--force"], check=True, capture_output=True)
        subprocess.run([*argv, "pull", "--tls-verify=false", kitchen.base], check=True, capture_output=True)

    def commands(self, kitchen: Kitchen, project: Path, reference: str) -> list[list[str]]:
        bytecode = "UV_COMPILE_BYTECODE=1" if "bytecode" in self.name else ""
        text = self.dockerfile.format(base=kitchen.base, compile=bytecode, mounts="")
        (project / "Dockerfile").write_text(text)
        mounts = [f"{kitchen.wheels}:/wheels:ro", f"{Path(kitchen.uv).parent}:/opt/uv:ro"]
        volumes = [word for mount in mounts for word in ("-v", mount)]
        argv = self._program(kitchen)
        build = ["build", "--isolation", "chroot", "--layers", "--pull-never", "-q", "-t", reference]
        return [
            [*argv, *build, *volumes, str(project)],
            [*argv, "push", "-q", "--tls-verify=false", *self.push, reference],
        ]

    def environment(self, kitchen: Kitchen) -> dict[str, str]:
        return {"TMPDIR": str(kitchen.folder / "tmp")}

    def _program(self, kitchen: Kitchen) -> list[str]:
        place = kitchen.folder / self.name
        return ["buildah", "--root", str(place / "root"), "--runroot", str(place / "run")]


CONTESTANTS: Sequence[Contestant] = (
    Seatrial("seatrial", "Seatrial without bytecode", bytecode=False),
    Seatrial("seatrial-bytecode", "Seatrial", bytecode=True),
    Buildah(
        "buildah-uv",
        "Buildah, uv, zstd",
        _UV,
        ("--compression-format", "zstd", "--compression-level", "1"),
    ),
    Buildah(
        "buildah-uv-bytecode",
        "Buildah, uv, bytecode, zstd",
        _UV,
        ("--compression-format", "zstd", "--compression-level", "1"),
    ),
    Docker("docker-uv", "Docker, uv", _UV),
    Docker("docker-pip", "Docker, pip", _PIP, warm=False),
    Buildah("buildah-pip", "Buildah, pip", _PIP, warm=False),
)
