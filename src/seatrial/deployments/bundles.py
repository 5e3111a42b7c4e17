"""The bundles of revisions, each kept once under the digest of its content, wherever it came from."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from seatrial.deployments import records
from seatrial.errors import UsageError
from seatrial.files import remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterator


class Kept(NamedTuple):
    """A bundle in the store, and where it came from: without a password, with the version of what was fetched."""

    digest: str
    path: Path
    type: str
    location: str
    version: str


def keep(home: Path, location: str, kind: str, version: str = "") -> Kept:
    """Put a bundle into the store, where it is known by its content; what is there already stays.

    `location` is a path, `s3://BUCKET/KEY` (with `?versionId=V&etag=E`) or a repository, whose tree is kept at `version`.

    Raises:
        SeatrialError: it is not to be had, cannot be read, or holds what is neither a file, a folder nor a link.
    """
    import tempfile

    store = records.folder(home, "bundles")
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=store))
    try:
        copy = scratch / "bundle"
        origin, version = _bring(location, kind, version, copy)
        digest = digest_of(copy)
        target = store / digest
        if not target.exists():
            try:
                scratch.rename(target)
            except OSError:  # another has just put the same one there
                if not target.exists():
                    raise
        return Kept(digest, target / "bundle", "directory" if kind == "git" else kind, origin, version)
    except shutil.Error as error:
        raise UsageError("the bundle cannot be read", where=location, why=str(error.args[0][0][2])) from error
    except OSError as error:
        raise UsageError(f"the bundle cannot be kept: {error.strerror}", where=str(error.filename)) from error
    finally:
        remove_tree(scratch)


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


def _bring(location: str, kind: str, version: str, copy: Path) -> tuple[str, str]:
    """Get the bundle; returns where it came from, and the version of what was fetched."""
    if kind == "git":
        from seatrial import git

        copy.mkdir()
        commit, url = git.checkout(location, copy, version, git.Depth(commits=1))
        remove_tree(copy / ".git")
        return url, commit
    if location.startswith("s3://"):
        from seatrial.deployments.agent.bundles import from_s3

        if version and "versionId=" not in location:
            location += ("&" if "?" in location else "?") + f"versionId={version}"
        place, _ = from_s3(location, copy)
        return f"s3://{place.bucket}/{place.key}", place.version
    if version:
        raise UsageError("a file or folder has no versions", fix="leave --version out, or say --type git")
    source = Path(location).absolute()
    _copy(source, kind, copy)
    return str(source), ""


def _copy(source: Path, kind: str, copy: Path) -> None:
    if not source.exists():
        raise UsageError("there is no such bundle", where=str(source))
    if source.is_dir() != (kind == "directory"):
        raise UsageError(f"the bundle is no {kind}", where=str(source), fix="say another --type")
    if kind == "directory":
        digest_of(source)  # before the copy, which would read from a pipe for ever
        shutil.copytree(source, copy, symlinks=True)
    else:
        shutil.copy(source, copy)


def _walk(place: Path) -> Iterator[Path]:
    for entry in sorted(os.scandir(place), key=lambda one: os.fsencode(one.name)):
        yield Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            yield from _walk(Path(entry.path))


def _hash_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
