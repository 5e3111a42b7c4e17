"""The interpreter, the kernel and the disks."""

from __future__ import annotations

import platform
import shutil
import sys
from typing import TYPE_CHECKING

from seatrial.doctor.result import Answer, ok
from seatrial.doctor.system import give_ids, has_ids, install, namespace_advice

if TYPE_CHECKING:
    from pathlib import Path

OLDEST_PYTHON = (3, 11)
GIB = 1 << 30
NEEDED_CACHE, GOOD_CACHE = 1 * GIB, 5 * GIB
NEEDED_STATE = GIB // 4


def python() -> Answer:
    said = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        return Answer(status="broken", version=said, detail="Seatrial needs 3.11 or newer")
    return ok(said, sys.executable)


def kernel() -> Answer:
    """Linux, and whether steps of a run can have a process namespace of their own."""
    from seatrial.engine.namespaces import available

    said = platform.release()
    if sys.platform != "linux":
        return Answer(
            status="broken", version=said, detail=f"Seatrial runs on Linux, not on {platform.system()}"
        )
    how = "in process namespaces" if available() else "under a subreaper, as without root"
    return ok(said, f"steps run {how}")


def user_ids() -> Answer:
    """Ranges of user ids for the users of an image; root needs no permission for them."""
    import os

    if os.geteuid() == 0:
        return ok("", "root may map any id")
    if shutil.which("newuidmap") is None:
        return Answer(status="missing")
    if not has_ids():
        return Answer(
            status="broken",
            detail="/etc/subuid and /etc/subgid give this user no ids",
            get=give_ids(),
        )
    return ok("", "/etc/subuid and /etc/subgid")


def user_namespaces() -> Answer:
    """Whether bwrap's refusal comes from the kernel: the same, without bwrap."""
    from seatrial.processes import run

    probe = (
        "import ctypes, sys; libc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.unshare(0x10020000): sys.exit(1)\n"  # CLONE_NEWUSER | CLONE_NEWNS
        "libc.mount(b'none', b'/', None, 0x84000, None)\n"  # MS_REC | MS_SLAVE
        "sys.exit(2 if libc.mount(b'none', b'/tmp', b'tmpfs', 0, None) else 0)"
    )
    code = run([sys.executable, "-I", "-S", "-c", probe], timeout=20).code
    if code == 0:
        return ok("", "made one and mounted in it")
    what = "the kernel makes none for this user" if code == 1 else "nothing may be mounted in it"
    return Answer(status="broken", detail=what, get=namespace_advice())


def state() -> Answer:
    """The state folder: on a local disk, with some room."""
    from seatrial.engine.journal import file_system, refuse_network
    from seatrial.errors import SeatrialError
    from seatrial.paths import home

    folder = home()
    try:
        refuse_network(folder)
    except SeatrialError as error:
        return Answer(
            status="broken",
            version=file_system(folder),
            detail=f"{error.what}: {folder}",
            get=error.fix or "",
        )
    free = shutil.disk_usage(folder).free
    if free < NEEDED_STATE:
        return Answer(
            status="broken", detail=_room(folder, free), get="free space there, or set SEATRIAL_HOME"
        )
    return ok(file_system(folder), _room(folder, free))


def cache() -> Answer:
    """The cache: layers and wheels of ML images are large."""
    from seatrial.engine.journal import file_system
    from seatrial.paths import cache as of_cache

    folder = of_cache()
    free = shutil.disk_usage(folder).free
    kind = file_system(folder)
    if free >= GOOD_CACHE:
        return ok(kind, _room(folder, free))
    return Answer(
        status="limited" if free >= NEEDED_CACHE else "broken",
        version=kind,
        detail=_room(folder, free),
        get="`seatrial cache prune`, free space there, or set SEATRIAL_CACHE",
    )


def yaml() -> Answer:
    from importlib.metadata import version

    from seatrial.sources.yaml import has_libyaml

    if has_libyaml():
        return ok(version("PyYAML"), "with libyaml")
    return Answer(
        status="limited",
        version=version("PyYAML"),
        detail="without libyaml: large repositories are read about 15 times slower",
        get=f"{install('libyaml-dev')} and reinstall PyYAML",
    )


def _room(folder: Path, free: int) -> str:
    return f"{free / GIB:.1f} GiB free in {folder}"
