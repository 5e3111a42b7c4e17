"""The host: commands run as processes of this machine, by whoever started the build.

They see this machine's files and programs. Root's commands are root's, as in CodeBuild; an ordinary user's are that
user's, so `run-as` cannot hold. Of the environment they get what `environment.passed` lets through.
"""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from seatrial.builds import environment
from seatrial.builds.worker import WORKER

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.builds.setup import Wanted

# The engine finds what outlived its step by this.
_OURS = "SEATRIAL_TOKEN"


def seen(output: Path, state: Path) -> tuple[str, str]:
    """The container is this machine: it sees folders where they are."""
    return str(output), str(state)


def base(wanted: Wanted) -> dict[str, str]:
    """What is passed on of this machine's environment."""
    return environment.passed(os.environ, credentials=wanted.credentials)


def home() -> str:
    """The home of whoever runs the build: /root for root."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return os.environ.get("HOME") or "/"


def unset() -> tuple[str, ...]:
    """Variables of this process that the loop, which inherits them, must not hand on."""
    return tuple(name for name in os.environ if name != _OURS and name.isidentifier() and name.isascii())


def argv(wanted: Wanted, output: Path, state: Path) -> list[str]:  # noqa: ARG001 - the contract's
    """The loop, run by this machine's sh."""
    return ["/bin/sh", str(state / WORKER)]


def become(wanted: Wanted, line: list[str], output: Path, state: Path, *, env: dict[str, str]) -> int:  # noqa: ARG001
    """Turn this process into a program in the build's workspace."""
    os.execve(line[0], line, env)  # noqa: S606 - there is no shell on purpose
