"""Mount an image's layers in namespaces of their own and run bwrap on them; run as a program, never imported.

    python -I -S enter.py KEY=VALUE… -- BWRAP|RUNC [ARG…]

The keys are those of `launch.Entry`. Little of the standard library is imported, and nothing else: this runs
before every program in an image. Three processes wait on one another:

    this one            in the new user, mount and, when asked, network namespace; forwards published ports
      └ process 1       of a new process namespace: when it ends, the kernel ends everything below, also what
        │               called setsid or changed its user (which would clear a parent-death signal)
        └ bwrap, runc   pivots into the root and starts the program

The mounts live in a mount namespace that ends with its last process: a kill leaves nothing behind. Signals go
to the program; its exit code comes back.
"""

# ruff: noqa: PTH123, PTH102, PTH208, SIM105, S606 - pathlib and contextlib would double the start-up time

from __future__ import annotations

import ctypes
import os
import select
import sys

# `typing` costs as much to import as everything above, and `signal` imports `enum` and more for its names.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
    import socket
    from collections.abc import Callable

    Spec = dict[str, str]
else:
    import _signal as signal

NEW_USER, NEW_MOUNT, NEW_PROCESS, NEW_NETWORK = 0x10000000, 0x00020000, 0x20000000, 0x40000000
MS_REC, MS_SLAVE, MS_NODEV, MS_NOSUID, MS_RDONLY = 0x4000, 1 << 19, 4, 2, 1
MS_REMOUNT, MS_BIND = 0x20, 0x1000
MOUNT_FLAGS = {
    "nosuid": 2,
    "nodev": 4,
    "noexec": 8,
    "noatime": 1 << 10,
    "nodiratime": 1 << 11,
    "relatime": 1 << 21,
}
PR_SET_PDEATHSIG = 1
FORWARDED = {
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH,
}  # fmt: skip
# Asks the launcher to end everything below it and to come back when nothing is left.
END = signal.SIGRTMIN
# For programs that cannot be started because the machine lacks something.
CANNOT = 125

libc = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    end = sys.argv.index("--")
    spec = dict(word.split("=", 1) for word in sys.argv[1:end])
    signal.pthread_sigmask(signal.SIG_BLOCK, FORWARDED | {signal.SIGCHLD, END})
    if spec["die_with_parent"]:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have gone before the line above; it said its number when it started us.
        if os.getppid() != int(os.environ["SEATRIAL_PARENT"]):
            return CANNOT
    try:
        join(spec["groups"])
        separate(spec)
        if spec["die_with_parent"]:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user clears it
        mount_root(spec)
    except OSError as error:
        sys.stderr.write(f"seatrial: {error.filename or 'namespace'}: {error.strerror}\n")
        return CANNOT
    lifeline, _held = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(_held)
        os._exit(be_first(spec, sys.argv[end + 1 :], lifeline))
    if spec["publish"] and os.fork() == 0:
        # A process of its own, in the new process namespace: this one may not have threads any more
        # (clone(2): CLONE_THREAD after unshare(CLONE_NEWPID)). It ends with the namespace.
        publish(spec["publish"])
    return wait(first, lambda: first)


def join(groups: str) -> None:
    """Enter the control groups that limit the program, while this machine's own are in sight."""
    for file in groups.split("\n") if groups else ():
        with open(file, "w") as stream:
            stream.write("0")


def separate(spec: Spec) -> None:
    """Leave the caller's namespaces."""
    flags = NEW_MOUNT | NEW_PROCESS | (NEW_NETWORK if spec["network"] == "none" else 0)
    uid, gid = os.geteuid(), os.getegid()
    mapped = spec["uids"] and map_range(flags, spec, uid, gid)
    if spec["owner"] != "0:0":
        if not mapped:
            raise OSError(1, "this machine gives no range of ids", "user namespace")
        os.setresgid(0, 0, 0)
        os.setresuid(0, 0, 0)
    elif not mapped:
        call("user namespace", libc.unshare(NEW_USER | flags))
        map_one(uid, gid)


def map_one(uid: int, gid: int) -> None:
    """Be root in the new namespace, and know nobody else there."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
        with open(f"/proc/self/{name}", "w") as stream:
            stream.write(text)


def map_range(flags: int, spec: Spec, uid: int, gid: int) -> bool:
    """Map a range of users with a helper that stays outside; False when this machine does not let us.

    Only a process outside of the new namespace may write more than one line into its maps.
    """
    me = os.getpid()
    ready, tell = os.pipe()
    done, answer = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(tell)
        mapped = os.read(ready, 1) == b"+" and write_maps(me, spec, uid, gid)
        os.write(answer, b"+" if mapped else b"-")
        os._exit(0)
    os.close(ready)
    os.close(answer)  # else a helper that dies would be waited for without end
    unshared = libc.unshare(NEW_USER | flags) == 0
    os.write(tell, b"+" if unshared else b"-")
    worked = bool(os.read(done, 1) == b"+")
    os.waitpid(helper, 0)
    for descriptor in (tell, done):
        os.close(descriptor)
    if unshared and not worked and spec["owner"] == "0:0":
        map_one(uid, gid)
        worked = True
    return unshared and worked


def write_maps(pid: int, spec: Spec, uid: int, gid: int) -> bool:
    inside_uid, inside_gid = map(int, spec["owner"].split(":"))
    for name, inside, own in (("uid", inside_uid, uid), ("gid", inside_gid, gid)):
        start, count = map(int, spec[f"{name}s"].split(":"))
        lines = ranges(inside, own, start, count)
        if uid == 0:
            try:
                with open(f"/proc/{pid}/{name}_map", "w") as stream:
                    stream.write("".join(f"{a} {b} {c}\n" for a, b, c in lines))
            except OSError:
                return False
            continue
        program = spec[f"new{name}map"]
        child = os.fork()
        if child == 0:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 2)
            os.execv(program, [program, str(pid), *(str(number) for line in lines for number in line)])
        if os.waitpid(child, 0)[1] != 0:
            return False
    return True


def ranges(inside: int, own: int, start: int, count: int) -> list[tuple[int, int, int]]:
    """Lines of a map in which the caller is `inside`, and a range of ids is everyone else, root first."""
    if inside == 0:
        return [(0, own, 1), (1, start, count)]
    lines = [(0, start, min(inside, count)), (inside, own, 1)]
    return [*lines, (inside + 1, start + inside, count - inside)] if count > inside else lines


def mount_root(spec: Spec) -> None:
    """Mount the layers, with an upper folder in memory that goes when the last process goes."""
    call("/", libc.mount(b"none", b"/", None, MS_REC | MS_SLAVE, None))
    if spec["network"] == "none":
        loopback_up()
    if not spec["lower"] and not spec["bundle"]:
        return
    place = spec["mount"]
    size = f"mode=0755,size={spec['scratch']}" if spec["scratch"] != "0" else "mode=0755"
    call(place, libc.mount(b"seatrial", place.encode(), b"tmpfs", MS_NODEV | MS_NOSUID, size.encode()))
    for name in ("upper", "work", "root"):
        os.mkdir(f"{place}/{name}", 0o755)
    if spec["bundle"]:
        keep_groups()
        os.mkdir(f"{place}/bundle", 0o700)
        with open(f"{place}/bundle/config.json", "wb") as stream:
            stream.write(read_all(int(spec["args_fd"])))
    if not spec["lower"]:
        return
    os.chdir(spec["layers"])
    options = f"lowerdir={spec['lower']},upperdir={place}/upper,workdir={place}/work,userxattr"
    root = f"{place}/root"
    call("overlay", libc.mount(b"overlay", root.encode(), b"overlay", MS_NODEV | MS_NOSUID, options.encode()))
    os.chdir("/")


def keep_groups() -> None:
    """Let no control group be made: runc's own ones would stay after a kill. The program is in ours already."""
    with open("/proc/self/mountinfo") as stream:
        lines = stream.read().splitlines()
    for line in lines:
        if line.partition(" - ")[2].startswith("cgroup"):
            place, options = line.split(" ")[4:6]
            flags = sum(MOUNT_FLAGS.get(one, 0) for one in options.split(","))  # none may be dropped here
            libc.mount(None, place.encode(), None, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, None)


def read_all(descriptor: int) -> bytes:
    with open(descriptor, "rb", closefd=False) as stream:
        return stream.read()


def loopback_up() -> None:
    import _socket  # `socket` imports `enum` and `selectors`
    import fcntl
    import struct

    get_flags, set_flags, up = 0x8913, 0x8914, 0x1
    probe = _socket.socket(_socket.AF_INET, _socket.SOCK_DGRAM)
    request = struct.pack("16sH14x", b"lo", 0)
    (flags,) = struct.unpack_from("H", fcntl.ioctl(probe.fileno(), get_flags, request), 16)
    fcntl.ioctl(probe.fileno(), set_flags, struct.pack("16sH14x", b"lo", flags | up))
    probe.close()


def own_proc() -> None:
    """Show bwrap a /proc that counts processes as this namespace does: it looks up its child there by number.

    Where that is refused (a container with parts of /proc hidden), the number may still exist in the other one.
    """
    if libc.unshare(NEW_MOUNT) == 0:
        libc.mount(b"proc", b"/proc", b"proc", 0, None)


def be_first(spec: Spec, argv: list[str], lifeline: int) -> int:
    """Process 1 of the namespace: start bwrap, hand signals to the program, reap orphans."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if select.select([lifeline], [], [], 0)[0]:
        return CANNOT  # the parent had gone before the line above
    if spec["bundle"]:
        os.setsid()  # else a terminal would tell runc what we tell it, too
    limit_memory(int(spec["memory"]))
    argv = run_earlier(spec, argv)
    if not argv:
        return CANNOT
    read_info, write_info = os.pipe()
    child = os.fork()
    if child == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        keep_only({0, 1, 2} if spec["bundle"] else {0, 1, 2, write_info, int(spec["args_fd"])})
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        own_proc()
        try:
            # runc hands on signals by itself, and knows when the program is there.
            info = [] if spec["bundle"] else ["--info-fd", str(write_info)]
            os.execv(argv[0], [argv[0], *info, *argv[1:]])
        except OSError as error:
            os.write(2, f"seatrial: {argv[0]}: {error.strerror}\n".encode())
        os._exit(CANNOT)
    os.close(write_info)
    target: list[int] = []

    def program() -> int:
        # bwrap says once which process it started, before that process runs the program.
        if spec["bundle"]:
            return child
        if not target:
            content = b""
            while not content.rstrip().endswith(b"}") and (piece := os.read(read_info, 4096)):
                content += piece
            _, found, rest = content.partition(b'"child-pid":')
            target.append(int(rest.strip(b" }\n").split(b",")[0]) if found else child)
        return target[0]

    return wait(child, program)


def run_earlier(spec: Spec, argv: list[str]) -> list[str]:
    """Run the command lines before the last one and return that; nothing when one of them went wrong."""
    for step in filter(None, spec["before"].split(",")):
        words, descriptor, must = step.split(":")
        earlier, argv = argv[: int(words)], argv[int(words) :]
        if not run_before(earlier, int(descriptor), must == "must"):
            return []
        if not spec["publish"]:  # its process is in this namespace, too
            try:
                os.kill(-1, signal.SIGKILL)
            except ProcessLookupError:
                pass
    return argv


def run_before(argv: list[str], args_fd: int, must: bool) -> bool:
    """Run a program to its end, without output. False, after saying why, when it did not go well enough."""
    words = os.memfd_create("stderr", os.MFD_CLOEXEC)
    child = os.fork()
    if child == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(null, 1)
        os.dup2(words, 2)
        keep_only({0, 1, 2, args_fd})
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        own_proc()
        os.execv(argv[0], argv)
    code = wait(child, lambda: child)
    said = os.pread(words, 2000, 0).decode(errors="replace").strip()
    os.close(words)
    if code == 0 or not (must or said.startswith("bwrap: ")):
        return True
    shown = " ".join(argv[argv.index("--") + 1 :])[:200]
    sys.stderr.write(f"seatrial: before: `{shown}` ended with {code}: {said or 'it said nothing'}\n")
    sys.stderr.flush()
    return False


def keep_only(wanted: set[int]) -> None:
    """The program gets no descriptor of ours: no lock, no folder of the store."""
    for name in os.listdir("/proc/self/fd"):
        descriptor = int(name)
        try:
            os.set_inheritable(descriptor, descriptor in wanted)
        except OSError:
            continue


def limit_memory(size: int) -> None:
    if size:
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (size, size))


def publish(ports: str) -> None:
    """Carry connections from listening sockets made outside to ports in this network namespace, for ever."""
    import threading

    keep_only({2})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, FORWARDED)
    for number in FORWARDED:
        signal.signal(number, signal.SIG_IGN)
    for pair in ports.split(","):
        descriptor, port = map(int, pair.split(":"))
        threading.Thread(target=accept, args=(descriptor, port), daemon=True).start()
    while True:
        signal.pause()


def accept(descriptor: int, port: int) -> None:
    import socket
    import threading

    with socket.socket(fileno=descriptor) as listener:
        while True:
            try:
                outside, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=carry, args=(outside, port), daemon=True).start()


def carry(outside: socket.socket, port: int) -> None:
    import socket
    import struct
    import threading

    inside = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        inside.connect(("127.0.0.1", port))
    except OSError:
        # Nobody listens inside: the caller sees a reset, as it would see a refusal.
        outside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        outside.close()
        inside.close()
        return
    for one in (outside, inside):
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    back = threading.Thread(target=pump, args=(inside, outside), daemon=True)
    back.start()
    pump(outside, inside)
    back.join()
    outside.close()
    inside.close()


def pump(source: socket.socket, sink: socket.socket) -> None:
    import socket

    try:
        while piece := source.recv(1 << 17):
            sink.sendall(piece)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for one in (source, sink):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue


def wait(child: int, target: Callable[[], int]) -> int:
    """Hand on signals until `child` ends; a second interrupt kills. Returns its exit code, 128+n for signal n."""
    interrupts = 0
    while True:
        number = signal.sigwait(FORWARDED | {signal.SIGCHLD, END})
        if number == END:
            os.kill(child, signal.SIGKILL)
            continue
        if number != signal.SIGCHLD:
            interrupts += number == signal.SIGINT
            try:
                os.kill(target(), signal.SIGKILL if interrupts > 1 else number)
            except ProcessLookupError:
                pass
            continue
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return CANNOT
            if pid == 0:
                break
            if pid == child:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def call(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


if __name__ == "__main__":
    code = main()
    os._exit(code)
