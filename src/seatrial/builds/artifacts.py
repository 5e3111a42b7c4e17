"""What a build leaves behind: the files that `artifacts` names, as a folder, a zip, or in S3.

Log lines and messages are CodeBuild's as real logs have them. Sources: AWS CodeBuild user guide, "Build specification
reference", artifacts; API reference, ProjectArtifacts. What neither says is written down in docs/reference/build-artifacts.md.
"""

from __future__ import annotations

import os
import posixpath
import secrets
import shutil
from typing import IO, TYPE_CHECKING, Any, Literal, cast

import msgspec

from seatrial.builds.packing import Gone, Packed, open_found, source_date, write_zip
from seatrial.builds.patterns import Found, clean, excludes, expand, find, is_glob
from seatrial.builds.refused import Refused, unreadable
from seatrial.builds.view import View, below
from seatrial.cloud import s3 as store
from seatrial.errors import SeatrialError, UsageError
from seatrial.files import atomic_writer, remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from seatrial.builds.model import Artifacts

__all__ = ["S3", "Collected", "Folder", "Refused", "Written", "Zip", "collect", "key", "name", "write"]  # fmt: skip

NOTHING = "no matching artifact paths found"
_CHUNK = 1 << 20
_FOLDER_AT_ONCE = 8


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What an artifact will hold. `files` are the names in it, in order.

    `base` is the base directory as it was written, with variables put in. `skipped` are patterns that found nothing,
    `replaced` the files that another of the same name took the place of (`discard-paths`, several base directories).
    `log` are CodeBuild's lines.
    """

    files: tuple[str, ...]
    skipped: tuple[str, ...]
    base: str
    replaced: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    found: tuple[Found, ...] = ()


class Folder(msgspec.Struct, frozen=True):
    """Packaging NONE to this machine: `path` must be absent or empty."""

    path: Path


class Zip(msgspec.Struct, frozen=True):
    """Packaging ZIP to this machine; a file that is there is replaced."""

    path: Path


class S3(msgspec.Struct, frozen=True, kw_only=True):
    """`key` names the zip, or with packaging NONE the prefix of all files.

    `kms_key` is a key's id, ARN or alias; `encrypted` without one leaves it to the bucket. `owner_access` is the
    project's bucketOwnerAccess. `client` is one of boto3; without it one is made for `region`.
    """

    bucket: str
    key: str
    packaging: Literal["ZIP", "NONE"] = "ZIP"
    kms_key: str = ""
    owner_access: Literal["NONE", "READ_ONLY", "FULL"] = "NONE"
    region: str = ""
    client: Any = None


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """`place` is a path or s3:// address; `files` and `size` (bytes, unpacked) what went in. `gone` are files that were
    there when they were collected and no longer when they were to be read.
    """

    place: str
    files: int
    size: int
    gone: tuple[str, ...] = ()


def collect(
    spec: Artifacts,
    root: Path,
    environment: Mapping[str, str],
    *,
    view: View | None = None,
    seen: str = "",
    packaging: Literal["ZIP", "NONE"] = "ZIP",
) -> Collected:
    """Find the files of one artifact below the workspace `root`.

    Only a zip keeps symbolic links (`enable-symlinks`); for `packaging` NONE they are followed.

    Variables in paths are put in from `environment`, the build's at its end. `view` says where the build's other files
    lie, for paths and links that leave the workspace, and `seen` where the build itself sees the workspace; without
    them nothing outside of `root` is found.

    Raises:
        Refused: nothing matches, or what matches cannot be read: CodeBuild's CLIENT_ERROR.
    """
    view = below(root) if view is None else view
    seen = seen or str(root.resolve())
    try:
        kept = spec.enable_symlinks and packaging == "ZIP"
        return _collect(spec, view, seen, environment, links=kept)
    except OSError as error:
        raise unreadable(error) from error


def _collect(
    spec: Artifacts, view: View, seen: str, environment: Mapping[str, str], *, links: bool
) -> Collected:
    base = expand(spec.base_directory, environment) or "."
    log = [f"Expanding base directory path: {base}", "Assembling file list", f"Expanding {base}"]
    bases = find(view, seen, base, folders=True)
    if not bases:
        raise Refused(
            "CLIENT_ERROR",
            f"no matching base directory path found for {base}",
            where=str(spec.place),
            why="no folder of that name is in the workspace when the build ends",
            fix="check that the commands make it, and that the path is relative to the root of the source",
        )
    excluded = [expand(text.value, environment) for text in spec.exclude_paths]
    chosen: dict[str, Found] = {}
    skipped: dict[str, None] = {}
    replaced: list[str] = []
    for folder in bases:
        top = folder.name if folder.name.startswith("/") else f"{seen}/{folder.name}"
        log += [f"Expanding file paths for base directory {folder.name}", "Assembling file list"]
        number = 0
        for text in spec.files:
            pattern = expand(text.value, environment)
            log.append(f"Expanding {pattern}")
            found = find(view, top, pattern, links=links)
            if not found:
                log.append(f"Skipping invalid file path {pattern}")
                skipped[pattern] = None
            for one in found:
                if any(excludes(pattern, one.name) for pattern in excluded):
                    continue
                number += 1
                name = _name_in_artifact(one.name, discard=spec.discard_paths)
                if name in chosen and chosen[name].place != one.place:
                    replaced.append(chosen[name].name)
                chosen[name] = one._replace(name=name)
        log.append(f"Found {number} file(s)")
    if not chosen:
        raise Refused(
            "CLIENT_ERROR",
            NOTHING,
            where=str(spec.place),
            why=_why_nothing(spec, view, seen, bases[0].name, tuple(skipped)),
            fix="correct `files`; paths are relative to base-directory, else to the root of the source",
        )
    return Collected(
        files=tuple(chosen),
        skipped=tuple(skipped),
        base=base,
        replaced=tuple(replaced),
        log=tuple(log),
        found=tuple(chosen.values()),
    )


def _name_in_artifact(name: str, *, discard: bool) -> str:
    """Files from above the base directory, or from an absolute path, keep what is left of their path."""
    if discard:
        return posixpath.basename(name)
    plain = name.lstrip("/")
    while plain.startswith("../"):
        plain = plain[3:]
    return plain


def _why_nothing(spec: Artifacts, view: View, seen: str, base: str, skipped: tuple[str, ...]) -> str:
    if len(skipped) < len(spec.files):
        return "exclude-paths leaves out every file that was found"
    top = f"{seen}/{base}"
    for pattern in skipped:
        if not is_glob(pattern) and find(view, top, pattern, folders=True):
            return f"{pattern} is a folder; its files are `{clean(pattern)}/**/*`"
    return f"nothing is there that is called {', '.join(skipped[:5])}" if skipped else "`files` is empty"


def name(spec: Artifacts, shell: Callable[[str], str]) -> str:
    """The artifact's own name, put together by the build's shell: `shell` gets a text and returns what it becomes.

    It is used when the project says overrideArtifactName. Empty when the buildspec has none.

    Raises:
        Refused: nothing is left of it, or it would leave the artifacts' folder.
    """
    if not spec.name:
        return ""
    made = shell(spec.name).strip()
    if not made or ".." in made.split("/") or "\0" in made or "\n" in made:
        raise Refused(
            "CLIENT_ERROR",
            f"invalid artifact name: {made[:200]!r}",
            where=str(spec.place),
            why=f"`name: {spec.name}` became that in the build's shell",
            fix="check that its variables are set when the build ends",
        )
    return made


def key(
    *,
    path: str = "",
    namespace: Literal["NONE", "BUILD_ID"] = "NONE",
    build_id: str = "",
    name: str = "",
    packaging: Literal["NONE", "ZIP"] = "NONE",
    s3_prefix: str = "",
) -> str:
    """Where CodeBuild puts an artifact in its bucket: `<path>/<build id>/<name>`, with `.zip` for a zip.

    With `s3_prefix` it is `<s3-prefix>/<build id>/<name>`. A `name` of `/` means the folder itself. Source: API
    reference, ProjectArtifacts; user guide, artifacts/s3-prefix.

    Raises:
        UsageError: the namespace asks for a build id and there is none.
    """
    if (s3_prefix or namespace == "BUILD_ID") and not build_id:
        raise UsageError("the artifact's key has the build id in it, and there is none")
    parts = (
        [s3_prefix, build_id, name]
        if s3_prefix
        else [path, build_id if namespace == "BUILD_ID" else "", name]
    )
    joined = "/".join(part.strip("/") for part in parts if part.strip("/"))
    return f"{joined}.zip" if packaging == "ZIP" and joined and not joined.endswith(".zip") else joined


def write(collected: Collected, target: Folder | Zip | S3) -> Written:
    """Write the artifact; it is there as a whole or, whatever happens meanwhile, not at all.

    Zips of the same files are the same, and with SOURCE_DATE_EPOCH whenever they are made. In S3 with packaging NONE
    each file is whole by itself.

    Raises:
        Refused: a file cannot be read, or none is there any more.
        AwsError: S3 refuses.
        SeatrialError: the place cannot be written.
    """
    try:
        if isinstance(target, Folder):
            return _write_folder(collected, target.path)
        if isinstance(target, Zip):
            with atomic_writer(target.path) as out:
                packed = _pack(collected, out)
            return _written(str(target.path), packed)
        return _write_s3(collected, target)
    except OSError as error:
        raise SeatrialError(
            f"cannot write: {error.strerror or error}",
            where=str(target.path if not isinstance(target, S3) else target.key),
            fix="check the folder, its permissions and the space there",
        ) from error


def _pack(collected: Collected, out: IO[bytes]) -> Packed:
    packed = write_zip(out, collected.found, source_date())
    if not packed.files:
        raise _all_gone()
    return packed


def _written(place: str, packed: Packed) -> Written:
    return Written(place=place, files=packed.files, size=packed.size, gone=packed.gone)


def _write_folder(collected: Collected, folder: Path) -> Written:
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise UsageError(
            "artifacts do not go over what is there",
            where=str(folder),
            fix="name a folder that is new or empty",
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = folder.with_name(f".{folder.name[:200]}.{secrets.token_hex(6)}.tmp")
    try:
        made.mkdir()
        packed = _fill(collected, made)
        made.rename(folder)
    finally:
        remove_tree(made)
    return _written(str(folder), packed)


def _fill(collected: Collected, folder: Path) -> Packed:
    files = size = 0
    gone = []
    moment = source_date()
    for found in collected.found:
        place = folder / found.name
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise _both(found.name) from error
        if found.link:
            place.symlink_to(found.link)
        else:
            try:
                size += _copy(found, place, moment)
            except Gone:
                gone.append(found.name)
                continue
            except IsADirectoryError as error:
                raise _both(found.name) from error
        files += 1
    if not files:
        raise _all_gone()
    return Packed(files, size, tuple(gone))


def _copy(found: Found, place: Path, moment: int | None) -> int:
    with open_found(found) as reading:
        status = os.fstat(reading.fileno())
        left = status.st_size
        with place.open("wb") as writing:
            while left > 0 and (piece := reading.read(min(_CHUNK, left))):
                if piece.count(0) == len(piece):
                    writing.seek(len(piece), os.SEEK_CUR)  # a hole stays a hole
                else:
                    writing.write(piece)
                left -= len(piece)
            writing.truncate(status.st_size - left)
            os.fchmod(writing.fileno(), status.st_mode & 0o777)
    when = status.st_mtime_ns if moment is None else moment * 10**9
    os.utime(place, ns=(when, when))
    return status.st_size - left


def _write_s3(collected: Collected, target: S3) -> Written:
    client = target.client or store.client(target.region)
    options = _options(target)
    place = store.Place(target.bucket, target.key)
    if target.packaging == "ZIP":
        with store.Upload(client, place, {"ContentType": "application/zip", **options}) as out:
            packed = _pack(collected, cast("IO[bytes]", _Unseekable(out)))
        return _written(str(place), packed)
    if target.key.strip("/"):
        place = store.Place(target.bucket, target.key.strip("/") + "/")
    return _written(str(place), _upload_all(collected, client, place, options))


def _upload_all(collected: Collected, client: Any, place: store.Place, options: dict[str, str]) -> Packed:
    from concurrent.futures import ThreadPoolExecutor

    def send(found: Found) -> int:
        where = store.Place(place.bucket, f"{place.key}{found.name}")
        try:
            with store.Upload(client, where, options) as out, open_found(found) as reading:
                shutil.copyfileobj(reading, cast("IO[bytes]", out), _CHUNK)
        except Gone:
            return -1
        return out.size

    for found in collected.found:
        if not _is_text(found.name):
            raise Refused(
                "CLIENT_ERROR", "unable to upload an object whose name is not UTF-8", where=repr(found.name),
                why="keys in S3 are UTF-8", fix="rename the file, or set packaging to ZIP",
            )  # fmt: skip
        if found.link:
            raise UsageError(
                "a symbolic link cannot be an object", where=found.name, fix="collect with packaging NONE"
            )
    with ThreadPoolExecutor(_FOLDER_AT_ONCE) as pool:
        sizes = list(pool.map(send, collected.found))
    if all(size < 0 for size in sizes):
        raise _all_gone()
    gone = tuple(found.name for found, size in zip(collected.found, sizes, strict=True) if size < 0)
    return Packed(len(sizes) - len(gone), sum(size for size in sizes if size > 0), gone)


class _Unseekable:
    """What zipfile writes to when it can only go forward."""

    def __init__(self, out: store.Upload) -> None:
        self.write = out.write
        self.flush = out.flush


def _options(target: S3) -> dict[str, str]:
    options = {}
    if target.kms_key:
        options = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": target.kms_key}
    access = {"READ_ONLY": "bucket-owner-read", "FULL": "bucket-owner-full-control"}.get(target.owner_access)
    return {**options, "ACL": access} if access else options


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _all_gone() -> Refused:
    return Refused(
        "CLIENT_ERROR", NOTHING, why="the files went away before they could be read",
        fix="let no process of the build go on removing files after its last command",
    )  # fmt: skip


def _both(name: str) -> Refused:
    return Refused(
        "CLIENT_ERROR", f"{name} is to be both a file and a folder",
        why="two base directories, or paths from above them, meet in one artifact",
        fix="write two artifacts, or name the files one by one",
    )  # fmt: skip
