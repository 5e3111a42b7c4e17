"""Whether this machine lets us give a step a namespace of processes of its own."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

_PROBE = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x20000000 | 0x00020000):
    sys.exit(1)
child = os.fork()
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
libc.mount(b"none", b"/", None, (1 << 14) | (1 << 19), None)
os._exit(1 if libc.mount(b"proc", b"/proc", b"proc", 0, None) else 0)
"""


@functools.cache
def available() -> bool:
    """Whether a process namespace with its own /proc can be made without changing who we are.

    That takes root (in a container: with the right to mount /proc). For everybody else it would take a
    user namespace, in which programs such as mmdebstrap and sudo no longer work; they get a subreaper.
    `SEATRIAL_NO_NAMESPACES=1` asks for that, too.
    """
    if os.environ.get("SEATRIAL_NO_NAMESPACES"):
        return False
    probe = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _PROBE], stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    return probe.returncode == 0
