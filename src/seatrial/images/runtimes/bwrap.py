"""bwrap: needs neither root nor a daemon. The default."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from seatrial import processes
from seatrial.images.runtimes.launch import arguments, argv
from seatrial.images.runtimes.local import bounded, held, remarks
from seatrial.images.runtimes.program import program_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.images.rootfs import Root
    from seatrial.images.runtimes.backends import Prepared
    from seatrial.images.runtimes.launch import Launch

TITLE = "bwrap"
__all__ = ["TITLE", "ready", "remarks"]


@contextmanager
def ready(root: Root, command: Sequence[str], launch: Launch, *, interactive: bool) -> Iterator[Prepared]:  # noqa: ARG001 - streams are inherited
    """The launcher's command line, with the layers held and the root at hand.

    Raises:
        SeatrialError: the program, user or a bound file does not exist.
        MissingToolError: this machine lacks bwrap or user namespaces.
    """
    bwrap = processes.find("bwrap")
    program = program_of(root, command, launch)
    launch = bounded(launch)
    with held(root, launch) as place:
        launch = place.launch(launch)
        memory = place.memory_file(arguments(program.env))
        earlier = [place.memory_file(arguments(program.env | one.env)) for one in launch.before]
        yield place.prepared(
            argv(
                root, program.line, launch, program.who,
                bwrap=bwrap, args_fd=memory, copy=place.copy, groups=place.groups,
                host=os.environ, before_fds=earlier,
            )
        )  # fmt: skip
