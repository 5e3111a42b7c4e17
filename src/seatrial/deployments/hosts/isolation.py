"""Making a process a host of its own: network, processes, name, and a private view of this machine's files.

What the host writes goes into its own folder and not into this machine's. It is no wall against hostile code: it
keeps hosts out of each other's way. Called once, by the process that becomes the host.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.errors import MissingToolError

if TYPE_CHECKING:
    from collections.abc import Iterable

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000,
)  # fmt: skip
_MS_BIND, _MS_REC, _MS_SLAVE = 1 << 12, 1 << 14, 1 << 19
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1
_SHARED = ("dev", "sys")
_libc = ctypes.CDLL(None, use_errno=True)


def separate() -> None:
    """Leave this machine's namespaces; children of this process are in new ones. A user who is not root becomes
    root of a user namespace in which nobody else is.

    Raises:
        MissingToolError: the kernel does not let this user.
    """
    what = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(what | (_NEWUSER if user else 0)) != 0:
        raise _refused("unshare")
    if user:
        for name, text in (("setgroups", "deny"), ("uid_map", f"0 {user} 1"), ("gid_map", f"0 {group} 1")):
            Path(f"/proc/self/{name}").write_text(text, encoding="ascii")


def settle(folder: Path, name: str, shared: Iterable[Path], *, unprivileged: bool) -> list[str]:
    """Give the host its name, network and files; `shared` are folders that it has in common with this machine.

    Returns the folders of this machine that could not be made private.

    Raises:
        MissingToolError: the kernel or the file system does not let us.
    """
    # Only its own processes see these mounts, so nothing is left behind; what is unmounted outside is so here, too.
    _mount("none", "/", None, _MS_REC | _MS_SLAVE)
    tree = folder / "tree"
    tree.mkdir(mode=0o755, exist_ok=True)
    _mount(tree, tree, None, _MS_BIND)
    inside = _mounts()
    entries = sorted(Path("/").iterdir())
    public = [
        str(entry) for entry in entries if not _bring(entry, folder, tree, inside, unprivileged=unprivileged)
    ]
    for place in [folder, *shared]:
        inner = tree / place.relative_to("/")
        inner.mkdir(parents=True, exist_ok=True)
        _mount(place, inner, None, _MS_BIND | _MS_REC)
    os.chroot(tree)
    os.chdir("/")
    _libc.sethostname(name.encode(), len(name))
    _up("lo")
    return public


def _bring(entry: Path, folder: Path, tree: Path, inside: list[Path], *, unprivileged: bool) -> bool:
    """Show one entry of this machine's root in the host's; False when the host's writes reach this machine."""
    place = tree / entry.name
    kind = entry.lstat().st_mode
    if stat.S_ISLNK(kind):
        if not place.is_symlink():
            place.symlink_to(entry.readlink())
        return True
    if not stat.S_ISDIR(kind):
        place.touch()
        _mount(entry, place, None, _MS_BIND)
        return True
    place.mkdir(exist_ok=True)
    if entry.name == "proc":
        _mount("proc", place, "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
        return True
    if entry.name in _SHARED or not _overlay(entry, place, folder, unprivileged=unprivileged):
        _mount(entry, place, None, _MS_BIND | _MS_REC)
        return entry.name in _SHARED
    for mounted in inside:
        if entry in mounted.parents and tree not in (mounted, *mounted.parents):
            _show(mounted, tree / mounted.relative_to("/"))
    return True


def _show(mounted: Path, place: Path) -> None:
    try:
        _mount(mounted, place, None, _MS_BIND | _MS_REC)
    except MissingToolError:
        if os.path.ismount(mounted):
            raise


def _overlay(entry: Path, place: Path, folder: Path, *, unprivileged: bool) -> bool:
    upper, work = folder / "changes" / entry.name, folder / "work" / entry.name
    for one in (upper, work):
        one.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = entry.stat()
    upper.chmod(stat.S_IMODE(found.st_mode))
    options = f"lowerdir={_escaped(entry)},upperdir={_escaped(upper)},workdir={_escaped(work)}"
    try:
        _mount("overlay", place, "overlay", 0, options + (",userxattr" if unprivileged else ""))
    except MissingToolError:
        return False
    return True


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace(",", "\\,").replace(":", "\\:")


def _mounts() -> list[Path]:
    """Where something is mounted, upper ones first, one for each place."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    places = [Path(line.split(" ")[4].encode().decode("unicode_escape")) for line in lines]
    # What this user cannot reach, or what is gone by now, cannot be shown to the host either.
    return [one for one in dict.fromkeys(sorted(places)) if os.access(one, os.F_OK)]


def _up(device: str) -> None:
    """Bring the loopback device up; without it a service of the host could not be asked by the host itself."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", device.encode(), _IFF_UP))


def _mount(source: object, target: object, kind: str | None, flags: int, options: str | None = None) -> None:
    done = _libc.mount(
        os.fsencode(str(source)),
        os.fsencode(str(target)),
        kind.encode() if kind else None,
        ctypes.c_ulong(flags),
        os.fsencode(options) if options else None,
    )
    if done != 0:
        raise _refused(f"mount {target}")


def _refused(what: str) -> MissingToolError:
    reason = os.strerror(ctypes.get_errno())
    return MissingToolError(
        f"this machine does not let hosts have namespaces of their own: {what}: {reason}",
        fix="run as root, let users make namespaces (sysctl kernel.unprivileged_userns_clone=1,"
        " kernel.apparmor_restrict_unprivileged_userns=0), or use --isolation processes",
    )
