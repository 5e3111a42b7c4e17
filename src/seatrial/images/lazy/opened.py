"""Which files of an image a program opens while it starts: what `first.read_first` takes as a list."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images import runtime
from seatrial.images.assemble.store import scratch
from seatrial.images.rootfs import locate
from seatrial.images.runtimes.launch import Bind, Launch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from seatrial.images.rootfs import Root

_TARGET = "/run/seatrial-opened"
_GRACE = 10.0


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """Absolute paths of files of the image, sorted; their size in bytes, and how the program ended.

    `exit_code` is None for a program that was ended because its time was over.
    """

    paths: tuple[str, ...]
    size: int
    exit_code: int | None


def opened(root: Root, command: Sequence[str], launch: Launch, *, seconds: float) -> Opened:
    """Run a Python program of the image for at most `seconds`, and say which files of the image it opened or mapped.

    Programs that it starts count too, as far as they are Python's. What it prints goes to stderr.

    Raises:
        SeatrialError: it cannot be started, or no Python ran.
        MissingToolError: this machine cannot run images.
    """
    with scratch() as folder:
        said = folder / "opened"
        said.touch()
        said.chmod(0o666)
        (folder / "hook").mkdir()
        hook = Path(__file__).parent / "inside" / "sitecustomize.py"
        (folder / "hook" / hook.name).write_bytes(hook.read_bytes())
        exit_code = _run(root, command, _watching(root, launch, folder), seconds)
        lines = said.read_bytes().decode("utf-8", "surrogateescape").splitlines()
    found = _of_image(root, lines)
    if not found:
        raise SeatrialError(
            "nothing is known of what the program opened", where=root.digest,
            why=f"no Python of the image ran (the program ended with {exit_code})",
            fix="give a command that starts a Python program, without -I, -E or -S",
        )  # fmt: skip
    return Opened(paths=tuple(sorted(found)), size=sum(found.values()), exit_code=exit_code)


def _watching(root: Root, launch: Launch, folder: Path) -> Launch:
    settings = dict(line.partition("=")[::2] for line in root.settings.get("Env") or ())
    own = launch.env.get("PYTHONPATH", settings.get("PYTHONPATH", ""))
    env = {
        **launch.env,
        "PYTHONPATH": f"{_TARGET}/hook:{own}" if own else f"{_TARGET}/hook",
        "SEATRIAL_OPENED": f"{_TARGET}/opened",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    binds = (
        *launch.binds,
        Bind(str(folder / "hook"), f"{_TARGET}/hook"),
        Bind(str(folder / "opened"), f"{_TARGET}/opened", read_only=False),
    )
    # As process 1 a program would ignore the signal that is to end it.
    return msgspec.structs.replace(launch, env=env, binds=binds, init=True)


def _run(root: Root, command: Sequence[str], launch: Launch, seconds: float) -> int | None:
    with runtime.start(root, command, launch, stdout=sys.stderr.fileno()) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE)
    return None


def _of_image(root: Root, lines: Sequence[str]) -> dict[str, int]:
    """Files of the image with their sizes, with links followed; what the machine or the program brought is none."""
    found: dict[str, int] = {}
    for line in dict.fromkeys(lines):
        path, place = locate(root, line)
        with suppress(OSError):
            if place is not None and place.is_file() and not path.startswith(_TARGET):
                found[path] = place.stat().st_size
    return found
