"""Whom a program in an image runs as, and which ids this machine may map."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.rootfs import Root, locate

if TYPE_CHECKING:
    from collections.abc import Iterator

# The range that systemd sets aside for containers: https://systemd.io/UIDS-GIDS/
_CONTAINER_IDS = "524288:65536"
_HIGHEST_ID = 2**32 - 2


class Who(msgspec.Struct, frozen=True):
    """A user in the image.

    `uids` and `gids` (START:COUNT) are ids of this machine that the image's ids from 1 on become when the user is
    root; empty without a right to such a range. The programs map them for an ordinary user.
    """

    uid: int
    gid: int
    home: str
    uids: str = ""
    gids: str = ""
    newuidmap: str = ""
    newgidmap: str = ""


def who(root: Root, user: str) -> Who:
    """Resolve `NAME|UID[:GROUP|GID]`, empty for root, by the image's own /etc/passwd and /etc/group.

    Raises:
        SeatrialError: the image has no such user or group.
    """
    name, _, group = user.partition(":")
    uid, gid, home = 0, 0, "/root" if not name else "/"
    known = list(_table(root, "/etc/passwd", 7))
    if name.isascii() and name.isdigit():
        uid = _id(name, user)
        match = next((row for row in known if row[2] == str(uid)), None)
    else:
        match = next((row for row in known if row[0] == (name or "root")), None)
        if match is None and name not in ("", "root"):
            raise _unknown("user", name, "/etc/passwd")
    if match is not None:
        uid, gid, home = _id(match[2], user), _id(match[3], user), match[5] or "/"
    if group:
        gid = _group(root, group, user)
    return with_range(Who(uid, gid, home)) if uid == gid == 0 else Who(uid, gid, home)


def with_range(root: Who) -> Who:
    """Add the ids that this process may give to other users of an image, or nothing without a right to any.

    Source: subuid(5), newuidmap(1).
    """
    if os.geteuid() == 0:
        return msgspec.structs.replace(root, uids=_CONTAINER_IDS, gids=_CONTAINER_IDS)
    programs = shutil.which("newuidmap"), shutil.which("newgidmap")
    uids, gids = _subordinate(Path("/etc/subuid")), _subordinate(Path("/etc/subgid"))
    if not (uids and gids and programs[0] and programs[1]):
        return root
    return msgspec.structs.replace(root, uids=uids, gids=gids, newuidmap=programs[0], newgidmap=programs[1])


def _subordinate(table: Path) -> str:
    uid = os.geteuid()
    try:
        names = {str(uid), pwd.getpwuid(uid).pw_name}
    except KeyError:
        names = {str(uid)}
    try:
        rows = [line.split(":") for line in table.read_text().splitlines()]
    except OSError:
        return ""
    for row in rows:
        if len(row) == 3 and row[0] in names and row[1].isdigit() and row[2].isdigit():  # noqa: PLR2004 - NAME:START:COUNT
            return f"{row[1]}:{row[2]}"
    return ""


def _group(root: Root, group: str, user: str) -> int:
    if group.isascii() and group.isdigit():
        return _id(group, user)
    for row in _table(root, "/etc/group", 4):
        if row[0] == group:
            return _id(row[2], user)
    raise _unknown("group", group, "/etc/group")


def _table(root: Root, path: str, columns: int) -> Iterator[list[str]]:
    _, file = locate(root, path)
    if file is None or not file.is_file():
        return
    for line in file.read_text(errors="replace").splitlines():
        row = line.split(":")
        if len(row) == columns:
            yield row


def _id(text: str, user: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > _HIGHEST_ID:
        raise SeatrialError(f"{text!r} is not a user or group id", where=f"user {user!r}")
    return int(text)


def _unknown(kind: str, name: str, table: str) -> SeatrialError:
    return SeatrialError(
        f"the image has no {kind} {name!r}",
        why=f"its {table} does not name it",
        fix=f"create the {kind} in the image, or give its number",
    )


def groups_of(root: Root, name: str) -> set[int]:
    """Ids of the groups that list the user as a member."""
    rows = _table(root, "/etc/group", 4)
    return {_id(row[2], name) for row in rows if name and name in row[3].split(",") and row[2].isdigit()}
