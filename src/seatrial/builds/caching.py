"""The cache of a build: restored before INSTALL, saved after POST_BUILD, and never a reason to fail.

A cache with a key is written once and not changed; without one a project has one copy, which each build replaces. The
version, a hash of the paths, keeps caches of different paths apart. Source: AWS CodeBuild user guide, "Amazon S3
caching", "Local caching" and "Build specification reference", cache. The archive's form is our own.
"""

from __future__ import annotations

import hashlib
import importlib
import tarfile
import time
from typing import IO, TYPE_CHECKING, Any, NamedTuple, cast
from urllib.parse import quote, unquote

import msgspec

from seatrial.builds.cache_files import pack, places
from seatrial.builds.cache_keys import evaluate
from seatrial.builds.patterns import clean, expand, find, is_glob
from seatrial.builds.view import View, below
from seatrial.cloud import s3 as objects
from seatrial.cloud.session import AwsError
from seatrial.errors import SeatrialError
from seatrial.images.assemble import store as entries
from seatrial.unpacking import untar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from seatrial.builds.model import Cache

KIND = "build-caches"
MOST_FALLBACKS = 5
_UNDEFINED = ("Cache is not defined in the buildspec", "Skip cache due to: no paths specified to be cached")
_NO_PATHS = ("Skip cache due to: no paths specified to be cached",)
_ONLY = "default"  # the key of a cache without one
_SUFFIX = ".tar.gz"


class Local(msgspec.Struct, frozen=True):
    """LOCAL_CUSTOM_CACHE: on this machine, folders only. `project` is whose cache it is."""

    project: str


class S3(msgspec.Struct, frozen=True, kw_only=True):
    """`location` is `bucket/prefix`; projects with the same `namespace` share caches. `client` is one of boto3's."""

    location: str
    project: str
    namespace: str = ""
    region: str = ""
    kms_key: str = ""
    client: Any = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What restoring or saving did. `log` are CodeBuild's lines, `summary` is ours, in one sentence.

    `done` is true when a cache was restored or saved; `key` is its whole key, empty when caches have none, and
    `exact` whether that is the key that was asked for. `size` is the archive's, in bytes.
    """

    done: bool
    summary: str
    log: tuple[str, ...] = ()
    key: str = ""
    exact: bool = False
    files: int = 0
    size: int = 0
    seconds: float = 0.0


class _Asked(NamedTuple):
    """What the buildspec says, with variables put in. `patterns` are paths as the build sees them, absolute."""

    patterns: tuple[str, ...]
    version: str
    key: str
    fallbacks: tuple[str, ...]
    view: View
    seen: str
    log: tuple[str, ...]


class _Entry(msgspec.Struct, frozen=True, kw_only=True):
    """`cache.json` of a local entry; `created` is in seconds since the epoch."""

    project: str
    version: str
    key: str
    created: float
    files: int


def restore(
    cache: Cache | None,
    store: Local | S3,
    root: Path,
    environment: Mapping[str, str],
    *,
    view: View | None = None,
    seen: str = "",
    shell: Callable[[str], str] | None = None,
) -> Outcome:
    """Put what was cached where it was; what is there under the same names is replaced, the rest stays.

    `view` and `seen` are as for artifacts. `shell` evaluates a key that has more in it than variables and
    `codebuild-hash-files`. Nothing raises: a cache that cannot be had is a line in the log.
    """
    if cache is None or not cache.paths:
        return Outcome(done=False, summary="no cache", log=_UNDEFINED if cache is None else _NO_PATHS)
    if cache.action == "save":
        return Outcome(done=False, summary="the cache is only saved (action: save)")
    started = time.monotonic()
    lines: list[str] = []
    try:
        asked = _ask(cache, store, root, environment, view, seen, shell)
        lines += asked.log
        found = (
            _restore_local(asked, store, lines)
            if isinstance(store, Local)
            else _restore_s3(asked, store, lines)
        )
    except (SeatrialError, OSError) as error:
        lines.append(f"Unable to download cache: {_in_words(error)}")
        return Outcome(done=False, summary=f"cache not restored: {_one_line(error)}", log=tuple(lines))
    seconds = time.monotonic() - started
    if found is None:
        wanted = f" {asked.key}" if asked.key else ""
        return Outcome(done=False, summary=f"cache miss{wanted}", log=tuple(lines), seconds=seconds)
    key, files, size = found
    exact = key == asked.key
    called = f" {key}" if key else ""
    how = "" if exact else f", for {asked.key}"
    return Outcome(
        done=True,
        summary=f"cache hit{called}{how}: {files} files, {_megabytes(size)} in {seconds:.1f} s",
        log=tuple(lines), key=key, exact=exact, files=files, size=size, seconds=seconds,
    )  # fmt: skip


def save(
    cache: Cache | None,
    store: Local | S3,
    root: Path,
    environment: Mapping[str, str],
    *,
    view: View | None = None,
    seen: str = "",
    shell: Callable[[str], str] | None = None,
) -> Outcome:
    """Keep what the paths name, for the next build. Arguments are those of `restore`, and nothing raises."""
    if cache is None or not cache.paths:
        return Outcome(done=False, summary="no cache", log=() if cache is None else _NO_PATHS)
    if cache.action == "restore":
        return Outcome(done=False, summary="the cache is only restored (action: restore)")
    started = time.monotonic()
    lines: list[str] = []
    try:
        asked = _ask(cache, store, root, environment, view, seen, shell)
        lines += asked.log
        made = _save_local(asked, store) if isinstance(store, Local) else _save_s3(asked, store, lines)
    except (SeatrialError, OSError, tarfile.TarError) as error:
        lines.append(f"Unable to upload cache: {_in_words(error)}")
        return Outcome(done=False, summary=f"cache not saved: {_one_line(error)}", log=tuple(lines))
    seconds = time.monotonic() - started
    called = f" {asked.key}" if asked.key else ""
    if isinstance(made, str):
        return Outcome(
            done=False, summary=f"cache{called} not saved: {made}", log=tuple(lines), key=asked.key, exact=True,
            seconds=seconds,
        )  # fmt: skip
    files, size = made
    return Outcome(
        done=True,
        summary=f"cache{called} saved: {files} files, {_megabytes(size)} in {seconds:.1f} s",
        log=tuple(lines), key=asked.key, exact=True, files=files, size=size, seconds=seconds,
    )  # fmt: skip


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A local cache; `key` is empty when caches have none. Bytes, and seconds since the epoch."""

    key: str
    files: int
    size: int
    created: float


def kept(project: str) -> list[Kept]:
    """A project's local caches, the newest first."""
    found = [
        Kept(
            key=entry.key,
            files=entry.files,
            size=(entries.entry_path(KIND, name) / "archive.tar").stat().st_size,
            created=entry.created,
        )
        for name, entry in _local_entries()
        if entry.project == project
    ]
    return sorted(found, key=lambda one: -one.created)


def invalidate(project: str) -> int:
    """Forget a project's local caches; returns how many there were. (What InvalidateProjectCache does.)"""
    from seatrial.files import remove_tree

    number = 0
    with entries.pruning() as held:
        for name, entry in _local_entries():
            if entry.project == project and f"{KIND}/{name}" not in held:
                with entries.scratch() as grave:
                    entries.entry_path(KIND, name).rename(grave / "old")
                    remove_tree(grave / "old")
                number += 1
    return number


def _ask(
    cache: Cache,
    store: Local | S3,
    root: Path,
    environment: Mapping[str, str],
    view: View | None,
    seen: str,
    shell: Callable[[str], str] | None,
) -> _Asked:
    view = below(root) if view is None else view
    seen = seen or str(root.resolve())
    written = [_with_home(expand(path.value, environment), environment) for path in cache.paths]
    lines = [f"Expanded cache path {path}" for path in written]
    patterns = []
    for path in written:
        plain = clean(path)
        absolute = plain if plain.startswith("/") else clean(f"{seen}/{plain}")
        if view.real(absolute) is None:
            lines.append(f"Skipping cache path {path}: it is outside of the build's own folders")
            continue
        if not is_glob(plain) and find(view, seen, absolute, folders=True):
            absolute = f"{absolute}/**/*"
        elif isinstance(store, Local) and not is_glob(plain) and find(view, seen, absolute):
            lines.append(
                f"Unable to initialize cache download: only directories can be cached locally: {path}"
            )
            continue
        patterns.append(absolute)
    key = evaluate(cache.key, environment, view, seen, shell) if cache.key else ""
    fallbacks = [evaluate(one, environment, view, seen, shell) for one in cache.fallback_keys] if key else []
    version = hashlib.sha256("\0".join(path.value for path in cache.paths).encode()).hexdigest()[:16]
    return _Asked(tuple(patterns), version, key, tuple(fallbacks[:MOST_FALLBACKS]), view, seen, tuple(lines))


def _with_home(path: str, environment: Mapping[str, str]) -> str:
    return environment.get("HOME", "~") + path[1:] if path == "~" or path.startswith("~/") else path


def _restore_local(asked: _Asked, store: Local, lines: list[str]) -> tuple[str, int, int] | None:
    with entries.using() as use:
        for name, entry in _candidates(asked, store):
            place = use.hold(KIND, name)
            archive = place / "archive.tar"
            try:
                stream = archive.open("rb")
            except FileNotFoundError:
                continue  # pruned just now
            with stream:
                size = archive.stat().st_size
                lines.append("Unarchiving cache...")
                done = untar(
                    stream, places(asked.view, asked.seen, asked.patterns), where=str(archive), packed=size
                )
            return entry.key, done.files, size
    return None


def _candidates(asked: _Asked, store: Local) -> Iterator[tuple[str, _Entry]]:
    """Entries that would do, best first: the key itself, then for each fallback the newest."""
    mine = [
        (name, entry)
        for name, entry in _local_entries()
        if entry.project == store.project and entry.version == asked.version
    ]
    mine.sort(key=lambda one: one[1].created, reverse=True)
    yield from (one for one in mine if one[1].key == asked.key)
    for prefix in asked.fallbacks:
        yield from (one for one in mine if one[1].key.startswith(prefix))


def _local_entries() -> list[tuple[str, _Entry]]:
    found = []
    for place in entries.entry_path(KIND, "").iterdir():
        try:
            entry = msgspec.json.decode((place / "cache.json").read_bytes(), type=_Entry)
        except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
            continue
        found.append((place.name, entry))
    return found


def _save_local(asked: _Asked, store: Local) -> tuple[int, int] | str:
    name = hashlib.sha256(f"{store.project}\0{asked.version}\0{asked.key}".encode()).hexdigest()[:32]
    with entries.using() as use, entries.scratch() as folder:
        place = use.hold(KIND, name)
        if asked.key and place.exists():
            return "there is one with that key already"
        made = folder / "entry"
        made.mkdir()
        with (made / "archive.tar").open("wb") as out:
            files = pack(asked.view, asked.seen, asked.patterns, out)
            size = out.tell()
        if not files:
            return "the paths name no files"
        entry = _Entry(
            project=store.project, version=asked.version, key=asked.key, created=time.time(), files=files
        )
        (made / "cache.json").write_bytes(msgspec.json.encode(entry))
        if place.exists():
            place.rename(folder / "old")
        entries.publish(made, place)
    return files, size


def _restore_s3(asked: _Asked, store: S3, lines: list[str]) -> tuple[str, int, int] | None:
    client = store.client or objects.client(store.region)
    lines.append("Downloading S3 cache...")
    with entries.scratch() as folder:
        for place in _s3_candidates(asked, store, client):
            archive = folder / "archive.tar.gz"
            try:
                size = objects.download(client, place, archive)
            except AwsError as error:
                if error.code in ("NoSuchKey", "404"):
                    continue
                raise
            lines.append("Unarchiving cache...")
            with archive.open("rb") as packed:
                done = untar(
                    _unpacked(packed),
                    places(asked.view, asked.seen, asked.patterns),
                    where=str(place),
                    packed=size,
                )
            key = unquote(place.key.rpartition("/")[2].removesuffix(_SUFFIX))
            return (key if asked.key else ""), done.files, size
    lines.append("Unable to download cache: NoSuchKey: The specified key does not exist.")
    return None


def _s3_candidates(asked: _Asked, store: S3, client: Any) -> Iterator[objects.Place]:
    yield _s3_place(asked, store)
    base = _s3_base(asked, store)
    for prefix in asked.fallbacks:
        wanted = objects.Place(base.bucket, f"{base.key}{quote(prefix, safe='')}")
        found = sorted(objects.listing(client, wanted), key=lambda one: one.modified, reverse=True)
        yield from (objects.Place(base.bucket, one.key) for one in found if one.key.endswith(_SUFFIX))


def _save_s3(asked: _Asked, store: S3, lines: list[str]) -> tuple[int, int] | str:
    igzip: Any = importlib.import_module("isal.igzip")

    client = store.client or objects.client(store.region)
    place = _s3_place(asked, store)
    if asked.key and objects.exists(client, place):
        return "there is one with that key already"
    lines.append("Uploading S3 cache...")
    options = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": store.kms_key} if store.kms_key else {}
    upload = objects.Upload(client, place, options)
    try:
        with upload:
            with igzip.IGzipFile(fileobj=cast("Any", upload), mode="wb", compresslevel=1, mtime=0) as out:
                files = pack(asked.view, asked.seen, asked.patterns, cast("IO[bytes]", out))
            _need(files)
    except _Nothing:
        return "the paths name no files"
    return files, upload.size


def _need(files: int) -> None:
    if not files:
        raise _Nothing


class _Nothing(Exception):  # noqa: N818 - not an error
    """There is nothing to cache; the object that was begun is not to appear."""


def _s3_base(asked: _Asked, store: S3) -> objects.Place:
    place = objects.parse(store.location)
    prefix = f"{place.key.strip('/')}/" if place.key.strip("/") else ""
    owner = quote(store.namespace or store.project, safe="")
    return objects.Place(place.bucket, f"{prefix}{owner}/{asked.version}/")


def _s3_place(asked: _Asked, store: S3) -> objects.Place:
    base = _s3_base(asked, store)
    return objects.Place(base.bucket, f"{base.key}{quote(asked.key or _ONLY, safe='')}{_SUFFIX}")


def _unpacked(stream: IO[bytes]) -> IO[bytes]:
    igzip: Any = importlib.import_module("isal.igzip")

    return cast("IO[bytes]", igzip.IGzipFile(fileobj=stream, mode="rb"))


def _in_words(error: Exception) -> str:
    if isinstance(error, AwsError) and error.code:
        return f"{error.code}: {error.why or error.what}"
    return _one_line(error)


def _one_line(error: Exception) -> str:
    what = error.what if isinstance(error, SeatrialError) else str(error)
    why = error.why if isinstance(error, SeatrialError) and error.why else ""
    return " ".join(f"{what}: {why}".strip(": ").split())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
