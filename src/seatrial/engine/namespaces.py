"""Whether this machine lets us give a step a namespace of processes of its own."""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sys

NEW_MOUNTS, NEW_PROCESSES = 0x00020000, 0x20000000
"""CLONE_NEWNS and CLONE_NEWPID. Source: clone(2)."""
_MS_REC, _MS_SLAVE = 1 << 14, 1 << 19
_libc = ctypes.CDLL(None, use_errno=True)

_ASK = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from seatrial.engine.namespaces import tried
sys.exit(not tried())
"""


@functools.cache
def available() -> bool:
    """Whether a process namespace with its own /proc can be made without changing who we are.

    That takes root (in a container: with the right to mount /proc). For everybody else it would take a
    user namespace, in which programs such as mmdebstrap and sudo no longer work; they get a subreaper.
    `SEATRIAL_NO_NAMESPACES=1` asks for that, too.
    """
    import json

    argv = [sys.executable, "-I", "-c", _ASK, json.dumps(sys.path)]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0


@functools.cache
def tried() -> bool:
    """The same, for a process that may fork: one without threads or a database."""
    if os.environ.get("SEATRIAL_NO_NAMESPACES"):
        return False
    told, tell = os.pipe()
    if os.fork() == 0:
        try:
            _try(tell)
        finally:
            os._exit(0)
    os.close(tell)
    with os.fdopen(told, "rb") as stream:  # ends when whoever could say yes has ended
        return stream.read() == b"yes"


def leave(kinds: int) -> bool:
    """Have new namespaces of these kinds from now on; that of processes begins with the next child."""
    return bool(_libc.unshare(kinds) == 0)


def mount_proc() -> bool:
    """Show this namespace's own processes in /proc; the mount ends with the namespace of mounts that this one is in."""
    _libc.mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None)
    return bool(_libc.mount(b"proc", b"/proc", b"proc", 0, None) == 0)


def _try(tell: int) -> None:
    if leave(NEW_PROCESSES | NEW_MOUNTS) and os.fork() == 0 and mount_proc():
        os.write(tell, b"yes")
