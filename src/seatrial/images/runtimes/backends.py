"""The four programs that can run an image, behind one contract.

A backend is a module with the members of `Backend`; the table names them, and they are imported when used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, cast, get_args

from seatrial.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from seatrial.images.rootfs import Root
    from seatrial.images.runtimes.launch import Launch

Backend = Literal["bwrap", "runc", "docker", "podman"]
NAMES: tuple[Backend, ...] = get_args(Backend)
DEFAULT: Backend = "bwrap"
VARIABLE = "SEATRIAL_RUNTIME"


class Prepared(NamedTuple):
    """How to start a launcher: its command line, its environment, and the descriptors that it inherits.

    `tended`: something of this machine must be put in order after it, by the process that started it.
    """

    line: tuple[str, ...]
    env: Mapping[str, str]
    descriptors: tuple[int, ...]
    tended: bool = False


class Module(Protocol):
    """What a backend is.

    The launcher of `ready` ends with the program's exit code (125: not started), hands signals on to the program,
    and on SIGRTMIN ends everything below it and comes back. `remarks` says what will not hold as asked.
    """

    TITLE: str

    def ready(
        self, root: Root, command: Sequence[str], launch: Launch, *, interactive: bool
    ) -> AbstractContextManager[Prepared]: ...

    def remarks(self, launch: Launch) -> tuple[str, ...]: ...


def module(name: str) -> Module:
    """The module of a backend.

    Raises:
        UsageError: there is no such backend.
    """
    if name not in NAMES:
        raise UsageError(
            f"there is no runtime {name!r}", fix=f"use one of {', '.join(NAMES)} (--runtime, or {VARIABLE})"
        )
    return cast("Module", import_module(f"seatrial.images.runtimes.{name}"))
