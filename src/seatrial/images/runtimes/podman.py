"""Podman: no daemon; it runs the image from the caller's own store, with or without root."""

from __future__ import annotations

import os
import resource
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.images.runtimes import cgroups, engine
from seatrial.processes import missing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.images.rootfs import Root
    from seatrial.images.runtimes.backends import Prepared
    from seatrial.images.runtimes.launch import Launch

TITLE = "Podman"
__all__ = ["TITLE", "ready", "remarks"]

_SYS_RESOURCE = 24
_HELPERS = ("/usr/local/libexec/podman", "/usr/local/lib/podman", "/usr/libexec/podman", "/usr/lib/podman")
_FILES, _PROCESSES = 4096, 30_000


@contextmanager
def ready(root: Root, command: Sequence[str], launch: Launch, *, interactive: bool) -> Iterator[Prepared]:
    """The supervisor's command line, with the image in Podman's store.

    Raises:
        SeatrialError: the program, user or a bound file does not exist, or Podman refuses the image.
        UsageError: Podman cannot do what is asked for.
        MissingToolError: Podman is not installed, or has no program for `init`.
    """
    program = engine.find("podman", TITLE)
    # Proxies are ours to pass. Podman fills more folders than /tmp in a read-only root. It makes no workdir.
    options = ["--http-proxy=false", *(["--read-only-tmpfs=false"] if launch.read_only else []), *_limits()]
    options += [*engine.missing_workdir(root, launch), *(_init() if launch.init else [])]
    with engine.ready(program, root, command, launch, interactive=interactive, options=options) as prepared:
        yield prepared


def remarks(launch: Launch) -> tuple[str, ...]:
    """What will not hold as asked. Podman's own warning about limits that it ignores is easily missed."""
    said = engine.remarks(TITLE, launch)
    if os.geteuid() == 0 or cgroups.version() == "2":
        return said
    why = f"{TITLE} sets no limits without root on control groups of version 1"
    if launch.total_memory:
        said += (f"memory is not limited: {why}",)
    if launch.cpus:
        said += (f"processors are not limited: {why}",)
    return said


def _limits() -> list[str]:
    """Started by root, Podman raises limits; root in a container may not."""
    if os.geteuid() != 0 or _may_raise():
        return []
    files, processes = (
        min(most, hard) if hard != resource.RLIM_INFINITY else most
        for most, (_, hard) in (
            (_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)),
            (_PROCESSES, resource.getrlimit(resource.RLIMIT_NPROC)),
        )
    )
    return ["--ulimit", f"nofile={files}:{files}", "--ulimit", f"nproc={processes}:{processes}"]


def _init() -> list[str]:
    """The first process: Podman's own, or another that needs no library of the image.

    Raises:
        MissingToolError: there is none.
    """
    if any(Path(folder, "catatonit").exists() for folder in _HELPERS):
        return []
    for name in ("catatonit", "docker-init", "tini-static"):
        found = shutil.which(name)
        if found:
            return [f"--init-path={found}"]
    raise missing("catatonit")


def _may_raise() -> bool:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _SYS_RESOURCE & 1)
    return False
