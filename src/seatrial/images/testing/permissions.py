"""The image's user can read and run what it needs, by the owners and modes in the layers' headers.

Not asked of a running process: without root every file there belongs to the user who runs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from seatrial.images.rootfs import Entry, locate
from seatrial.images.runtimes.users import groups_of, who
from seatrial.images.testing import entrypoint
from seatrial.images.testing.model import Check, Subject, failed, passed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

_READ, _EXECUTE = 4, 1


class Person(NamedTuple):
    """Whom the image runs as, with the groups that its own /etc/group says."""

    name: str
    uid: int
    groups: frozenset[int]
    home: str


def person_of(subject: Subject) -> Person:
    """The image's user.

    Raises:
        SeatrialError: the image has no such user or group.
    """
    user = str(subject.root.settings.get("User") or "")
    found = who(subject.root, user)
    groups = groups_of(subject.root, user.partition(":")[0])
    return Person(user or "root", found.uid, frozenset({found.gid, *groups}), found.home)


def check(subject: Subject) -> Iterator[Check]:
    """Walk the working directory, the package folders and the entry point as the image's user."""
    person = person_of(subject)
    if person.uid == 0:
        yield passed("permissions", "the image runs as root, which may read everything")
        return
    denied = list(dict.fromkeys(_denied(subject, person.uid, set(person.groups))))
    if denied:
        message = f"user {person.name} cannot use {denied[0]}"
        fix = (
            f"give the files to the user (COPY --chown={person.name}) or let others read them (chmod -R a+rX)"
        )
        yield failed("permissions", message, fix, denied)
    else:
        yield passed("permissions", f"user {person.name} can read and run its files")


def _denied(subject: Subject, uid: int, groups: set[int]) -> Iterator[str]:
    run = [path.strip("/") for path in entrypoint.programs(subject)]
    wanted = [*run, *_wanted(subject)]
    blocked: set[str] = set()
    for path in wanted:
        if any(path == b or path.startswith(b + "/") for b in blocked):
            continue
        for folder in _parents(path):
            entry = subject.tree.get(folder)
            if entry is not None and folder not in blocked and not may(entry[1], uid, groups, _EXECUTE):
                blocked.add(folder)
                yield _describe(entry[1], "may not enter")
                break
        else:
            entry = subject.tree.get(path)
            if path in run and entry is not None and entry[1].mode & 0o111:
                # A program need not be read by whoever runs it; a script is read by its interpreter.
                script = len(run) > 1 and path == run[0]
                if not may(entry[1], uid, groups, _EXECUTE | (_READ if script else 0)):
                    yield _describe(entry[1], "may not run")
            else:
                yield from _below(subject, path, uid, groups)


def _below(subject: Subject, top: str, uid: int, groups: set[int]) -> Iterator[str]:
    inside = top + "/"
    closed: tuple[str, ...] = ()
    paths = [top, *(p for p in subject.tree if p.startswith(inside))] if top else list(subject.tree)
    for path in sorted(p for p in paths if p in subject.tree):
        entry = subject.tree[path][1]
        if path.startswith(closed) and closed:
            continue
        if entry.kind == "d" and not may(entry, uid, groups, _READ | _EXECUTE):
            closed = (*closed, path + "/")
            yield _describe(entry, "may not enter")
        elif entry.kind == "f" and not may(entry, uid, groups, _READ):
            yield _describe(entry, "may not read")


def _wanted(subject: Subject) -> Iterator[str]:
    """Working directory, package folders and the program itself, as paths of the tree."""
    places = []
    workdir = subject.root.settings.get("WorkingDir") or ""
    if workdir.strip("/"):
        places.append(workdir)
    if subject.python is not None:
        places += [subject.python.program, *{d.site for d in subject.python.distributions}]
    for word in [*(subject.root.settings.get("Entrypoint") or []), *(subject.root.settings.get("Cmd") or [])][
        :2
    ]:
        if str(word).startswith("/"):
            places.append(str(word))
    for place in dict.fromkeys(places):
        resolved, file = locate(subject.root, place)
        if file is not None:
            yield resolved.strip("/")


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    for number in range(1, len(parts)):
        yield "/".join(parts[:number])


def may(entry: Entry, uid: int, groups: AbstractSet[int], wanted: int) -> bool:
    """Whether the mode of a file or folder lets someone do what the bits of `wanted` say (4 read, 2 write, 1 run)."""
    if entry.uid == uid:
        bits = entry.mode >> 6
    elif entry.gid in groups:
        bits = entry.mode >> 3
    else:
        bits = entry.mode
    return bits & wanted == wanted


def _describe(entry: Entry, what: str) -> str:
    return f"/{entry.path} ({what}: mode {entry.mode:04o}, owner {entry.uid}:{entry.gid})"
