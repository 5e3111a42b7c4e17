"""How a program in an image is started: the command line, its environment and its options, as values."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.rootfs import Root, locate
from seatrial.images.runtimes import gpus
from seatrial.images.runtimes import host as this_machine

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from seatrial.images.runtimes.users import Who

Network = Literal["host", "none"]
# What container engines leave to root; above all not SYS_ADMIN, which could mount.
CAPABILITIES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
)  # fmt: skip
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Where a volume would hide what every container has; the root itself cannot be one.
_OWN = ("/proc/", "/dev/", "/sys/")
# The launcher's exit code when it cannot start bwrap, as `docker run` has it.
CANNOT_START = 125


class Bind(msgspec.Struct, frozen=True):
    """A file or folder of this machine, seen in the image at `target` (absolute)."""

    source: str
    target: str
    read_only: bool = True


class Publish(msgspec.Struct, frozen=True):
    """Connections to a listening socket, open here as `descriptor`, reach `port` in the program's own network.

    They are accepted at once and reset while nobody listens inside: an open port is no sign of health.
    """

    descriptor: int
    port: int


class Before(msgspec.Struct, frozen=True):
    """A program that runs to its end first, in the same root, so that the next one finds what it wrote.

    Its output is dropped. It must end with 0 when it `must`; in any case it must start.
    """

    command: tuple[str, ...]
    env: dict[str, str] = {}
    must: bool = True


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """How to run a program; empty fields leave it to the image.

    `env` may hold secrets: it reaches the program through a file in memory, never through an argument list.
    `memory` (per process) and `scratch` (what may be written outside of binds; it lies in memory) are in bytes;
    0 means no limit and half of this machine's memory. `total_memory` (bytes) and `cpus` (processors) bound all
    processes together where control groups allow; `remarks` says where they do not. `init` puts a process before
    the program that reaps orphans; without it the program is process 1, as in a container, and a signal that it
    does not handle is ignored. `host_settings` passes this machine's certificates and proxy variables when the network is the
    host's. With `die_with_parent` the program ends with the thread that started it, however that ended.
    `before` run one after the other as the program does; what they leave running ends before the next. With
    `own_tmp` the image's own /tmp is there instead of an empty one. `gpus` shows this machine's NVIDIA GPUs with the
    libraries of their driver.
    """

    env: dict[str, str] = {}
    user: str = ""
    workdir: str = ""
    entrypoint: tuple[str, ...] | None = None
    binds: tuple[Bind, ...] = ()
    network: Network = "host"
    publish: tuple[Publish, ...] = ()
    read_only: bool = False
    memory: int = 0
    total_memory: int = 0
    cpus: float = 0.0
    scratch: int = 0
    init: bool = False
    host_settings: bool = True
    die_with_parent: bool = True
    terminal: bool = False
    before: tuple[Before, ...] = ()
    own_tmp: bool = False
    gpus: bool = False


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What `enter.py` is told, as text, in the order of its words.

    `lower` are short names below `layers`, top first, joined by colons, or empty for no mount; `publish` are
    DESCRIPTOR:PORT, joined by commas; `uids` and `gids` are START:COUNT of ids to map besides root, or empty;
    `before` are WORDS:DESCRIPTOR:must|may, one for each command line that stands before the last one.
    `owner` (UID:GID) is whom the layers' files belong to inside; `groups` are files to join control groups by, a
    line each. With `bundle` what `args_fd` holds is the configuration of an OCI runtime's bundle.
    """

    layers: str
    lower: str
    mount: str
    args_fd: str
    scratch: str = "0"
    network: Network = "host"
    publish: str = ""
    memory: str = "0"
    die_with_parent: str = "yes"
    uids: str = ""
    gids: str = ""
    newuidmap: str = ""
    newgidmap: str = ""
    before: str = ""
    owner: str = "0:0"
    groups: str = ""
    bundle: str = ""


def command_of(root: Root, command: Sequence[str], entrypoint: Sequence[str] | None) -> list[str]:
    """The whole command line: the entry point, then the command given or else the image's.

    An entry point of the caller's drops the image's command, as with `docker run --entrypoint`.

    Raises:
        SeatrialError: there is none.
    """
    entry = list((root.settings.get("Entrypoint") or []) if entrypoint is None else entrypoint)
    rest = list(command) or (list(root.settings.get("Cmd") or []) if entrypoint is None else [])
    if not entry + rest:
        raise SeatrialError("the image says no command to run", where=root.digest, fix="give one after `--`")
    return entry + rest


def environment(root: Root, launch: Launch, home: str, host: Mapping[str, str]) -> dict[str, str]:
    """The program's environment: this machine's part, the image's, the caller's; later ones win."""
    values = {"PATH": DEFAULT_PATH, "HOME": home}
    if launch.terminal:
        values["TERM"] = host.get("TERM", "xterm")
    if launch.network == "host" and launch.host_settings:
        values |= {k: v for k, v in host.items() if k.upper() in this_machine.PROXY_VARIABLES}
        target = this_machine.ca_target(root)
        if this_machine.ca_bundle(host) and target:
            values |= {k: target for k in this_machine.CA_VARIABLES if k in host}
    for item in root.settings.get("Env") or []:
        name, _, value = str(item).partition("=")
        values[name] = value
    if launch.gpus:
        values |= gpus.variables(values)
    return values | launch.env


def arguments(values: Mapping[str, str]) -> bytes:
    """What bwrap reads from the descriptor given as `--args`: the environment.

    Raises:
        SeatrialError: a variable cannot be passed to any program.
    """
    words = ["--clearenv"]
    for name, value in values.items():
        if not name or "=" in name or "\0" in name + value:
            raise SeatrialError(
                f"{name!r} cannot be an environment variable", fix="use NAME=VALUE without NUL"
            )
        words += ["--setenv", name, value]
    return b"".join(word.encode(errors="surrogateescape") + b"\0" for word in words)


def argv(
    root: Root,
    command: Sequence[str],
    launch: Launch,
    who: Who,
    *,
    bwrap: str,
    args_fd: int,
    copy: str = "",
    groups: Sequence[str] = (),
    host: Mapping[str, str] | None = None,
    before_fds: Sequence[int] = (),
) -> list[str]:
    """The launcher's command line. It reads the store to follow the image's symbolic links; it changes nothing.

    `copy` is a root to use instead of mounting the layers; it is written to. `groups` are files to join control
    groups by. `before_fds` are as `args_fd`, for each of `launch.before`.
    """
    sandbox = _sandbox(root, launch, who, copy or f"{root.store}/mnt/root", host or {})

    def line(descriptor: int, words: Sequence[str]) -> list[str]:
        return [bwrap, "--args", str(descriptor), *sandbox, "--", *words]

    earlier = [line(fd, one.command) for one, fd in zip(launch.before, before_fds, strict=True)]
    entry = msgspec.structs.replace(
        entry_of(root, launch, who, args_fd=args_fd, copy=copy, groups=groups),
        before=",".join(
            f"{len(words)}:{descriptor}:{'must' if one.must else 'may'}"
            for one, descriptor, words in zip(launch.before, before_fds, earlier, strict=True)
        ),
    )
    return [*entered(entry), *(word for words in earlier for word in words), *line(args_fd, command)]


def entry_of(
    root: Root, launch: Launch, who: Who, *, args_fd: int, copy: str = "", groups: Sequence[str] = ()
) -> Entry:
    """What the launcher is told, whichever program it starts in its namespaces."""
    return Entry(
        layers=f"{root.store}/layers",
        # An overlay refuses a folder that it has already; of the same layer twice only the upper one is seen anyway.
        lower="" if copy else ":".join(dict.fromkeys(reversed(root.layers))),
        mount=f"{root.store}/mnt",
        args_fd=str(args_fd),
        scratch=str(launch.scratch),
        network=launch.network,
        publish=",".join(f"{p.descriptor}:{p.port}" for p in launch.publish),
        memory=str(launch.memory),
        die_with_parent="yes" if launch.die_with_parent else "",
        uids=who.uids,
        gids=who.gids,
        newuidmap=who.newuidmap,
        newgidmap=who.newgidmap,
        groups="\n".join(groups),
    )


def entered(entry: Entry) -> list[str]:
    """The beginning of a command line that runs the rest in the launcher's namespaces."""
    words = (f"{name}={getattr(entry, name)}" for name in entry.__struct_fields__)
    return [sys.executable, "-I", "-S", str(Path(__file__).with_name("enter.py")), *words, "--"]


def _sandbox(root: Root, launch: Launch, who: Who, source: str, host: Mapping[str, str]) -> list[str]:
    """Options of bwrap, in the order in which it mounts."""

    def inside(path: str) -> str:
        return locate(root, path)[0]

    options = [*_isolation(launch, who), "--bind", source, "/"]
    options += ["--proc", inside("/proc"), "--dev", inside("/dev")]
    # Started by root, a program is still root to these files, whatever its number inside: one of them names a
    # program that the kernel runs outside of every namespace (core(5)).
    for settings in ("/proc/sys", "/proc/sysrq-trigger"):
        options += ["--ro-bind-try", settings, inside("/proc") + settings.removeprefix("/proc")]
    # The processors: numerical libraries read them to choose their kernels and thread counts.
    options += ["--ro-bind-try", "/sys/devices/system", inside("/sys/devices/system")]
    tmp, there = locate(root, "/tmp")  # noqa: S108 - the image's own
    if not launch.own_tmp or there is None:
        options += ["--perms", "1777", "--dir" if launch.own_tmp else "--tmpfs", tmp]
    files = this_machine.files(
        root, isolated=launch.network == "none", settings=launch.host_settings, host=host
    )
    for place, target in files:
        options += ["--ro-bind", place, inside(target)]
    options += _volumes(root, launch, source)
    for bind in launch.binds:
        options += ["--ro-bind" if bind.read_only else "--bind", bind.source, inside(bind.target)]
    if launch.gpus:
        options += gpus.options(gpus.machine())
    workdir, exists = locate(root, launch.workdir or root.settings.get("WorkingDir") or "/")
    if exists is None:
        options += ["--dir", workdir]
    if launch.read_only:
        options += ["--remount-ro", "/"]
    return [*options, "--chdir", workdir]


def _volumes(root: Root, launch: Launch, source: str) -> list[str]:
    options = []
    for volume, there in volumes(root):
        if not there:
            options += ["--perms", "0755", "--tmpfs", volume]
        elif launch.read_only:
            options += ["--bind", source + volume, volume]
    return options


def volumes(root: Root) -> list[tuple[str, bool]]:
    """Folders that the image declares as volumes, and whether it has them: to a container they exist and are writable."""
    found = dict(locate(root, str(name)) for name in root.settings.get("Volumes") or {})
    return [
        (place, file is not None)
        for place, file in found.items()
        if place != "/" and not f"{place}/".startswith(_OWN) and (file is None or file.is_dir())
    ]


def _isolation(launch: Launch, who: Who) -> list[str]:
    options = ["--die-with-parent", "--unshare-ipc", "--unshare-cgroup-try"]
    if not launch.terminal:
        # Without a session of its own a program could type into the caller's terminal.
        options += ["--new-session"]
    if not launch.init:
        options += ["--unshare-pid", "--as-pid-1"]
    if launch.network == "none":
        options += ["--unshare-uts", "--hostname", "seatrial"]
    if who.uid or who.gid:
        return [*options, "--unshare-user", "--uid", str(who.uid), "--gid", str(who.gid)]
    options += ["--cap-drop", "ALL"]
    for capability in CAPABILITIES:
        options += ["--cap-add", capability]
    return options
