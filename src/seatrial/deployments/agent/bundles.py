"""DownloadBundle: the revision, fetched, looked at and unpacked into the deployment's archive, whole or not at all."""

from __future__ import annotations

import bz2
import errno
import gzip
import lzma
import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING
from urllib.parse import parse_qs

from seatrial.deployments.agent.diagnostics import unknown
from seatrial.engine import points
from seatrial.errors import SeatrialError
from seatrial.files import remove_tree
from seatrial.unpacking import ArchiveError, Rules, untar, unzip

if TYPE_CHECKING:
    from seatrial.cloud.s3 import Place
    from seatrial.deployments.agent.diagnostics import Failed
    from seatrial.deployments.agent.order import Order
    from seatrial.deployments.agent.records import Places

_TRUST = "make the bundle again, or let it through with `--allow {}`"


def fetch(order: Order, places: Places) -> dict[str, str]:
    """Put the revision into the archive folder; returns the BUNDLE_… variables that scripts get.

    Raises:
        SeatrialError: it is not to be had, is refused, or cannot be written. Nothing of it stays then.
    """
    work = places.here / "deployment-archive-temp"
    for left in (work, places.archive, places.bundle):
        remove_tree(left)
    try:
        given = _get(order, places, work)
        points.reach("agent/unpacked")
        top = _top(work)
        top.rename(places.archive)
    except SeatrialError as error:
        remove_tree(work)
        if "No space left" in f"{error.what} {error.why}":
            message = "The disk is (or was) full during extraction."
            raise unknown(message, why=str(error), fix="free space on that file system") from error
        raise
    except OSError:
        remove_tree(work)
        raise
    remove_tree(work)
    return given


def _get(order: Order, places: Places, work: Path) -> dict[str, str]:
    if order.type == "git":
        return _from_git(order, work)
    if order.bundle.startswith("s3://"):
        given = _from_s3(order, places)
        _unpack(order, places.bundle, work)
        return given
    bundle = Path(order.cwd, order.bundle)
    if order.type == "directory":
        _copy(order, bundle, work)
        return {}
    places.bundle.symlink_to(bundle.absolute())
    _unpack(order, bundle, work)
    return {}


def _from_git(order: Order, work: Path) -> dict[str, str]:
    from seatrial import git

    work.mkdir(parents=True)
    where = order.bundle
    if "://" not in where and Path(order.cwd, where).exists():
        where = str(Path(order.cwd, where))
    commit, _ = git.checkout(where, work, order.version, git.Depth(commits=1))
    remove_tree(work / ".git")
    _inspect(order, work)
    return {"BUNDLE_COMMIT": commit}


def _from_s3(order: Order, places: Places) -> dict[str, str]:
    place, etag = from_s3(order.bundle, places.bundle)
    found = {"BUNDLE_BUCKET": place.bucket, "BUNDLE_KEY": place.key, "BUNDLE_ETAG": etag}
    return found | ({"BUNDLE_VERSION": place.version} if place.version else {})


def from_s3(where: str, into: Path) -> tuple[Place, str]:
    """Fetch `s3://BUCKET/KEY`, with `?versionId=V&etag=E` where those are meant; returns the object and its etag.

    Raises:
        SeatrialError: there is no such object, it has another etag, or it cannot be read.
    """
    from seatrial.cloud import s3, session

    where, _, query = where.partition("?")
    asked = {name: values[0] for name, values in parse_qs(query).items()}
    place = s3.parse(where)
    if not place.key:
        raise unknown(f"{where} is a bucket, and no object in it", fix="name it as s3://BUCKET/KEY")
    place = s3.Place(place.bucket, place.key, asked.get("versionId", ""))
    client = s3.client()
    versioned = {"VersionId": place.version} if place.version else {}
    head = session.ask(
        client.head_object, "s3:GetObject", str(place), Bucket=place.bucket, Key=place.key, **versioned
    )
    etag = str(head.get("ETag", "")).strip('"')
    wanted = asked.get("etag", "").strip('"')
    if wanted and wanted != etag:
        raise unknown(
            f"Expected deployment artifact bundle etag {wanted} but was actually {etag}",
            fix="deploy the object that is there now, or put the one that was meant back",
        )
    s3.download(client, place, into, etag=etag)
    return place, etag


def _rules(order: Order) -> Rules:
    allow = order.hardening.allow
    return Rules(
        links="any" if "symlinks" in allow else "within",
        setuid="keep" if "setuid" in allow else "refuse",
        outside="cut" if "traversal" in allow else "refuse",
        twice="duplicates" in allow,
        hard=True,
        # As tar itself does: whoever may give files away, does.
        owners=os.geteuid() == 0,
        size=order.hardening.most,
    )


def _unpack(order: Order, bundle: Path, work: Path) -> None:
    work.mkdir(parents=True)
    try:
        kind = _kind(bundle)
        if order.type == "zip":
            if kind != "zip":
                raise unknown("Error extracting zip archive: 9", why=_not(bundle, order.type), fix=_fix(kind))
            unzip(bundle, work, _rules(order))
            return
        if kind == "zip" or (order.type == "tgz" and kind != "gzip"):
            raise unknown("Error extracting tar archive: 2", why=_not(bundle, order.type), fix=_fix(kind))
        with bundle.open("rb") as raw:
            size = os.fstat(raw.fileno()).st_size
            with _opened(raw, kind) as stream:
                untar(stream, lambda name: (work, name), where=str(bundle), packed=size, rules=_rules(order))
    except ArchiveError as error:
        raise unknown(f"The bundle is refused: {error.why}", why=f"it is {bundle}", fix=error.fix) from error
    except OSError as error:
        raise unreadable(bundle, error) from error


def unreadable(place: Path, error: OSError) -> Failed:
    """What cannot be read or written, in the words of the system."""
    where = os.fsdecode(error.filename or place)
    full = "free space on that file system" if error.errno in (errno.ENOSPC, errno.EDQUOT) else ""
    return unknown(
        f"{error.strerror or error} - {where}",
        fix=full or "check that file, its permissions and those of its folders",
    )


def _kind(bundle: Path) -> str:
    with bundle.open("rb") as stream:
        start = stream.read(6)
    known = {b"PK": "zip", b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz"}
    return next((kind for magic, kind in known.items() if start.startswith(magic)), "tar")


def kind_of(bundle: str) -> str:
    """The type of a bundle, by what it is."""
    path = Path(bundle)
    if path.is_dir():
        bare = (path / "HEAD").is_file() and (path / "objects").is_dir()
        return "git" if bare else "directory"
    name = bundle.partition("?")[0]
    if path.is_file():
        with suppress(OSError):  # then its name has to do, and whoever reads it says so
            return {"zip": "zip", "gzip": "tgz"}.get(_kind(path), "tar")
    if path.is_file() or bundle.startswith("s3://"):
        return "zip" if name.endswith(".zip") else "tgz" if name.endswith((".tgz", ".tar.gz")) else "tar"
    return "git" if "://" in bundle or bundle.endswith(".git") else "directory"


def _not(bundle: Path, kind: str) -> str:
    return f"{bundle} is no {kind} file"


def _fix(kind: str) -> str:
    return f"say what it is with `--type {({'gzip': 'tgz', 'zip': 'zip'}).get(kind, 'tar')}`"


def _opened(raw: IO[bytes], kind: str) -> IO[bytes]:
    # /bin/tar, which the agent calls, finds out by itself what a tar is compressed with.
    if kind == "gzip":
        return gzip.GzipFile(fileobj=raw)  # type: ignore[return-value]
    if kind == "bzip2":
        return bz2.BZ2File(raw)
    return lzma.LZMAFile(raw) if kind == "xz" else raw


def _top(work: Path) -> Path:
    """Where the revision begins: a single folder with an appspec in it is no part of it."""
    entries = list(work.iterdir())
    if len(entries) != 1 or not entries[0].is_dir() or entries[0].is_symlink():
        return work
    inside = (entry.name.lower() for entry in entries[0].iterdir())
    return entries[0] if any("appspec" in name for name in inside) else work


def _inspect(order: Order, folder: Path) -> None:
    """Refuse what an archive of the same files would be refused for."""
    allow = order.hardening.allow
    top, root = os.path.realpath(folder), os.path.realpath(order.root)
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if os.path.realpath(Path(place, name)) != root]
        for name in (*folders, *files):
            path = Path(place, name)
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                _check_link(path, top, allow)
            elif stat.S_ISREG(mode) and mode & 0o6000 and "setuid" not in allow:
                raise _refused(path, "would run with another user's rights (set-user-id)", "setuid")
            elif not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                raise unknown(
                    f"The bundle is refused: {path} is a socket, a pipe or a device",
                    fix="a bundle holds files, folders and symbolic links only",
                )


def _check_link(path: Path, top: str, allow: tuple[str, ...]) -> None:
    if "symlinks" in allow:
        return
    end = os.path.realpath(path)
    if os.readlink(path).startswith("/") or not (end == top or end.startswith(f"{top}/")):  # noqa: PTH115
        raise _refused(path, f"is a symbolic link to {os.readlink(path)}, out of the bundle", "symlinks")  # noqa: PTH115


def _refused(path: Path, why: str, switch: str) -> SeatrialError:
    return unknown(f"The bundle is refused: {path} {why}", fix=_TRUST.format(switch))


def _copy(order: Order, source: Path, work: Path) -> None:
    """Copy a folder as the agent does: modes as the umask leaves them, links as links."""
    _inspect(order, source)
    umask = os.umask(0)
    os.umask(umask)
    left = order.hardening.most
    root = Path(order.root).resolve()
    work.mkdir(parents=True)
    folders = [(source, work)]
    try:
        for reading, writing in folders:  # grows while it is gone through
            for entry in os.scandir(reading):
                place = writing / entry.name
                if entry.is_symlink():
                    place.symlink_to(os.readlink(entry.path))  # noqa: PTH115 - exactly as it is written
                elif entry.is_dir():
                    if Path(entry.path).resolve() == root:
                        continue  # records that lie in the bundle are no part of it
                    place.mkdir()
                    folders.append((Path(entry.path), place))
                else:
                    left -= entry.stat().st_size
                    if left < 0:
                        raise unknown(
                            f"The bundle is refused: it has more than {order.hardening.most} bytes",
                            fix="raise --max-extraction",
                        )
                    shutil.copyfile(entry.path, place)
                    with suppress(PermissionError):
                        place.chmod(stat.S_IMODE(entry.stat().st_mode) & ~umask)
    except OSError as error:
        raise unreadable(source, error) from error
