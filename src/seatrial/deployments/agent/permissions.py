"""The permissions section: which of the installed objects each entry is about, and how it is applied.

Source: the agent's LinuxPermissionInfo, AclInfo and install instructions; setfacl(1), semanage-fcontext(8).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.deployments.agent.diagnostics import unknown
from seatrial.deployments.appspec import refusals
from seatrial.deployments.appspec.model import Ace
from seatrial.errors import MissingToolError, SeatrialError
from seatrial.processes import find, run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from seatrial.deployments.appspec.model import Context, Permission

_ACL = (
    "The deployment failed because of a problem with the acls permission settings in the application specification "
    "file for this object: {}. Failed command: {}. Exit code: {}"
)
_CONTEXT = (
    "The deployment failed because the application specification file contains an error in the settings for the "
    "context parameter. Update the permissions section of the AppSpec file, and then try again. Failed command: {}. "
    "Exit code: {}"
)
_DEFAULT_ACL = (
    "The deployment failed because the -d parameter has been specified to apply an acl setting to a file. This parameter "
    "is supported for directories only. Update the AppSpec file, and then try again."
)


def expand(path: str) -> str:
    """A path as the agent compares it: absolute, without `.`, `..` and a `/` at its end."""
    return os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111 - links stay as they are


def targets(permission: Permission, files: Iterable[str], folders: Iterable[str]) -> list[str]:
    """The installed objects that an entry is about. `files` and `folders` are what this deployment installs.

    Raises:
        SeatrialError: its pattern or exceptions are not for a file, or its ACL is not.
    """
    known, made = dict.fromkeys(files), dict.fromkeys(folders)
    thing = expand(permission.object)
    if thing in known:
        if "file" not in permission.type:
            return []
        if permission.pattern != "**":
            raise unknown(refusals.pattern_for_file(permission.object, permission.pattern))
        if permission.except_:
            shown = "[" + ", ".join(f'"{name}"' for name in permission.except_) + "]"
            raise unknown(refusals.except_for_file(permission.object, shown))
        _check_acl(permission)
        return [thing]
    if thing not in made and not Path(permission.object).is_dir():
        return []
    found = []
    if "file" in permission.type:
        for name in _matching(permission, thing, known):
            _check_acl(permission)
            found.append(name)
    if "directory" in permission.type:
        found += _matching(permission, thing, made)
    return found


def _matching(permission: Permission, thing: str, names: Iterable[str]) -> Iterator[str]:
    top = thing if thing.endswith("/") else f"{thing}/"
    for name in names:
        if not name.startswith(top):
            continue
        inside = name[len(top) :]
        wanted = permission.pattern == "**" or _globs(inside, permission.pattern)
        if wanted and not any(_globs(inside, other) for other in permission.except_):
            yield name


def _globs(name: str, pattern: str) -> bool:
    """Only `*` has a meaning, and nothing below a folder matches."""
    if "/" in name:
        return False
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


def _check_acl(permission: Permission) -> None:
    if permission.acls is not None and any(ace.default for ace in permission.acls):
        raise unknown(_DEFAULT_ACL)


def instructions(permission: Permission, target: str) -> list[dict[str, Any]]:
    """What is to be done to one object, in the agent's order and form."""
    done: list[dict[str, Any]] = []
    if permission.mode is not None:
        done.append({"type": "chmod", "mode": permission.mode, "file": target})
    if permission.acls is not None:
        done.append({"type": "setfacl", "acl": [str(ace) for ace in permission.acls], "file": target})
    if permission.context is not None:
        done.append({"type": "semanage", "context": _context(permission.context), "file": target})
    if permission.owner is not None or permission.group is not None:
        done.append({"type": "chown", "owner": permission.owner, "group": permission.group, "file": target})
    return done


def _context(context: Context) -> dict[str, Any]:
    within = None if context.range is None else str(context.range)
    return {"user": context.user, "role": None, "type": context.type, "range": within}


def chmod(file: str, mode: str) -> None:
    os.chmod(file, int(mode, 8))  # noqa: PTH101 - as the other calls of the system


def chown(file: str, owner: str | None, group: str | None) -> None:
    """Give the object away.

    Raises:
        SeatrialError: there is no such user or group, or only root may.
    """
    import grp
    import pwd

    try:
        uid = pwd.getpwnam(owner).pw_uid if owner is not None else -1
    except KeyError:
        raise unknown(
            f"can't find user for {owner}",
            fix="make the user in a hook that runs before, such as BeforeInstall",
        ) from None
    try:
        gid = grp.getgrnam(group).gr_gid if group is not None else -1
    except KeyError:
        raise unknown(
            f"can't find group for {group}",
            fix="make the group in a hook that runs before, such as BeforeInstall",
        ) from None
    try:
        os.chown(file, uid, gid)
    except PermissionError as error:
        raise unknown(
            f"Operation not permitted @ apply2files - {file}",
            why="only root gives files to another user",
            fix="run the agent as root, or leave owner and group out",
        ) from error


def setfacl(file: str, acl: Sequence[str]) -> None:
    """Set the whole ACL: what the appspec says (`type:name:rwx`), and what the mode says for the rest.

    Raises:
        SeatrialError: it cannot be set.
    """
    rest = _rest([_ace(entry) for entry in acl], Path(file).stat().st_mode)
    argv = ["setfacl", "--set", ",".join((*acl, *map(str, rest))), file]
    _need(argv, lambda code: _ACL.format(file, " ".join(argv), code))


def _ace(entry: str) -> Ace:
    default = entry.startswith("default:")
    kind, name, rights = entry.removeprefix("default:").split(":")
    return Ace(kind, name, "r" in rights, "w" in rights, "x" in rights, default)


def _rest(aces: list[Ace], mode: int) -> Iterator[Ace]:
    def ace(kind: str, shift: int, *, default: bool = False) -> Ace:
        bits = mode >> shift
        return Ace(kind, "", bool(bits & 4), bool(bits & 2), bool(bits & 1), default)

    base, default = [a for a in aces if not a.default], [a for a in aces if a.default]
    yield from (ace("user", 6), ace("group", 3), ace("other", 0))
    if any(a.name for a in base) and not any(a.type == "mask" for a in base):
        yield ace("mask", 3)
    if not default:
        return
    there = {(a.type, a.name) for a in default}
    for kind, shift in (("user", 6), ("group", 3), ("other", 0)):
        if (kind, "") not in there:
            yield ace(kind, shift, default=True)
    if any(a.name for a in default) and ("mask", "") not in there:
        of_group = next(
            (a for a in default if (a.type, a.name) == ("group", "")), ace("group", 3, default=True)
        )
        yield Ace("mask", "", of_group.read, of_group.write, of_group.execute, default=True)


def semanage(file: str, context: Mapping[str, Any]) -> str:
    """Set the SELinux context (as in `instructions`); returns the path that it was set for.

    Raises:
        SeatrialError: it cannot be set, which is always so where there is no SELinux.
    """
    place = os.path.realpath(file)
    user = ["-s", context["user"]] if context["user"] is not None else []
    within = ["-r", context["range"]] if context["range"] is not None else []
    for argv in (
        ["semanage", "fcontext", "-a", *user, "-t", context["type"], *within, place],
        ["restorecon", "-v", place],
    ):
        _need(argv, lambda code, argv=argv: _CONTEXT.format(" ".join(argv), code))
    return place


def forget_context(file: str) -> None:
    """Take back what `semanage` did, as far as it goes."""
    try:
        run([find("semanage"), "fcontext", "-d", file])
    except SeatrialError:
        return


def _need(argv: list[str], failed: Any) -> None:
    try:
        done = run([find(argv[0]), *argv[1:]])
    except MissingToolError as error:
        raise unknown(
            failed(127), why=str(error), fix=f"install {argv[0]}, or leave that permission out"
        ) from error
    if done.code != 0:
        raise unknown(failed(done.code), why=done.stderr.strip()[-500:] or None)
