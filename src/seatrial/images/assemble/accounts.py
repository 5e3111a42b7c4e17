"""Who runs in the image, and the first layer on top of the base: accounts, folders, removals."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.images.assemble.install import parents
from seatrial.images.base_tree import Tree, resolve

if TYPE_CHECKING:
    from seatrial.images.assemble.layer import LayerWriter

_FIRST_UID = 10001
_DEFAULT_NAME = "app"
_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}")


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """User and group numbers; `passwd` and `group` are the whole new files when the account is new, else empty."""

    name: str
    uid: int
    gid: int
    home: str = ""
    passwd: bytes = b""
    group: bytes = b""


class Ground(msgspec.Struct, frozen=True, kw_only=True):
    """What the first layer does: `removed` paths, new `folders` of root, `workdir` of the account."""

    account: Account
    removed: tuple[str, ...]
    folders: tuple[str, ...]
    workdir: str


def account(tree: Tree, user: str) -> Account:
    """The account that `user` names: one of the base, numbers, or a new one.

    Raises:
        SeatrialError: the name is not one that Linux accepts.
    """
    passwd = tree.texts.get("/etc/passwd", b"")
    rows = [line.split(":") for line in passwd.decode("utf-8", "replace").splitlines()]
    users = {row[0]: (int(row[2]), int(row[3])) for row in rows if len(row) > 3 and row[2].isdigit()}  # noqa: PLR2004
    if match := re.fullmatch(r"(\d+)(?::(\d+))?", user):
        uid = int(match[1])
        by_uid = dict(users.values())
        gid = int(match[2] or by_uid.get(uid, uid))
        if uid == 0 or uid in by_uid or _DEFAULT_NAME in users:
            return Account(name=user, uid=uid, gid=gid)
        return _new_account(tree, _DEFAULT_NAME, uid, gid)
    if user in users or user == "root":
        uid, gid = users.get(user, (0, 0))
        return Account(name=user, uid=uid, gid=gid)
    if not _NAME.fullmatch(user):
        raise SeatrialError(
            f"{user!r} is not a user name", fix="use lower-case letters, digits, - and _, or a number"
        )
    taken, groups = {uid for uid, _ in users.values()}, _groups(tree)
    uid = next(n for n in range(_FIRST_UID, 65000) if n not in taken and n not in groups.values())
    return _new_account(tree, user, uid, groups.get(user, uid))


def _groups(tree: Tree) -> dict[str, int]:
    text = tree.texts.get("/etc/group", b"").decode("utf-8", "replace")
    rows = [line.split(":") for line in text.splitlines()]
    return {row[0]: int(row[2]) for row in rows if len(row) > 2 and row[2].isdigit()}  # noqa: PLR2004


def _new_account(tree: Tree, user: str, uid: int, gid: int) -> Account:
    """An entry in the account files: without one, `getpass.getuser()` fails, which PyTorch calls."""
    passwd, group = tree.texts.get("/etc/passwd", b""), tree.texts.get("/etc/group", b"")
    home, groups = f"/home/{user}", _groups(tree)
    line = f"{user}:x:{uid}:{gid}::{home}:/usr/sbin/nologin\n".encode()
    known = user in groups or gid in groups.values()
    new_group = b"" if known else _ended(group) + f"{user}:x:{gid}:\n".encode()
    return Account(name=user, uid=uid, gid=gid, home=home, passwd=_ended(passwd) + line, group=new_group)


def _ended(text: bytes) -> bytes:
    return text + b"\n" if text and not text.endswith(b"\n") else text


def working_folder(tree: Tree, workdir: str) -> str:
    """The absolute working folder with the base's links resolved.

    Raises:
        SeatrialError: it is relative.
    """
    if not workdir.startswith("/"):
        raise SeatrialError(f"the working folder {workdir!r} is not absolute", fix="write it as `/app`")
    return resolve(tree, posixpath.normpath(workdir))


def ground(
    tree: Tree, user: Account, workdir: str, missing: tuple[str, ...], removed: tuple[str, ...]
) -> Ground:
    """Everything that the first layer has to bring."""
    wanted = {*missing, *parents(workdir)}
    if user.home:
        wanted |= set(parents(user.home))
    folders = sorted(folder for folder in wanted if folder not in tree.folders)
    return Ground(account=user, removed=removed, folders=tuple(folders), workdir=workdir)


def write_ground(writer: LayerWriter, plan: Ground) -> None:
    """Write removals, folders, accounts, home and working folder."""
    user = plan.account
    for path in plan.removed:
        folder, name = posixpath.split(path)
        writer.add_bytes(f"{folder}/.wh.{name}".lstrip("/"), b"")
    for folder in plan.folders:
        writer.add_directory(folder.lstrip("/"))
    if user.passwd:
        writer.add_bytes("etc/passwd", user.passwd)
    if user.group:
        writer.add_bytes("etc/group", user.group)
    if user.home:
        writer.add_directory(user.home.lstrip("/"), mode=0o750, uid=user.uid, gid=user.gid)
    if plan.workdir not in ("/", user.home):
        writer.add_directory(plan.workdir.lstrip("/"), uid=user.uid, gid=user.gid)
