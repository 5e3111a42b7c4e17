"""Getting the source of a build: a folder, a zip, a git repository, or a zip or prefix in S3.

Messages are those that CodeBuild gives for the same (its agent reads git with go-git, whose words they are). What is
fetched is a copy: a build never works in the user's own folder.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec

from seatrial.builds.refused import Refused
from seatrial.cloud import s3 as store
from seatrial.cloud.session import AwsError
from seatrial.errors import SeatrialError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Fetched", "Options", "Refused", "Wanted", "fetch", "fetch_secondary", "kind_of"]

Kind = Literal["folder", "zip", "git", "s3", "none"]
_FICLONE = 0x40049409  # ioctl of Linux that shares the blocks of a file where the file system can
_SCP = re.compile(r"(?:[^@/\s:-][^@/\s:]*@)?[A-Za-z0-9][A-Za-z0-9.-]*:(?!/?/).+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_IDENTIFIER = re.compile(r"[A-Za-z0-9_]{1,128}")
_MOST_SECONDARY = 12


class Fetched(NamedTuple):
    """`commit` is what CODEBUILD_RESOLVED_SOURCE_VERSION says: the commit, or for S3 the object's version; else empty.

    `url` is CODEBUILD_SOURCE_REPO_URL, without a password. `files` are those that were written, -1 when nobody counted.
    """

    commit: str
    url: str
    kind: Kind = "none"
    files: int = -1


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`depth` is the number of commits to fetch, 0 for all; `submodules` whether to fetch those too.

    `identifier` is that of a secondary source, for messages. `client` is one of boto3's for S3; without it one is
    made for `region`. `seconds` is how long git may take.
    """

    depth: int = 0
    submodules: bool = False
    identifier: str = ""
    region: str = ""
    client: Any = None
    seconds: float = 3600


class Wanted(NamedTuple):
    """A secondary source."""

    where: str
    version: str = ""


def fetch(where: str, into: Path, *, version: str = "", options: Options | None = None) -> Fetched:
    """Put the source into the folder `into`, which is made and must not have anything in it.

    `where` is a folder, a zip, a git URL or path, or `s3://bucket/key.zip` (`…/` for everything below a prefix); empty
    means that the build has no source. `version` is a branch, tag, commit or `pr/N`, for S3 an object's version; for a
    folder it means the commit of its repository instead of the files as they lie there.

    Raises:
        Refused: it is not to be had; `code` and `message` are CodeBuild's.
        SeatrialError: it may not be unpacked, or cannot be written.
    """
    options = options or Options()
    if into.is_symlink() or (into.exists() and (not into.is_dir() or any(into.iterdir()))):
        raise UsageError("a source goes into a new or empty folder", where=str(into))
    kind = kind_of(where, version)
    if version and kind in ("folder", "zip", "none"):
        raise UsageError(
            f"there is no version {version!r}",
            where=where or "a build without a source",
            why="only repositories and objects in S3 have versions",
            fix="leave the version out",
        )
    into.mkdir(parents=True, exist_ok=True)
    if kind == "git":
        return _from_git(where, into, version, options)
    if kind == "s3":
        return _from_s3(where, into, version, options)
    if kind == "zip":
        from seatrial.unpacking import unzip

        return Fetched("", "", kind, unzip(Path(where), into).files)
    if kind == "folder":
        files = _copy_folder(Path(where), into)
        return Fetched(_commit_of(Path(where)), "", kind, files)
    return Fetched("", "", kind, 0)


def fetch_secondary(
    wanted: Mapping[str, Wanted], folder: Path, *, options: Options | None = None
) -> dict[str, tuple[Path, Fetched]]:
    """Fetch each secondary source into `folder/IDENTIFIER`; variables CODEBUILD_SRC_DIR_IDENTIFIER are to lead there.

    Raises:
        UsageError: an identifier is none, or there are more than twelve.
        Refused: a source is not to be had.
    """
    if len(wanted) > _MOST_SECONDARY:
        raise UsageError(
            f"there are {len(wanted)} secondary sources",
            why=f"the maximum number of secondary sources is {_MOST_SECONDARY}",
        )
    fetched = {}
    for identifier, source in wanted.items():
        if not _IDENTIFIER.fullmatch(identifier):
            raise UsageError(
                f"{identifier!r} is no identifier of a source", fix="use letters, digits and underscores only"
            )
        settings = msgspec.structs.replace(options or Options(), identifier=identifier)
        place = folder / identifier
        fetched[identifier] = (place, fetch(source.where, place, version=source.version, options=settings))
    return fetched


def kind_of(where: str, version: str = "") -> Kind:
    """What `where` is.

    Raises:
        UsageError: nothing that is known, or not there.
    """
    if not where:
        return "none"
    if store.is_place(where):
        return "s3"
    path = Path(where)
    if path.is_dir():
        bare = (path / "HEAD").is_file() and (path / "objects").is_dir()
        return "git" if bare or (version and (path / ".git").exists()) else "folder"
    if path.is_file():
        with path.open("rb") as stream:
            if stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06"):
                return "zip"
        raise UsageError(
            "this file is no source",
            where=where,
            why="it is no zip",
            fix="name a folder, a zip or a repository",
        )
    if _URL.match(where) or _SCP.fullmatch(where):
        return "git"
    raise UsageError(
        "there is no such source", where=where, fix="name a folder, a zip, a git URL or s3://bucket/key.zip"
    )


def refused(
    message: str, version: str, identifier: str, *, where: str, why: str = "", fix: str = ""
) -> Refused:
    """A source that is not to be had, as CodeBuild says it."""
    which = f"secondary source {identifier}" if identifier else "primary source"
    asked = f" and source version {version}" if version else ""
    return Refused(
        "CLIENT_ERROR", f"{message} for {which}{asked}", where=where, why=why or None, fix=fix or None
    )


def _from_git(where: str, into: Path, version: str, options: Options) -> Fetched:
    from seatrial import git

    depth = git.Depth(options.depth, options.submodules, options.seconds)
    try:
        commit, url = git.checkout(where, into, version, depth)
    except git.Unfetched as error:
        raise refused(
            error.message, version, options.identifier,
            where=error.where or where, why=error.why or "", fix=error.fix or "",
        ) from error  # fmt: skip
    return Fetched(commit, url, "git")


def _from_s3(where: str, into: Path, version: str, options: Options) -> Fetched:
    from seatrial.unpacking import unzip

    place = store.parse(where)
    if version:
        place = msgspec.structs.replace(place, version=version)
    client = options.client or store.client(options.region)
    try:
        if not place.key or place.key.endswith("/"):
            return Fetched("", str(place), "s3", _download_prefix(client, place, into))
        archive = into.with_name(f".{into.name}.{os.getpid()}.zip")
        try:
            store.download(client, place, archive)
            files = unzip(archive, into).files
        finally:
            archive.unlink(missing_ok=True)
    except AwsError as error:
        raise refused(
            _in_words(error), place.arn, options.identifier, where=str(place),
            why=error.why or error.what, fix=error.fix or "check the bucket, the key and the version",
        ) from error  # fmt: skip
    return Fetched(place.version, str(msgspec.structs.replace(place, version="")), "s3", files)


def _in_words(error: AwsError) -> str:
    """CodeBuild hands on what S3 answers."""
    known = {
        "NoSuchKey": ("The specified key does not exist.", 404),
        "NoSuchBucket": ("The specified bucket does not exist", 404),
        "NoSuchVersion": ("The specified version does not exist.", 404),
        "AccessDenied": ("Access Denied", 403),
    }
    text, status = known.get(error.code, (error.what, 0))
    return f"{error.code}: {text}" + (f" status code: {status}" if status else "") if error.code else text


def _download_prefix(client: Any, place: store.Place, into: Path) -> int:
    number = 0
    for found in store.listing(client, place):
        name = found.key[len(place.key) :]
        if not name or name.endswith("/"):
            continue
        if any(part in ("", ".", "..") for part in name.split("/")) or "\0" in name:
            raise SeatrialError("an object's key cannot be a file", where=f"s3://{place.bucket}/{found.key}")
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        store.download(client, store.Place(place.bucket, found.key), target)
        target.chmod(0o644)
        number += 1
    if not number:
        raise AwsError("there is nothing below that prefix", where=str(place), code="NoSuchKey")
    return number


def _commit_of(folder: Path) -> str:
    from seatrial.errors import MissingToolError
    from seatrial.images.pushing.checkout import read_checkout

    # A folder is a source also where git is missing, or will not speak about it.
    with suppress(MissingToolError, SeatrialError):
        found = read_checkout(folder, history=False)
        return found.commit if found else ""
    return ""


def _copy_folder(source: Path, target: Path) -> int:
    """Copy everything, with version control, links, permissions and times; blocks are shared where the disk can.

    `target` itself is left out, should it lie in there.
    """
    number = 0
    mine = os.lstat(target)
    folders = [(source, target)]
    for reading, writing in folders:  # grows while it is gone through
        try:
            entries = sorted(os.scandir(reading), key=lambda entry: entry.name)
        except OSError as error:
            raise _uncopied(reading, error) from error
        for entry in entries:
            place = writing / entry.name
            try:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(status.st_mode):
                    if (status.st_dev, status.st_ino) != (mine.st_dev, mine.st_ino):
                        place.mkdir()
                        folders.append((Path(entry.path), place))
                elif stat.S_ISLNK(status.st_mode):
                    place.symlink_to(os.readlink(entry.path))  # noqa: PTH115 - exactly as it is written
                elif stat.S_ISREG(status.st_mode):
                    _copy_file(entry.path, place)
                    number += 1
                else:
                    raise SeatrialError(
                        "a source holds files, folders and symbolic links only",
                        where=entry.path,
                        why="this is a socket, a pipe or a device",
                        fix="remove it, or end the program that keeps it",
                    )
            except OSError as error:
                raise _uncopied(Path(entry.path), error) from error
    for reading, writing in reversed(folders):
        shutil.copystat(reading, writing)
        writing.chmod(stat.S_IMODE(reading.stat().st_mode) | 0o700)
    return number


def _copy_file(source: str, target: Path) -> None:
    descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as reading, target.open("xb") as writing:
        try:
            fcntl.ioctl(writing.fileno(), _FICLONE, reading.fileno())
        except OSError:
            shutil.copyfileobj(reading, writing, 1 << 20)
        status = os.fstat(reading.fileno())
        os.fchmod(writing.fileno(), stat.S_IMODE(status.st_mode) & 0o777)
        writing.flush()
        os.utime(writing.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))


def _uncopied(path: Path, error: OSError) -> SeatrialError:
    return SeatrialError(
        f"cannot copy the source: {error.strerror or error}",
        where=str(path),
        fix="check its permissions and the space on the disk",
    )
