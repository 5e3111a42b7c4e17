"""Versions of a service as they are kept on this machine: copies that nobody changes, known by their content."""

from __future__ import annotations

import hashlib
import shutil
import stat
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial import locks
from seatrial.clock import SystemClock
from seatrial.deployments import bundles, records
from seatrial.errors import SeatrialError, UsageError
from seatrial.files import remove_tree
from seatrial.services.model import Revision, folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from seatrial.config import Service

_SHORT = 12
KEPT = 5
"""How many revisions of a service are kept that nothing uses."""


def from_command(home: Path, name: str, directory: Path, service: Service) -> Revision:
    """Keep a copy of a folder whose program is a service. What .dockerignore names stays out, and so do version
    control, caches and virtual environments; a program in one of those is run from where it is.

    Raises:
        UsageError: there is no program, or the folder holds what is neither a file, a folder nor a link.
        SeatrialError: something cannot be read, or the disk is full.
    """
    if not service.command:
        raise UsageError(
            f"the service {name} names no program",
            where=str(directory / "seatrial.yaml"),
            fix=f"add `command: [python, app.py]` to services.{name}, or deploy an image with --image",
        )
    with _scratch(home, name) as scratch:
        tree = scratch / "tree"
        _copy(directory, tree)
        argv = (_program(service.command[0], directory, tree), *service.command[1:])
        digest = _digest("command", bundles.digest_of(tree), argv, service.env)
        revision = Revision(
            id="", kind="command", source=str(directory), digest=digest, argv=argv, cwd="", env=service.env
        )
        return _keep(home, name, scratch, revision)


def from_image(
    home: Path,
    name: str,
    image: str,
    service: Service,
    *,
    directory: Path,
    insecure: bool = False,
) -> Revision:
    """Keep an image as a version of a service: the folder of an OCI layout, or a reference in a registry.

    Its instances have a network of their own, so that all may listen on the port that the image is made for.

    Raises:
        SeatrialError: there is no such image, it is damaged, or the registry refuses.
    """
    from seatrial.images import runtime

    with _scratch(home, name) as scratch:
        layout = scratch / "tree"
        digest = _bring(image, layout, directory, insecure=insecure)
        argv = (
            *(sys.executable, "-m", "seatrial", "image", "run", "{layout}", "--network", "none"),
            *("--publish", "127.0.0.1:{port}:" + str(service.port), "--env", f"PORT={service.port}"),
            *(item for variable in sorted(service.env) for item in ("--env", variable)),
        )
        identity = _digest("image", digest, argv[1:], service.env)
        revision = Revision(
            id="", kind="image", source=image, digest=identity, argv=argv, cwd="", env=service.env
        )
        revision = _keep(home, name, scratch, revision)
    runtime.prepare(Path(revision.cwd), digest)  # unpacked before the first instance is waited for
    return revision


def load(home: Path, name: str, identifier: str) -> Revision:
    """A revision of a service that is kept, by its id or a beginning of it that fits one alone.

    Raises:
        UsageError: there is none, or several fit.
    """
    known = every(home, name)
    found = [one for one in known if one.id == identifier] or [
        one for one in known if identifier and one.id.startswith(identifier)
    ]
    if len(found) != 1:
        names = ", ".join(one.id for one in known[:5])
        raise UsageError(
            f"{'several revisions fit' if found else 'there is no revision'} {identifier!r} of the service {name}",
            why=f"kept are {names}" if names else "none was ever deployed",
        )
    return found[0]


def every(home: Path, name: str) -> list[Revision]:
    """The revisions of a service that are kept, newest first."""
    found = records.all_in(_store(home, name), Revision)
    return sorted(found, key=lambda one: (one.registered, one.id), reverse=True)


def prune(home: Path, name: str, used: Collection[str]) -> list[str]:
    """Remove revisions beyond the newest that nothing uses; returns their ids."""
    store = _store(home, name)
    removed = []
    with _locked(home, name):
        for one in [one for one in every(home, name) if one.id not in used][KEPT:]:
            (store / f"{one.id}.json").unlink(missing_ok=True)
            remove_tree(store / one.id)
            removed.append(one.id)
    return removed


# Keeping


def _store(home: Path, name: str) -> Path:
    return folder(home, name) / "revisions"


@contextmanager
def _locked(home: Path, name: str) -> Iterator[None]:
    store = _store(home, name)
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locks.locked(store / "lock"):
        yield


@contextmanager
def _scratch(home: Path, name: str) -> Iterator[Path]:
    """A folder beside the kept ones that goes away again, with what a killed one has left."""
    with _locked(home, name):
        store = _store(home, name)
        for left in store.glob(".new-*"):
            remove_tree(left)
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=store))
        try:
            yield scratch
        except OSError as error:
            raise SeatrialError(
                f"the version cannot be kept: {error.strerror}", where=str(error.filename)
            ) from error
        finally:
            remove_tree(scratch)


def _keep(home: Path, name: str, scratch: Path, revision: Revision) -> Revision:
    """Give the copy its name; the same content is the same revision, and what is kept stays."""
    store = _store(home, name)
    revision = msgspec.structs.replace(revision, id=f"r-{revision.digest[:_SHORT]}")
    tree = store / revision.id
    before = records.read(store / f"{revision.id}.json", Revision)
    if before is not None and tree.is_dir():
        return before
    remove_tree(tree)
    (scratch / "tree").rename(tree)
    revision = msgspec.structs.replace(
        revision,
        digest=f"sha256:{revision.digest}",
        argv=tuple(item.replace("{layout}", str(tree)) for item in revision.argv),
        cwd=str(tree),
        registered=SystemClock().now(),
    )
    records.write(store / f"{revision.id}.json", revision)
    return revision


def _digest(kind: str, content: str, argv: Sequence[str], env: dict[str, str]) -> str:
    """A service is what it is made of and how it is started."""
    whole = msgspec.json.encode([kind, content, list(argv), sorted(env.items())])
    return hashlib.sha256(whole).hexdigest()


def _copy(directory: Path, tree: Path) -> None:
    """Copy what the folder holds of its own. Whoever changes a copy by accident is refused by its permissions, which
    are the same whatever the umask was.
    """
    from seatrial.images.assemble.source import content

    tree.mkdir(mode=0o755)
    folders = [tree]
    for relative, place in content(directory):
        target = tree / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        found = place.lstat()
        if stat.S_ISLNK(found.st_mode):
            target.symlink_to(place.readlink())
        elif stat.S_ISDIR(found.st_mode):
            target.mkdir(exist_ok=True)
            folders.append(target)
        elif stat.S_ISREG(found.st_mode):
            shutil.copyfile(place, target)
            target.chmod(0o555 if found.st_mode & 0o100 else 0o444)
        else:
            raise UsageError("the folder holds what is neither file, folder nor link", where=str(place))
    for one in folders:
        one.chmod(0o755)


def _program(program: str, directory: Path, tree: Path) -> str:
    """A program that the copy leaves out, as of a virtual environment, is run from where it is."""
    if "/" not in program or program.startswith("/") or (tree / program).exists():
        return program
    if (directory / program).exists():
        return str((directory / program).absolute())
    raise UsageError(
        f"there is no program {program!r}", where=str(directory), fix="correct `command` of the service"
    )


def _bring(image: str, layout: Path, directory: Path, *, insecure: bool) -> str:
    """Bring an image into a layout of its own and return its manifest's digest."""
    from seatrial.images import layout as oci
    from seatrial.images import registry
    from seatrial.images.target import this_platform

    local = (directory / image).is_dir()
    if not local:
        if image.startswith(("/", "./", "../")):
            raise UsageError("there is no such image", where=image)
        return registry.pull(image, layout, platform=this_platform(), insecure=insecure)
    source = directory / image
    several = len(oci.list_images(source)) > 1
    found = oci.read_image(source, platform=this_platform() if several else "")
    oci.create(layout)
    for digest in (
        found.digest,
        found.manifest.config.digest,
        *(layer.digest for layer in found.manifest.layers),
    ):
        oci.link_blob(layout, digest, oci.blob_path(source, digest))
    oci.set_index(layout, oci.Index(manifests=(found.descriptor,)))
    return found.digest
