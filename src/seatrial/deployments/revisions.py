"""Revisions of an application: bundles that were deployed or will be. Those of this machine are kept as they were."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.deployments import records
from seatrial.errors import UsageError
from seatrial.files import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

_SHORT = 12
_ENDINGS = {".zip": "zip", ".tar": "tar", ".tgz": "tgz", ".tar.gz": "tgz"}


class Revision(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle. `location` is where it came from and `kept` where its copy is ('' for what hosts fetch themselves).

    `digest` is over its content, or over location and version of what is fetched. Times are seconds since the epoch.
    """

    id: str
    application: str
    location: str
    type: str
    digest: str
    kept: str = ""
    version: str = ""
    registered: float = 0
    description: str = ""


def type_of(location: str) -> str:
    """The type of a bundle, by its name and what is there.

    Raises:
        UsageError: it cannot be told.
    """
    if not _remote(location) and Path(location).is_dir():
        return "directory"
    for ending, kind in _ENDINGS.items():
        if location.endswith(ending):
            return kind
    if location.startswith(("git://", "ssh://")) or location.endswith(".git"):
        return "git"
    raise UsageError(
        f"the type of the bundle {location} cannot be told", fix="say --type directory, zip, tar, tgz or git"
    )


def register(
    home: Path,
    application: str,
    location: str,
    kind: str,
    *,
    version: str = "",
    description: str = "",
    now: float,
) -> Revision:
    """Keep a bundle as a revision; the same content is the same revision, and what is registered stays.

    Raises:
        UsageError: there is no such bundle, or it holds what is neither a file, a folder nor a link.
    """
    records.check_name("an application", application)
    if _remote(location) or kind == "git":
        digest = hashlib.sha256(f"{location}\0{version}".encode()).hexdigest()
        kept = ""
    else:
        digest, kept = _keep(home, Path(location).absolute(), kind)
    revision = Revision(
        id=f"r-{digest[:_SHORT]}",
        application=application,
        location=location if _remote(location) else str(Path(location).absolute()),
        type=kind,
        digest=digest,
        kept=kept,
        version=version,
        registered=now,
        description=description,
    )
    with records.changing(home):
        before = records.read(_path(home, application, revision.id), Revision)
        if before is not None:
            return before
        records.write(_path(home, application, revision.id), revision)
    return revision


def load(home: Path, application: str, identifier: str) -> Revision:
    """A revision of an application, by its id or a beginning of it that fits one alone.

    Raises:
        UsageError: there is none, or several fit.
    """
    found = [one for one in every(home, application) if one.id.startswith(identifier)]
    exact = [one for one in found if one.id == identifier] or found
    if len(exact) == 1 and identifier:
        return exact[0]
    problem = "several revisions fit" if exact and identifier else "there is no revision"
    known = ", ".join(one.id for one in every(home, application)[:5])
    raise UsageError(
        f"{problem} {identifier!r} of the application {application}",
        fix=f"its latest revisions are {known}" if known else "`seatrial deploy run BUNDLE` makes the first",
    )


def every(home: Path, application: str) -> list[Revision]:
    """The revisions of an application, newest first."""
    found = records.all_in(records.folder(home, "revisions", application), Revision)
    return sorted(found, key=lambda one: (one.registered, one.id), reverse=True)


def digest_of(place: Path) -> str:
    """The SHA-256 of a file, or of a folder's names, kinds, permission bits, links and contents.

    Raises:
        UsageError: the folder holds what is neither a file, a folder nor a link.
    """
    if place.is_file():
        return _hash_file(place)
    whole = hashlib.sha256()
    for path in _walk(place):
        found = path.lstat()
        name = os.fsencode(path.relative_to(place))
        if stat.S_ISLNK(found.st_mode):
            what = b"l", os.fsencode(path.readlink())
        elif stat.S_ISDIR(found.st_mode):
            what = b"d", b""
        elif stat.S_ISREG(found.st_mode):
            what = b"f", _hash_file(path).encode()
        else:
            raise UsageError("the bundle holds what is neither file, folder nor link", where=str(path))
        for part in (*what, name, f"{stat.S_IMODE(found.st_mode):o}".encode()):
            whole.update(len(part).to_bytes(8, "big") + part)
    return whole.hexdigest()


def _keep(home: Path, source: Path, kind: str) -> tuple[str, str]:
    """Copy the bundle into the store, where it is known by its content."""
    import tempfile

    if not source.exists():
        raise UsageError("there is no such bundle", where=str(source))
    if source.is_dir() != (kind == "directory"):
        raise UsageError(f"the bundle is no {kind}", where=str(source), fix="say another --type")
    store = records.folder(home, "bundles")
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=store))
    try:
        copy = scratch / "bundle"
        if kind == "directory":
            digest_of(source)  # before the copy, which would read from a pipe for ever
            shutil.copytree(source, copy, symlinks=True)
        else:
            shutil.copy(source, copy)
        digest = digest_of(copy)
        target = store / digest
        if not target.exists():
            try:
                scratch.rename(target)
            except OSError:  # another has just put the same one there
                if not target.exists():
                    raise
        return digest, str(target / "bundle")
    except shutil.Error as error:
        raise UsageError(
            "the bundle cannot be read", where=str(source), why=str(error.args[0][0][2])
        ) from error
    except OSError as error:
        raise UsageError(f"the bundle cannot be kept: {error.strerror}", where=str(error.filename)) from error
    finally:
        remove_tree(scratch)


def _walk(place: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(place), key=lambda one: os.fsencode(one.name)):
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))


def _hash_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _remote(location: str) -> bool:
    return "://" in location


def _path(home: Path, application: str, identifier: str) -> Path:
    return records.folder(home, "revisions", application) / f"{identifier}.json"
