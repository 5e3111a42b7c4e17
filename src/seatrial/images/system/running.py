"""Starting programs as root of a namespace that knows other users too; nothing of it outlives this process."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import MissingToolError
from seatrial.images.runtimes.host import PROXY_VARIABLES
from seatrial.images.runtimes.users import Who, with_range
from seatrial.images.system.apt import Step  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CANNOT = 125
"""The exit code of `namespaces` and `within` when this machine refuses what they need."""


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """What `within` does. Paths are absolute.

    `layers` are short names in `store`, top first; without any, `root` is a copy of the image. `before` is what
    the image has: path → kind, mode, uid, gid, target of a link, layer. `work` holds what is written.
    """

    store: str
    layers: tuple[str, ...]
    root: str
    work: str
    before: dict[str, tuple[str, int, int, int, str, str]]
    steps: tuple[Step, ...]
    compile: Step
    log: str


def in_namespaces(argv: Sequence[str], processors: Sequence[str] = ()) -> list[str]:
    """The command line that runs `argv` (an absolute program) as root of a namespace with a range of ids.

    `processors` are lines for the kernel's table of foreign processors; see `processors.line`.

    Raises:
        MissingToolError: this user has no range of ids.
    """
    person = with_range(Who(0, 0, "/root"))
    if not person.uids:
        raise MissingToolError(
            "this user may not give files to other users", why="there is no range of ids for it in /etc/subuid and /etc/subgid, or no newuidmap",
            fix="install uidmap, then `sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER`",
        )  # fmt: skip
    words = {
        "parent": str(os.getpid()),
        "uids": person.uids,
        "gids": person.gids,
        "newuidmap": person.newuidmap,
        "newgidmap": person.newgidmap,
    }
    program = [sys.executable, "-I", "-S", str(Path(__file__).with_name("namespaces.py"))]
    return [
        *program,
        *(f"{k}={v}" for k, v in words.items()),
        *(f"register={p}" for p in processors),
        "--",
        *argv,
    ]


def within(task: Path) -> list[str]:
    """The command line that does a task, as `in_namespaces` takes it."""
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("within.py")), str(task)]


@contextmanager
def started(argv: Sequence[str], errors: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The process for the length of a block, its stdout a pipe; afterwards it and all below it are gone.

    It sees nothing of this process's environment but the proxies.
    """
    env = {k: v for k, v in os.environ.items() if k.upper() in PROXY_VARIABLES}
    env |= {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}
    with errors.open("wb") as stderr:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=env,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.kill()  # the kernel then ends what it started
        process.wait()
        if process.stdout:
            process.stdout.close()
