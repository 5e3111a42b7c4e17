"""The cache: wheels, layers, bases and resolutions that can be made again.

An entry is a file or folder that appears by a rename and goes by a rename. Whoever uses entries holds them
by a file in `uses/` that is locked as long as its process lives, so pruning never takes something away from a
running assembly, and a killed one leaves nothing held. Work in progress lies in `scratch/` under the same rule.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from seatrial import paths
from seatrial.files import remove_tree
from seatrial.locks import is_locked, locked, try_lock
from seatrial.processes import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seatrial.images.assemble.install import Installed
    from seatrial.images.assemble.layer import WrittenLayer

_DESCRIPTION = "layer.json"
KINDS = (
    "wheels",
    "layers",
    "bases",
    "resolutions",
    "built",
    "records",
    "bytecode",
    "known",
    "tests",
    "smoke",
    "build-caches",
)


class Use:
    """The entries that one piece of work holds."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def hold(self, kind: str, name: str) -> Path:
        """Keep `kind/name` from being pruned, whether it exists yet or not, and return its place."""
        entry = entry_path(kind, name)
        with locked(_folder("uses") / ".prune", shared=True), self._path.open("a") as stream:
            stream.write(f"{kind}/{name}\n")
        with suppress(OSError):
            os.utime(entry)  # what was used last is pruned last
        return entry


def entry_path(kind: str, name: str) -> Path:
    """Where the entry is or would be."""
    return _folder(kind) / name


@contextmanager
def using() -> Iterator[Use]:
    """Hold entries for the length of a block."""
    sweep()
    with _owned("uses") as path:
        yield Use(path)


def held() -> set[str]:
    """`kind/name` of everything that a living process holds."""
    found: set[str] = set()
    for path in _folder("uses").glob("*.lock"):
        with suppress(FileNotFoundError):
            text = path.read_text()
            if is_locked(path):
                found.update(text.split("\n"))
    return found


@contextmanager
def pruning() -> Iterator[set[str]]:
    """Keep others from starting to use entries for a block, and hand out what is held already."""
    with locked(_folder("uses") / ".prune"):
        yield held()


@contextmanager
def scratch() -> Iterator[Path]:
    """An empty folder for work in progress, on the file system of the cache; removed at the end."""
    sweep()
    with _owned("scratch") as path:
        folder = path.with_suffix(".d")
        folder.mkdir(mode=0o700)
        try:
            yield folder
        finally:
            _remove(folder)


def sweep() -> None:
    """Remove what killed processes left in `scratch/` and `uses/`."""
    for kind in ("scratch", "uses"):
        for path in _folder(kind).glob("*.lock"):
            with suppress(FileNotFoundError):
                descriptor = try_lock(path)
                if descriptor is not None:
                    _remove(path.with_suffix(".d"))
                    path.unlink(missing_ok=True)
                    os.close(descriptor)

    for grave in _folder("scratch").glob("*.gone"):
        remove_tree(grave)  # a pruning that was killed while it removed


def _remove(folder: Path) -> None:
    """Remove work in progress. Some of it may belong to users that only a namespace knows."""
    try:
        remove_tree(folder)
    except PermissionError:
        if os.geteuid() == 0:
            raise
        run(["unshare", "--user", "--map-root-user", "--map-auto", "rm", "-rf", "--", str(folder)])
        remove_tree(folder)


def publish(made: Path, entry: Path) -> bool:
    """Rename a finished file or folder to its entry; False when another process was faster.

    What is in it is on the disk first: a name that survives a power cut has its content.
    """
    for file in [made] if made.is_file() else [p for p in made.rglob("*") if p.is_file()]:
        descriptor = os.open(file, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    try:
        made.rename(entry)
    except OSError:
        if not entry.exists():
            raise
        return False
    return True


class StoredLayer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer in the cache, with the files it holds (see `install.Installed`); `folder` has its `blob`.

    `annotations` are what a manifest has to say of it.
    """

    digest: str
    diff_id: str
    size: int
    annotations: dict[str, str] = {}
    files: dict[str, str] = {}
    disputed: tuple[str, ...] = ()
    folder: str = ""
    reused: bool = False

    @property
    def blob(self) -> Path:
        return Path(self.folder) / "blob"


def stored_layer(
    use: Use,
    key: str,
    write: Callable[[IO[bytes]], tuple[WrittenLayer, Installed]],
    *,
    point: Callable[[str], None] = lambda _name: None,
) -> StoredLayer:
    """The layer with that key, from the cache or written now by `write`, which says what it wrote."""
    entry = use.hold("layers", key)
    found = _read_layer(entry)
    if found is not None:
        return msgspec.structs.replace(found, reused=True)
    with scratch() as folder:
        made = folder / "layer"
        made.mkdir()
        with (made / "blob").open("wb", buffering=1 << 20) as out:
            written, installed = write(out)
        layer = StoredLayer(
            digest=written.digest,
            diff_id=written.diff_id,
            size=written.size,
            annotations=written.annotations,
            files=installed.files,
            disputed=installed.disputed,
        )
        (made / _DESCRIPTION).write_bytes(msgspec.json.encode(layer))
        (made / "blob").chmod(0o444)
        point("layer/written")
        if entry.exists():  # damaged, else it would have been read
            entry.rename(folder / "damaged")
        publish(made, entry)
    point("layer/stored")
    return msgspec.structs.replace(layer, folder=str(entry))


def has_layer(key: str) -> bool:
    """Whether the cache names that layer, without reading the names of all its files."""
    return (entry_path("layers", key) / _DESCRIPTION).exists()


def find_layer(key: str) -> StoredLayer | None:
    """The layer with that key if the cache has it whole."""
    found = _read_layer(entry_path("layers", key))
    return found and msgspec.structs.replace(found, reused=True)


def _read_layer(entry: Path) -> StoredLayer | None:
    try:
        layer = msgspec.json.decode((entry / _DESCRIPTION).read_bytes(), type=StoredLayer)
        whole = (entry / "blob").stat().st_size == layer.size
    except (FileNotFoundError, NotADirectoryError, msgspec.MsgspecError):
        return None
    return msgspec.structs.replace(layer, folder=str(entry)) if whole else None


@contextmanager
def _owned(kind: str) -> Iterator[Path]:
    """A new lock file that is locked for the block and gone afterwards."""
    while True:
        path = _folder(kind) / f"{secrets.token_hex(8)}.lock"
        descriptor = try_lock(path)
        if descriptor is None:
            continue
        # A sweeper may have removed the file between its creation and its locking.
        with suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                break
        os.close(descriptor)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        os.close(descriptor)


def _folder(kind: str) -> Path:
    folder = paths.cache() / kind
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
