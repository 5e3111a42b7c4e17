"""runc: an OCI runtime, on the same layers and in the same namespaces as bwrap, and as little in need of root.

The bundle's configuration, which holds the environment, is written into memory that only the launcher's namespaces
see. Source: OCI runtime-spec v1.0.2, config.md and config-linux.md.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial import processes
from seatrial.errors import MissingToolError
from seatrial.images.rootfs import locate
from seatrial.images.runtimes import host as this_machine
from seatrial.images.runtimes.launch import CAPABILITIES, entered, entry_of, volumes
from seatrial.images.runtimes.local import bounded, held, remarks
from seatrial.images.runtimes.program import Program, program_of, refuse_before
from seatrial.images.runtimes.users import with_range

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from seatrial.images.rootfs import Root
    from seatrial.images.runtimes.backends import Prepared
    from seatrial.images.runtimes.launch import Launch

TITLE = "runc"
__all__ = ["TITLE", "config", "ready", "remarks"]

_MASKED = (
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/sched_debug",
)
_DEVICE_MOUNTS = (
    ("/dev", "tmpfs", ["nosuid", "mode=755", "size=65536k"]),
    ("/dev/pts", "devpts", ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"]),
    ("/dev/shm", "tmpfs", ["nosuid", "noexec", "nodev", "mode=1777"]),  # noqa: S108 - the image's own
)  # fmt: skip


@contextmanager
def ready(root: Root, command: Sequence[str], launch: Launch, *, interactive: bool) -> Iterator[Prepared]:  # noqa: ARG001 - streams are inherited
    """The launcher's command line, with the layers held.

    Raises:
        SeatrialError: the program, user or a bound file does not exist.
        MissingToolError: this machine lacks runc, namespaces, or the ids that the image's user needs.
    """
    runc = processes.find("runc")
    refuse_before(TITLE, launch)
    program = program_of(root, command, launch)
    person = program.who
    if person.uid or person.gid:
        # runc is root in its namespace, so that another user needs a second id.
        person = with_range(person)
        if not person.uids:
            raise MissingToolError(
                "runc cannot run an image whose user is not root, here",
                why="that takes a range of user ids, and this user has none",
                fix="add one to /etc/subuid and /etc/subgid (`seatrial doctor` says how), or use --runtime bwrap",
            )
    launch = bounded(launch)
    with held(root, launch) as place:
        launch = place.launch(launch)
        source = place.copy or f"{root.store}/mnt/root"
        bundle = msgspec.json.encode(config(root, launch, program, source=source, host=os.environ))
        memory = place.memory_file(bundle)
        entry = msgspec.structs.replace(
            entry_of(root, launch, person, args_fd=memory, copy=place.copy, groups=place.groups),
            owner=f"{person.uid}:{person.gid}", bundle="yes", memory="0",
        )  # fmt: skip
        mount = f"{root.store}/mnt"
        line = [
            runc,
            "--root",
            f"{mount}/state",
            "--log",
            "/dev/null",
            "--rootless=true",
            "run",
            "--no-new-keyring",
        ]
        yield place.prepared(
            [*entered(entry), *line, "--bundle", f"{mount}/bundle", f"seatrial-{os.getpid()}"]
        )


def config(
    root: Root, launch: Launch, program: Program, *, source: str, host: Mapping[str, str]
) -> dict[str, Any]:
    """The bundle's `config.json`; `source` is the root's folder. It reads the store and changes nothing."""
    superuser = program.who.uid == 0
    capable = list(CAPABILITIES) if superuser else []
    kinds = [
        "mount",
        "ipc",
        *([] if launch.init else ["pid"]),
        *(["uts"] if launch.network == "none" else []),
    ]
    process: dict[str, Any] = {
        "terminal": launch.terminal,
        "user": {"uid": program.who.uid, "gid": program.who.gid},
        "args": program.line,
        "env": [f"{name}={value}" for name, value in program.env.items()],
        "cwd": locate(root, launch.workdir or root.settings.get("WorkingDir") or "/")[0],
        "noNewPrivileges": True,
        "capabilities": {"bounding": list(CAPABILITIES), "effective": capable, "permitted": capable},
    }
    if launch.memory:
        process["rlimits"] = [{"type": "RLIMIT_DATA", "hard": launch.memory, "soft": launch.memory}]
    value: dict[str, Any] = {
        "ociVersion": "1.0.2",
        "process": process,
        "root": {"path": source, "readonly": launch.read_only},
        "mounts": _mounts(root, launch, host, source),
        "linux": {
            "namespaces": [{"type": kind} for kind in kinds],
            "maskedPaths": list(_MASKED),
            "readonlyPaths": ["/proc/sys", "/proc/sysrq-trigger", "/proc/bus", "/proc/fs", "/proc/irq"],
        },
    }
    return value | ({"hostname": "seatrial"} if launch.network == "none" else {})


def _mounts(root: Root, launch: Launch, host: Mapping[str, str], whole: str) -> list[dict[str, Any]]:
    def inside(path: str) -> str:
        return locate(root, path)[0]

    def mount(target: str, kind: str, source: str, options: list[str]) -> dict[str, Any]:
        return {"destination": inside(target), "type": kind, "source": source, "options": options}

    found = [mount("/proc", "proc", "proc", ["nosuid", "noexec", "nodev"])]
    found += [mount(target, kind, kind, options) for target, kind, options in _DEVICE_MOUNTS]
    processors = "/sys/devices/system"
    found.append(mount(processors, "bind", processors, ["rbind", "ro", "nosuid", "noexec", "nodev"]))
    if not launch.own_tmp:
        found.append(mount("/tmp", "tmpfs", "tmpfs", ["nosuid", "nodev", "mode=1777"]))  # noqa: S108 - the image's own
    files = this_machine.files(
        root, isolated=launch.network == "none", settings=launch.host_settings, host=host
    )
    for place, target in files:
        found.append(mount(target, "bind", place, ["bind", "ro"]))
    for volume, there in volumes(root):
        if not there:
            found.append(mount(volume, "tmpfs", "tmpfs", ["nosuid", "nodev", "mode=0755"]))
        elif launch.read_only:
            found.append(mount(volume, "bind", whole + volume, ["bind", "rw"]))
    for bind in launch.binds:
        found.append(mount(bind.target, "bind", bind.source, ["rbind", "ro" if bind.read_only else "rw"]))
    return found
