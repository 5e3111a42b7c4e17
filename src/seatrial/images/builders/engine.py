"""What Docker and BuildKit share: which program speaks BuildKit, how images get in, and how they get out."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images.archives import read_archive
from seatrial.images.outputs import archive, engines
from seatrial.images.outputs.names import name_of
from seatrial.processes import run

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATIENCE = 30
# Since 23 the client has no BuildKit of its own and needs the plugin. Source: Docker 23.0 release notes.
_PLUGIN_SINCE = 23


class Client(NamedTuple):
    """A `docker` program: its path, its major version, and whether it has the buildx plugin."""

    path: str
    major: int
    text: str
    plugin: bool

    @property
    def speaks_buildkit(self) -> bool:
        """Whether `docker build` can use BuildKit."""
        return self.plugin or self.major < _PLUGIN_SINCE


def clients() -> list[Client]:
    """Every `docker` on PATH, those that speak BuildKit first: there may be an old and a new one."""
    found = []
    for folder in dict.fromkeys(os.environ.get("PATH", "").split(os.pathsep)):
        path = Path(folder or ".") / "docker"
        if not os.access(path, os.X_OK) or path.is_dir():
            continue
        said = run([str(path), "--version"], timeout=_PATIENCE)
        version = re.search(r"version (\d+)\.\S+", said.stdout)
        if said.code == 0 and version:
            plugin = run([str(path), "buildx", "version"], timeout=_PATIENCE).code == 0
            text = version[0].removeprefix("version ").rstrip(",")
            found.append(Client(str(path), int(version[1]), text, plugin))
    return sorted(found, key=lambda one: not one.speaks_buildkit)


def problem() -> str:
    """Why no engine answers; empty when one does."""
    try:
        engines.choose("docker")
    except SeatrialError as error:
        return error.why or error.what
    return ""


def adopt(program: str, name: str, layout: Path) -> None:
    """Give the engine the image of `layout` as `name`, unless it has it.

    Raises:
        SeatrialError: the engine refuses it.
    """
    known = {oci.read_image(layout).manifest.config.digest, oci.read_image(layout).digest}
    said = run([program, "image", "inspect", "--format", "{{.Id}}", name], timeout=_PATIENCE)
    if said.code == 0 and f"sha256:{said.stdout.strip().removeprefix('sha256:')}" in known:
        return
    with subprocess.Popen(
        [program, "load", "--quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None  # noqa: S101 - it was asked for
        try:
            with process.stdin as stdin:
                archive.write(layout, stdin, [name_of(name)])
        except BrokenPipeError:
            pass  # its words say why
        said_last = process.stderr.read().decode("utf-8", "replace") if process.stderr else ""
    if process.returncode != 0:
        raise SeatrialError(f"the engine does not take the base {name}", why=said_last.strip()[-500:])


def save(argv: Sequence[str], layout: Path) -> None:
    """Make a layout of what `docker save` and its like write to stdout.

    Raises:
        SeatrialError: the program fails, or writes no image.
    """
    with subprocess.Popen(list(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None  # noqa: S101 - it was asked for
        try:
            read_archive(process.stdout, layout, where="the built image")
        except SeatrialError as error:
            process.kill()
            said = process.stderr.read().decode("utf-8", "replace") if process.stderr else ""
            raise SeatrialError(
                "the built image cannot be taken out of the builder", why=said.strip()[-500:] or error.what
            ) from error
        process.stdout.read()
    if process.returncode != 0:
        raise SeatrialError(
            "the builder did not hand out the built image", why=f"exit code {process.returncode}"
        )


def image_id(work: Path) -> str:
    """What `--iidfile` names."""
    return (work / "image-id").read_text().strip()
