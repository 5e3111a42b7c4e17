"""Running a base's Python alone in an empty sandbox, by an emulator where its processor is another."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.system.processors import emulator, is_foreign
from seatrial.processes import Completed, run

if TYPE_CHECKING:
    from collections.abc import Sequence

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_EMULATOR = "/tmp/emulator"  # noqa: S108 - in the sandbox's own /tmp


class Python(msgspec.Struct, frozen=True):
    """An interpreter that this machine can start: `executable` (absolute) in the folder `root`.

    `emulator` is the program of this machine that runs it, empty for one of this machine's processor.
    """

    root: str
    executable: str
    emulator: str = ""


def runnable(root: str, executable: str, platform: str) -> Python | None:
    """How to start an interpreter of `platform` here; None without bwrap or an emulator."""
    program = emulator(platform) if is_foreign(platform) else ""
    if shutil.which("bwrap") is None or (is_foreign(platform) and not program):
        return None
    return Python(root, executable, program)


def run_python(python: Python, arguments: Sequence[str]) -> Completed:
    """Run the interpreter: its root read-only, no network, no environment."""
    return run(sandboxed(python, arguments), timeout=60)


def sandboxed(python: Python, arguments: Sequence[str]) -> list[str]:
    """The command line that runs a base's interpreter on nothing but what is in its root."""
    words = [
        "bwrap", "--unshare-all", "--die-with-parent", "--new-session", "--clearenv",
        "--setenv", "PATH", _PATH, "--setenv", "PYTHONHASHSEED", "0", "--setenv", "LC_ALL", "C.UTF-8",
        "--ro-bind", python.root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp",  # noqa: S108 - inside
    ]  # fmt: skip
    if not python.emulator:
        return [*words, python.executable, *arguments]
    # Started by name, so that the kernel needs to know of no emulator; -0 is what Python takes for its own name.
    words += ["--ro-bind", python.emulator, _EMULATOR]
    return [*words, _EMULATOR, "-0", python.executable, python.executable, *arguments]
