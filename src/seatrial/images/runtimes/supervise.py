"""Run a container engine's client, and leave nothing of it behind; run as a program, never imported.

    python -I -S supervise.py DESCRIPTOR

The descriptor holds JSON: `engine.Supervised`. An engine's containers outlive its clients, so three processes share
the work:

    this one      hands signals on to the container and ends with the client's exit code; carries published ports
      ├ client    `docker run …` or `podman run …`, in a session of its own: nothing but this one tells it anything
      └ guard     in a session of its own: when this process is gone, however that ended, it removes the container,
                  and the image when nobody else runs it
"""

# ruff: noqa: S606 - a small program: it starts with little of the standard library

from __future__ import annotations

import json
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    from typing import Any

    from seatrial.images.runtimes import enter

    Spec = dict[str, Any]
else:
    import _signal as signal

    sys.path.append(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - cheaper
    import enter

NEW_USER, NEW_NETWORK = enter.NEW_USER, enter.NEW_NETWORK
WATCHED = enter.FORWARDED | {signal.SIGCHLD, enter.END}
KILLED = 128 + signal.SIGKILL
# A container may appear after its client is gone: the engine was making it.
TRIES, PAUSE = 12, 0.25


def main() -> int:
    with open(int(sys.argv[1]), "rb", closefd=False) as stream:
        spec: Spec = json.load(stream)
    signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
    if spec["parent"]:
        enter.libc.prctl(enter.PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have gone before the line above.
        if os.getppid() != spec["parent"]:
            return enter.CANNOT
    lifeline, held = os.pipe()
    guard = os.fork()
    if guard == 0:
        os.close(held)
        tend(spec, lifeline)
        os._exit(0)
    os.close(lifeline)
    client = os.fork()
    if client == 0:
        start(spec)
    publisher = os.fork() if spec["publish"] else 0
    if spec["publish"] and publisher == 0:
        os.close(held)
        publish(spec)
        os._exit(0)
    code, ended = wait(spec, client, {guard, publisher})
    if publisher:
        os.kill(publisher, signal.SIGKILL)
    if ended:
        os.write(held, b".")
    os.close(held)
    os.waitpid(guard, 0)
    return code


def start(spec: Spec) -> None:
    """Become the client."""
    enter.libc.prctl(enter.PR_SET_PDEATHSIG, signal.SIGKILL)
    # Without root, a part of Podman's client ends at once, with 0 or 1, by signals that it is to hand on.
    os.setsid()
    enter.keep_only({0, 1, 2, *spec["keep"]})
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    # Podman's monitor writes a file `oom` where it was started when memory ends; nothing can be written here.
    os.chdir("/proc")
    line = spec["client"]
    try:
        os.execve(line[0], line, {**os.environ, **spec["env"]})
    except OSError as error:
        os.write(2, f"seatrial: {line[0]}: {error.strerror}\n".encode())
    os._exit(enter.CANNOT)


def wait(spec: Spec, client: int, others: set[int]) -> tuple[int, bool]:
    """Hand on signals until the client ends, by itself or not; a second interrupt kills.

    The client is a child that has not been waited for, so its number is its own.
    """
    interrupts = 0
    while True:
        found = signal.sigwaitinfo(WATCHED)
        if found.si_signo == signal.SIGCHLD:
            code = reap(client, others)
            if code is not None:
                return code, True
            continue
        interrupts += found.si_signo == signal.SIGINT
        if found.si_signo == enter.END or interrupts > 1:
            os.kill(client, signal.SIGKILL)
            os.waitpid(client, 0)
            return int(KILLED), False
        if found.si_signo == signal.SIGWINCH:
            os.kill(client, signal.SIGWINCH)  # it fits the container's terminal to ours
        else:
            hand_on(spec, client, found.si_signo)


def reap(client: int, others: set[int]) -> int | None:
    """The client's exit code when it has ended."""
    for pid in [client, *(other for other in others if other)]:
        try:
            ended, status = os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue
        if ended == client:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
    return None


def hand_on(spec: Spec, client: int, number: int) -> None:
    """Send the signal to the container's first process, once there is one, unless the client ends before."""
    import time

    # An engine names what it signalled.
    while not ask([*spec["signal"], str(number)]):
        ended = os.waitid(os.P_PID, client, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        if ended or signal.sigpending() & {signal.SIGINT, enter.END}:
            return
        time.sleep(0.05)


def pid_of(spec: Spec) -> int:
    """The number of the container's first process, waiting until it has one."""
    import time

    while not ((said := ask(spec["find"])).isdigit() and int(said)):
        time.sleep(0.05)
    return int(said)


def ask(line: list[str]) -> str:
    """What a command prints on its standard output."""
    import subprocess

    done = subprocess.run(
        line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False,
        start_new_session=True,
    )  # fmt: skip
    return done.stdout.decode(errors="replace").strip()


def publish(spec: Spec) -> None:
    """Carry connections into the container's network, which its first process is in."""
    enter.libc.prctl(enter.PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())
    pid = pid_of(spec)
    try:
        if os.geteuid() != 0:
            enter_namespace(pid, "user", NEW_USER)
        enter_namespace(pid, "net", NEW_NETWORK)
    except OSError as error:
        sys.stderr.write(f"seatrial: ports are not published: {error.filename}: {error.strerror}\n")
        return
    enter.publish(spec["publish"])


def enter_namespace(pid: int, kind: str, flag: int) -> None:
    place = f"/proc/{pid}/ns/{kind}"
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
    enter.call(place, enter.libc.setns(descriptor, flag))
    os.close(descriptor)


def tend(spec: Spec, lifeline: int) -> None:
    """Wait until nobody holds the other end, then remove what the engine has of us."""
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)  # nobody must wait for us to close theirs
    os.chdir("/")
    ended = os.read(lifeline, 1) != b""
    import fcntl
    import time

    # An engine names what it removed.
    for _ in range(TRIES):
        if ask(spec["remove"]) or ended:
            break
        time.sleep(PAUSE)
    try:
        fcntl.flock(spec["image_lock"], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return
    ask(spec["forget"])


if __name__ == "__main__":
    os._exit(main())
