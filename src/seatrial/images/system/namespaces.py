"""Become root of a user namespace that knows other users too, and run a program there; run as a program, never imported.

    python -I -S namespaces.py parent=PID uids=START:COUNT gids=START:COUNT newuidmap=… newgidmap=… [register=LINE…] -- ARGV…

The program is process 1 of a process namespace: when it ends, the kernel ends everything below, and every mount
goes. It ends itself when PID does. `register` lines go into a table of foreign processors that only this
namespace sees, so nothing of this machine changes.
Sources: user_namespaces(7); Documentation/admin-guide/binfmt-misc.rst (a table for each user namespace: Linux 6.7).
"""

# ruff: noqa: PTH100, PTH118, PTH120, PTH123, S606 - pathlib would double the start-up time; there is no shell on purpose

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal

    from seatrial.images.runtimes import enter
else:
    import _signal as signal

    sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "runtimes"))
    import enter

_TABLE = "/proc/sys/fs/binfmt_misc"


def main() -> int:
    end = sys.argv.index("--")
    words = [word.split("=", 1) for word in sys.argv[1:end]]
    spec = {key: value for key, value in words if key != "register"} | {"network": "host", "owner": "0:0"}
    enter.libc.prctl(enter.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(spec["parent"]):
        return enter.CANNOT
    try:
        enter.separate(spec)
    except OSError as error:
        return cannot(error)
    if not knows_others():
        return cannot(OSError(1, "the range of ids in /etc/subuid was refused", "newuidmap"))
    first = os.fork()
    if first == 0:
        os._exit(be_first(sys.argv[end + 1 :], [line for key, line in words if key == "register"]))
    _, status = os.waitpid(first, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def knows_others() -> bool:
    with open("/proc/self/uid_map") as stream:
        return len(stream.readlines()) > 1


def be_first(argv: list[str], lines: list[str]) -> int:
    enter.libc.prctl(enter.PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        enter.call("/", enter.libc.mount(b"none", b"/", None, enter.MS_REC | enter.MS_SLAVE, None))
        enter.call("/proc", enter.libc.mount(b"proc", b"/proc", b"proc", 0, None))
        if lines:
            enter.call(_TABLE, enter.libc.mount(b"binfmt_misc", _TABLE.encode(), b"binfmt_misc", 0, None))
        for line in lines:
            with open(f"{_TABLE}/register", "wb", buffering=0) as stream:
                stream.write(line.encode())
        os.execv(argv[0], argv)
    except OSError as error:
        return cannot(error)
    return enter.CANNOT


def cannot(error: OSError) -> int:
    os.write(2, f"seatrial: {error.filename or 'namespace'}: {error.strerror}\n".encode())
    return enter.CANNOT


if __name__ == "__main__":
    os._exit(main())
