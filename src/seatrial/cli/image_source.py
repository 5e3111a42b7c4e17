"""The image that a command line names: a folder, a file, a reference in a registry, or an engine's own image."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, TypeVar, cast

import click

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")
METAVAR = "FOLDER|FILE|REF|docker:NAME|podman:NAME"
_ARCHIVES = ("docker-archive", "oci-archive")
_TITLES = {"docker": "Docker", "podman": "Podman"}


def source_options(function: F) -> F:
    """`--platform` and `--insecure`, for commands that take an image."""
    insecure = click.option(
        "--insecure", is_flag=True, help="Allow a registry without TLS (loopback needs no flag)."
    )
    platform = click.option(
        "--platform", default="", metavar="OS/ARCH", help="Which image of several; default: this machine's."
    )
    return insecure(platform(function))


def runtime_option(parameter: str, text: str) -> Callable[[F], F]:
    """`--runtime`, handed to the command as `parameter`, with the help `text`."""
    return click.option(
        "--runtime", parameter, type=click.Choice(["bwrap", "runc", "docker", "podman"]), default="bwrap",
        show_default=True, envvar="SEATRIAL_RUNTIME", show_envvar=True, help=text,
    )  # fmt: skip


def find_image(source: str, *, platform: str, insecure: bool) -> tuple[Path, str]:
    """The layout and the manifest's digest; what is no layout yet is brought into the cache first.

    `source` is the folder of an OCI layout, an archive of an engine (FILE, or docker-archive:FILE[:NAME], or
    oci-archive:FILE[:NAME]), docker:NAME or podman:NAME in that engine's store, or a reference in a registry.
    Of several images that for `platform` is meant, or else the one for this machine.

    Raises:
        SeatrialError: there is no such image.
        TransportError: the registry cannot be reached or refuses.
        MissingToolError: the engine is not here, or does not answer.
    """
    scheme, _, rest = source.partition(":")
    if Path(source).is_dir():
        return _chosen(Path(source), platform)
    if Path(source).is_file():
        return _chosen(_from_file(source, ""), platform)
    if scheme in _ARCHIVES and rest:
        file, _, called = (rest, "", "") if Path(rest).is_file() else rest.partition(":")
        return _chosen(_from_file(file, called), platform)
    if scheme in _TITLES and rest and not rest.startswith("/"):
        return _chosen(_from_engine(cast("Literal['docker', 'podman']", scheme), rest), platform)
    if source.startswith(("/", "./", "../")):
        return _chosen(Path(source), platform)
    return _pulled(source, platform, insecure=insecure)


def is_reference(source: str) -> bool:
    """Whether `find_image` takes it for a reference in a registry."""
    scheme, _, rest = source.partition(":")
    elsewhere = scheme in (*_ARCHIVES, *_TITLES) and rest and not rest.startswith("/")
    return not (Path(source).exists() or elsewhere or source.startswith(("/", "./", "../")))


def _chosen(folder: Path, platform: str) -> tuple[Path, str]:
    from seatrial.images import layout as oci
    from seatrial.images.target import this_platform

    several = len(oci.list_images(folder)) > 1
    platform = platform or (this_platform() if several else "")
    return folder, oci.read_image(folder, platform=platform).digest


def _pulled(source: str, platform: str, *, insecure: bool) -> tuple[Path, str]:
    from seatrial import locks
    from seatrial.images import registry
    from seatrial.images.reference import parse
    from seatrial.images.target import this_platform

    parse(source)
    platform = platform or this_platform()
    place = _place(f"{source} {platform}")
    with locks.locked(place.with_suffix(".lock")):
        return place, registry.pull(source, place, platform=platform, insecure=insecure)


def _from_file(file: str, called: str) -> Path:
    """The layout of an archive; read once for as long as the file does not change."""
    from seatrial.errors import SeatrialError
    from seatrial.images.archives import read_archive
    from seatrial.images.unpack import opened

    path = Path(file)
    try:
        known = path.stat()
    except OSError as error:
        raise SeatrialError(f"cannot read the archive: {error.strerror}", where=file) from error
    identity = f"{path.resolve()} {known.st_dev} {known.st_ino} {known.st_size} {known.st_mtime_ns} {called}"

    def read(place: Path) -> None:
        with opened(path) as stream:
            read_archive(stream, place, called=called, where=file)

    return _once(f"archive {identity}", read)


def _from_engine(engine: Literal["docker", "podman"], name: str) -> Path:
    """The layout of an image that an engine has, exported once for each image id."""
    from seatrial.errors import MissingToolError, SeatrialError
    from seatrial.images.outputs import engines
    from seatrial.processes import run

    title = _TITLES[engine]
    try:
        program = engines.choose(engine).path
    except MissingToolError as error:
        raise MissingToolError(
            f"{title} cannot be asked for {name}", why=error.why,
            fix=f"start or install {title}, or name the image in a registry",
        ) from error  # fmt: skip
    if name.startswith("-"):
        raise SeatrialError(f"{name!r} is not the name of an image")
    asked = run([program, "image", "inspect", "--format", "{{.Id}}", name], timeout=60)
    if asked.code != 0:
        raise SeatrialError(
            f"{title} has no image {name}",
            why=(asked.stderr.strip().splitlines() or [""])[-1],
            fix=f"look at `{engine} images`; for a registry, write the name without {engine}: before it",
        )
    identity = asked.stdout.strip()
    return _once(f"{engine} {identity}", lambda place: _export(program, title, identity, place))


def _export(program: str, title: str, identity: str, place: Path) -> None:
    import subprocess
    import tempfile

    from seatrial.errors import SeatrialError
    from seatrial.images.archives import read_archive

    line = [program, "save", identity]
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        stream = cast("IO[bytes]", process.stdout)
        try:
            read_archive(stream, place, where=f"{title}, image {identity}")
            while stream.read(1 << 20):
                pass  # what follows the end mark
        except SeatrialError as error:
            process.kill()
            said.seek(0)
            error.why = said.read(500).decode(errors="replace").strip() or error.why
            raise


def _once(identity: str, read: Callable[[Path], None]) -> Path:
    """A layout in the cache that `read` fills, unless it is there."""
    from seatrial import locks
    from seatrial.files import remove_tree
    from seatrial.images import layout as oci

    place = _place(identity)
    with locks.locked(place.with_suffix(".lock")):
        if not (place / "index.json").exists() or not oci.read_index(place).manifests:
            remove_tree(place)
            place.mkdir()
            try:
                read(place)
            except BaseException:
                remove_tree(place)
                raise
    return place


def _place(identity: str) -> Path:
    import hashlib

    from seatrial import paths

    place = paths.cache() / "pulled" / hashlib.sha256(identity.encode()).hexdigest()[:32]
    place.mkdir(parents=True, exist_ok=True)
    return place
