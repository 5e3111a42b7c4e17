"""Run a program in an image: without a daemon and without root under bwrap, or under runc, Docker or Podman.

`prepare` unpacks an image's layers into the store; `start` and `run` start the program. Whatever it writes is gone
when it ends; nothing in the store can change. Under bwrap and runc the layers are mounted below a scratch layer in
memory; Docker and Podman get the image into their own store for the run.

What differs from a container engine under bwrap and runc, and why:

- Without root only the caller's own id is certain, so every file belongs to the image's user. Programs that
  change their user need a range of ids (root, or an entry in /etc/subuid) and start as root.
- Memory of all processes together is limited where this process may make control groups, else that of each process
  (RLIMIT_DATA); `remarks` says which.
- With `network="none"`, published ports are carried into the program's own network; nothing gets out.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from seatrial import processes
from seatrial.errors import SeatrialError
from seatrial.images import layout as oci
from seatrial.images import rootfs, unpack
from seatrial.images.rootfs import Root
from seatrial.images.runtimes import backends, starting
from seatrial.images.runtimes.launch import (
    CANNOT_START,
    Before,
    Bind,
    Launch,
    Publish,
    argv,
    command_of,
    environment,
)
from seatrial.images.runtimes.probe import Support, refused, support
from seatrial.images.runtimes.users import Who, who

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

__all__ = [
    "BACKENDS", "CANNOT_START", "DEFAULT", "Backend", "Before", "Bind", "Launch", "Publish", "Root", "Support", "Who",
    "argv", "become", "command_of", "environment", "prepare", "remarks", "run", "start", "support", "who",
]  # fmt: skip

Backend = backends.Backend
BACKENDS = backends.NAMES
DEFAULT = backends.DEFAULT


def prepare(layout: Path, digest: str = "", *, platform: str = "") -> Root:
    """Unpack an image's layers into the store, those that are not there yet, and return its root.

    Raises:
        SeatrialError: the image is damaged or unsafe, or the disk is full.
    """
    image = oci.read_image(layout, digest=digest, platform=platform)
    unpack.sweep()
    names = unpack.unpack_all(layout, list(zip(image.manifest.layers, oci.diff_ids(image), strict=True)))
    return Root(image.digest, str(rootfs.store()), tuple(names), image.config, str(layout))


def start(
    root: Root,
    command: Sequence[str],
    launch: Launch = Launch(),  # noqa: B008 - frozen
    *,
    stdin: starting.Stream = subprocess.DEVNULL,
    stdout: starting.Stream = None,
    stderr: starting.Stream = None,
    backend: Backend = DEFAULT,
) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """Run a program for the length of a block; afterwards it and all its descendants are gone.

    `command` follows the image's entry point; empty means the image's own. The process is the launcher: its
    signals reach the program, and it ends with the program's exit code (128+n: ended by signal n; 125: could
    not be started).

    Raises:
        SeatrialError: the program, user or a bound file does not exist.
        MissingToolError: this machine lacks the backend, or what it needs.
    """
    return starting.launched(
        root, command, launch, backend=backend, stdin=stdin, stdout=stdout, stderr=stderr
    )


def become(
    root: Root,
    command: Sequence[str],
    launch: Launch = Launch(),  # noqa: B008 - frozen
    *,
    backend: Backend = DEFAULT,
) -> int:
    """Turn this process into the launcher; where that cannot be, wait for it and return the exit code.

    Raises:
        SeatrialError: as `start`.
    """
    return starting.become(root, command, launch, backend=backend)


def remarks(launch: Launch, backend: Backend = DEFAULT) -> tuple[str, ...]:
    """What of `launch` will not hold as asked under this backend, a sentence each; the caller's user must see them."""
    return backends.module(backend).remarks(launch)


def run(
    root: Root,
    command: Sequence[str],
    launch: Launch = Launch(),  # noqa: B008 - frozen
    *,
    stdin: str | None = None,
    timeout: float | None = 600,
    backend: Backend = DEFAULT,
) -> processes.Completed:
    """Run a program to its end and return what it printed; a non-zero exit is not an error here.

    Raises:
        SeatrialError: as `start`; or it ran longer than `timeout` seconds and was killed.
        MissingToolError: this machine cannot run images.
    """
    source = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    with start(
        root, command, launch, stdin=source, stdout=subprocess.PIPE, stderr=subprocess.PIPE, backend=backend
    ) as process:
        try:
            out, err = process.communicate(None if stdin is None else stdin.encode(), timeout=timeout)
        except subprocess.TimeoutExpired as error:
            raise SeatrialError(
                f"{command[0] if command else 'the image'} did not finish in {timeout:g} s"
            ) from error
    text = err.decode(errors="replace")
    if process.returncode == CANNOT_START and text.startswith("seatrial: "):
        raise refused(text.splitlines()[0].removeprefix("seatrial: "))
    return processes.Completed(process.returncode, out.decode(errors="replace"), text)
