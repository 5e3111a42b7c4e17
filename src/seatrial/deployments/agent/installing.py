"""Install: remove what the revision before had put there, then copy files and set permissions.

What is done is written down before it is done, so that a deployment that is killed in the middle leaves nothing
behind that the next one does not know of. Source: the agent's Installer and install instructions.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import stat
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from seatrial.deployments.agent import permissions
from seatrial.deployments.agent.diagnostics import unknown
from seatrial.engine import points
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from seatrial.deployments.agent.order import Order
    from seatrial.deployments.agent.records import Places
    from seatrial.deployments.appspec.model import Server

_CONTEXT = "semanage\0"


def install(order: Order, places: Places, spec: Server) -> list[dict[str, Any]]:
    """Install the revision in the archive; returns what was done, in the agent's form.

    Raises:
        SeatrialError: the appspec asks for what cannot be, or the system refuses. What was done stays, and is in the
            cleanup file.
    """
    clean_up(places.cleanup)
    todo = Instructions()
    behavior = spec.file_exists_behavior or order.overwriting
    follow = "traversal" in order.hardening.allow
    for mapping in spec.files:
        source = join(str(places.archive), mapping.source)
        if not follow:
            _check_inside(source, places.archive, mapping.source)
        _plan_mapping(todo, source, mapping.destination, behavior)
    for permission in spec.permissions:
        for target in permissions.targets(permission, todo.copies, todo.folders):
            todo.permit(target, permissions.instructions(permission, target))
    write_atomic(places.install, json.dumps({"instructions": todo.steps}, separators=(",", ":")))
    with places.cleanup.open("w", encoding="utf-8", errors="surrogateescape") as record:
        for step in todo.steps:
            _do(step, record, follow=follow)
    return todo.steps


class Instructions:
    """What an installation does, in order; each destination once."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.copies: dict[str, str] = {}
        self.folders: dict[str, None] = {}
        self._permitted: set[str] = set()

    def copy(self, source: str, destination: str) -> None:
        destination = _named(destination)
        if destination in self.copies:
            raise unknown(
                f"The deployment failed because the application specification file specifies two source files named "
                f"{source} and {self.copies[destination]} for the same destination ({destination}). Remove one of the "
                "source file paths from the AppSpec file, and then try again."
            )
        if destination in self.folders:
            raise unknown(
                f"The deployment failed because the application specification file calls for installing the file "
                f"{source}, but a file with that name already exists at the location ({destination}). Update your "
                "AppSpec file or directory structure, and then try again."
            )
        self.steps.append({"type": "copy", "source": source, "destination": destination})
        self.copies[destination] = source

    def mkdir(self, folder: str) -> None:
        folder = _named(folder)
        if folder in self.copies:
            raise unknown(
                f"The deployment failed because the application specification file includes an mkdir command more than "
                f"once for the same destination path ({folder}) from ({self.copies[folder]}). Update the files section "
                "of the AppSpec file, and then try again."
            )
        if folder not in self.folders:
            self.steps.append({"type": "mkdir", "directory": folder})
            self.folders[folder] = None

    def permit(self, target: str, steps: list[dict[str, Any]]) -> None:
        if target in self._permitted:
            raise unknown(
                f"The deployment failed because the permissions setting for ({target}) is specified more than once in "
                "the application specification file. Update the files section of the AppSpec file, and then try again."
            )
        self._permitted.add(target)
        self.steps += steps


def join(one: str, other: str) -> str:
    """Two parts of a path as the agent joins them: one `/` between, everything else as it is."""
    if other.startswith("/"):
        return one.rstrip("/") + other
    return one + other if one.endswith("/") else f"{one}/{other}"


def _named(path: str) -> str:
    path = permissions.expand(path)
    if "\n" in path or "\0" in path:
        # The cleanup file has a path on each line: such a name would have something else removed later.
        raise unknown(
            f"The deployment failed because a name has a line break in it: {path!r}", fix="rename that file"
        )
    return path


def _check_inside(source: str, archive: Path, said: str) -> None:
    end, top = os.path.realpath(source), os.path.realpath(archive)
    if end != top and not end.startswith(f"{top}/"):
        raise unknown(
            f"The source {said} leads out of the revision",
            why=f"it is {end}",
            fix="put the file into the bundle, or let it through with `--allow traversal`",
        )


def _plan_mapping(todo: Instructions, source: str, destination: str, behavior: str) -> None:
    if os.path.isdir(source):  # noqa: PTH112 - the path as it is written
        _plan_ancestors(todo, destination)
        _plan_folder(todo, source, destination, behavior, ())
        return
    target = join(destination, os.path.basename(source.rstrip("/")))  # noqa: PTH119
    _plan_ancestors(todo, target)
    _plan_file(todo, source, target, behavior)


def _plan_ancestors(todo: Instructions, path: str) -> None:
    missing = []
    parent = os.path.dirname(path.rstrip("/"))  # noqa: PTH120
    while parent not in ("", ".", "/") and not os.path.exists(parent):  # noqa: PTH110
        missing.append(parent)
        parent = os.path.dirname(parent)  # noqa: PTH120
    for folder in reversed(missing):
        todo.mkdir(folder)


def _plan_folder(
    todo: Instructions, source: str, destination: str, behavior: str, above: tuple[str, ...]
) -> None:
    real = os.path.realpath(source)
    if real in above:
        raise unknown(
            f"The deployment failed because {source} leads back to a folder above it",
            fix="remove that symbolic link",
        )
    if not os.path.isdir(destination):  # noqa: PTH112
        todo.mkdir(destination)
    for name in os.listdir(source):  # noqa: PTH208 - in the order of the file system, as the agent
        inside, target = join(source, name), join(destination, name)
        if os.path.isdir(inside):  # noqa: PTH112
            _plan_folder(todo, inside, target, behavior, (*above, real))
        else:
            _plan_file(todo, inside, target, behavior)


def _plan_file(todo: Instructions, source: str, destination: str, behavior: str) -> None:
    if os.path.exists(destination):  # noqa: PTH110
        if behavior == "DISALLOW":
            raise unknown(
                "The deployment failed because a specified file already exists at this location: "
                + destination,
                fix="remove it, or say `file_exists_behavior: OVERWRITE` (or RETAIN) in the appspec",
            )
        if behavior == "RETAIN":
            return
    todo.copy(source, destination)


def _do(step: dict[str, Any], record: IO[str], *, follow: bool) -> None:
    kind = step["type"]
    if kind == "copy":
        _note(record, step["destination"])
        points.reach("agent/copying")
        _copy(step["source"], step["destination"], follow=follow)
    elif kind == "mkdir":
        try:
            os.mkdir(step["directory"])  # noqa: PTH102
        except OSError as error:
            raise _told(error, "dir_s_mkdir", step["directory"]) from error
        _note(record, step["directory"])
    elif kind == "chmod":
        try:
            permissions.chmod(step["file"], step["mode"])
        except OSError as error:
            raise _told(error, "apply2files", step["file"]) from error
    elif kind == "setfacl":
        permissions.setfacl(step["file"], step["acl"])
    elif kind == "semanage":
        _note(record, _CONTEXT + permissions.semanage(step["file"], step["context"]))
    else:
        permissions.chown(step["file"], step["owner"], step["group"])


def _note(record: IO[str], line: str) -> None:
    try:
        record.write(f"{line}\n")
        record.flush()
    except OSError as error:
        raise _told(error, "io_write", record.name) from error


def _copy(source: str, destination: str, *, follow: bool) -> None:
    """Copy one file with mode, owner and times, or one link. Whoever looks sees the old file or the new one."""
    if os.path.isdir(destination):  # noqa: PTH112
        # As cp does it; with OVERWRITE only, since a folder exists as well.
        destination = join(destination, os.path.basename(source))  # noqa: PTH119
    if follow and os.path.exists(destination):  # noqa: PTH110
        destination = os.path.realpath(destination)
    beside = _beside(destination)
    try:
        with suppress(FileNotFoundError):
            os.unlink(beside)  # noqa: PTH108
        if os.path.islink(source):  # noqa: PTH114
            os.symlink(os.readlink(source), beside)  # noqa: PTH115, PTH211
        else:
            _copy_file(source, beside)
        os.replace(beside, destination)  # noqa: PTH105
    except OSError as error:
        with suppress(OSError):
            os.unlink(beside)  # noqa: PTH108
        where = source if error.filename == source else destination
        raise _told(error, "rb_sysopen", where) from error


def _copy_file(source: str, target: str) -> None:
    with open(source, "rb") as reading:  # noqa: PTH123
        status = os.fstat(reading.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", source)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
            writing.flush()
            mode = stat.S_IMODE(status.st_mode)
            try:
                os.fchown(writing.fileno(), status.st_uid, status.st_gid)
            except PermissionError:
                mode &= ~(stat.S_ISUID | stat.S_ISGID)
            os.fchmod(writing.fileno(), mode)
            os.utime(writing.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def _beside(destination: str) -> str:
    """The same name each time, so that the next installation finds what a killed one left."""
    folder, name = os.path.split(destination)
    short = os.fsdecode(os.fsencode(name)[:200])  # the file system counts bytes
    return os.path.join(folder, f".{short}.seatrial-new")  # noqa: PTH118


def _told(error: OSError, call: str, where: str) -> Exception:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    fix = "free space on that file system" if full else "check that path, and its permissions"
    return unknown(f"{error.strerror} @ {call} - {where}", fix=fix)


def clean_up(cleanup: Path) -> list[str]:
    """Remove what the cleanup file names, last first, and the file; returns what is gone.

    Folders that hold something else stay. A last line without an end was never finished and does not count.

    Raises:
        SeatrialError: something cannot be removed; the file stays then.
    """
    try:
        text = cleanup.read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return []
    points.reach("agent/cleaning")
    gone = []
    for line in reversed(list(_lines(text))):
        if line.startswith(_CONTEXT):
            permissions.forget_context(line.removeprefix(_CONTEXT))
            continue
        try:
            if _remove(line):
                gone.append(line)
        except OSError as error:
            raise _told(error, "apply2files", line) from error
    cleanup.unlink()
    return gone


def _lines(text: str) -> Iterator[str]:
    lines = text.split("\n")
    yield from (line for line in lines[:-1] if line)


def _remove(path: str) -> bool:
    with suppress(FileNotFoundError, NotADirectoryError):
        os.unlink(_beside(path))  # noqa: PTH108
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    if not stat.S_ISDIR(mode):
        os.unlink(path)  # noqa: PTH108
        return True
    try:
        os.rmdir(path)  # noqa: PTH106
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        return False
    return True
