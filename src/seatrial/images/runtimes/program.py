"""What runs in an image, the same for every backend: the command line, its environment and its user, checked."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError, UsageError
from seatrial.images.rootfs import Root, locate
from seatrial.images.runtimes.launch import command_of, environment
from seatrial.images.runtimes.users import Who, who

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.runtimes.launch import Launch


class Program(msgspec.Struct, frozen=True):
    """`user` is as the caller or the image wrote it; `line` and `env` are whole."""

    line: list[str]
    env: dict[str, str]
    who: Who
    user: str


def program_of(root: Root, command: Sequence[str], launch: Launch) -> Program:
    """Resolve what is to run, and refuse it in our words before anything starts.

    Raises:
        SeatrialError: the program, the user or a bound file does not exist, or there is no command.
    """
    user = launch.user or root.settings.get("User") or ""
    person = who(root, user)
    values = environment(root, launch, person.home, os.environ)
    line = command_of(root, command, launch.entrypoint)
    for name, value in values.items():
        if not name or "=" in name or "\0" in name + value:
            raise SeatrialError(
                f"{name!r} cannot be an environment variable", fix="use NAME=VALUE without NUL"
            )
    _check(root, line[0], values.get("PATH", ""), launch)
    return Program(line, values, person, user)


def refuse_before(title: str, launch: Launch) -> None:
    """For backends that run one program in a root.

    Raises:
        UsageError: the launch has programs that run before another, or wants GPUs.
    """
    if launch.gpus:
        raise UsageError(f"{title} is not asked for GPUs by Seatrial", fix="use the runtime bwrap")
    if launch.before:
        raise UsageError(
            f"{title} cannot run a program before another in the same root", fix="use the runtime bwrap"
        )


def _check(root: Root, program: str, path: str, launch: Launch) -> None:
    for bind in launch.binds:
        if not bind.target.startswith("/"):
            raise SeatrialError(
                f"{bind.target!r} is not an absolute path in the image", fix="use HOST:/DEST[:ro]"
            )
        if not os.path.exists(bind.source):  # noqa: PTH110 - a string on both sides
            raise SeatrialError("there is nothing here to bind into the image", where=bind.source)
    if launch.before:
        program = launch.before[0].command[0]
        path = launch.before[0].env.get("PATH", path)
    if not launch.binds:
        _check_program(root, program, path, launch)


def _check_program(root: Root, program: str, path: str, launch: Launch) -> None:
    """Say in our words what a backend would say in its own. With binds only it knows: they may bring the program.

    The same goes for programs that run after others; the first one is looked for.
    """
    workdir = launch.workdir or root.settings.get("WorkingDir") or "/"
    folders = [""] if "/" in program else path.split(":")
    for folder in folders:
        place = f"{folder}/{program}" if folder else program
        _, found = locate(root, place if place.startswith("/") else f"{workdir}/{place}")
        if found is not None and found.is_file():
            if found.stat().st_mode & 0o111:
                return
            raise SeatrialError(
                f"{place} in the image is not executable",
                where=root.digest,
                fix=f"make it so: chmod +x {place}",
            )
    why = "there is no such file" if "/" in program else f"PATH is {path}"
    raise SeatrialError(f"the image has no program {program!r}", where=root.digest, why=why)
