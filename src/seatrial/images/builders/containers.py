"""What Buildah and Podman share: they are one builder with two names, without a daemon and without root."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import SeatrialError
from seatrial.files import remove_tree
from seatrial.images import layout as oci
from seatrial.images.builders import commands
from seatrial.images.builders.engine import image_id
from seatrial.images.builders.stream import stream
from seatrial.processes import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from seatrial.images.builders.model import Request

_PATIENCE = 30
_PLAIN = {"buildah": ("--disable-compression",), "podman": ()}
_LONG = 3600
# What the runtime says when this machine does not let it make a container: nothing of the build has run then.
_NO_CONTAINER = re.compile(
    r"error (?:running|creating) container|(?:runc|crun).*(?:create|start) failed|OCI runtime error|"
    r"cgroup.*(?:read-only|permission denied|not mounted)|error setting up namespaces|"
    r"(?:slirp4netns|pasta|netavark|cni).*(?:not found|no such file|failed)",
    re.IGNORECASE,
)


def problem(program: str) -> str:
    """Why the program cannot be used; empty when it can."""
    try:
        said = run([program, "info"], timeout=_PATIENCE)
    except SeatrialError as error:
        return error.what
    if said.code == 0:
        return ""
    return f"{program} says: {(said.stderr.strip().splitlines() or ['nothing'])[-1]}"


def version(program: str) -> str:
    """The program's name and version."""
    words = run([program, "--version"], timeout=_PATIENCE).stdout.split()
    return f"{program.capitalize()} {next((word for word in words if word[:1].isdigit()), '')}"


def build(program: str, request: Request, work: Path, watch: Callable[[str], None]) -> int:
    """Run the build and return its exit code.

    Containers are made by the runtime for root, and by chroot for others, who seldom may use the runtime. Where the
    runtime is refused everything, chroot is tried before the build is given up; BUILDAH_ISOLATION decides instead.
    """
    for name, layout in request.bases.items():
        _adopt(program, name, layout)
    wished = request.isolation or os.environ.get("BUILDAH_ISOLATION", "")
    refused = False

    def look(line: str) -> None:
        nonlocal refused
        refused = refused or bool(_NO_CONTAINER.search(line))
        watch(line)

    isolation = wished or ("oci" if os.geteuid() == 0 else "chroot")
    code = _build(program, request, work, look, isolation)
    if code != 0 and refused and not wished and isolation != "chroot":
        watch(f"{program}: the runtime cannot make containers here; trying again with chroot")
        code = _build(program, request, work, watch, "chroot")
    return code


def _build(program: str, request: Request, work: Path, watch: Callable[[str], None], isolation: str) -> int:
    argv = commands.buildah([program, "build"], request, work, isolation=isolation)
    return stream(argv, watch, environment=commands.environment(request))


def export(program: str, work: Path, layout: Path) -> None:
    """Write the image as a layout with plain layers: they are packed once, later.

    The OCI form of these programs has no SHELL and no HEALTHCHECK, so Docker's form is written and read here.
    """
    place = work / "pushed"
    argv = [program, "push", "--quiet", *_PLAIN[program], "--format=v2s2", image_id(work), f"dir:{place}"]
    said = run(argv, timeout=_LONG)
    if said.code != 0:
        raise SeatrialError(f"{program} did not hand out the built image", why=said.stderr.strip()[-500:])
    given = msgspec.json.decode((place / "manifest.json").read_bytes(), type=oci.Manifest)
    oci.create(layout)
    for blob in (given.config, *given.layers):
        oci.link_blob(layout, blob.digest, place / oci.check_digest(blob.digest).removeprefix("sha256:"))
    manifest = msgspec.structs.replace(given, media_type=oci.DOCKER_MANIFEST)
    top = oci.add_blob(layout, oci.encode(manifest), oci.DOCKER_MANIFEST)
    oci.set_index(layout, oci.Index(manifests=(top,)))
    remove_tree(place)


def _adopt(program: str, name: str, layout: Path) -> None:
    """Bring the image of `layout` into the storage as `name`, unless it is there."""
    with _short() as short:
        place = short / "base"
        _with_history(layout, place)
        config = oci.read_image(place).manifest.config.digest.removeprefix("sha256:")
        argv = [program, "inspect", "--type=image", "--format", _identity(program), name]
        if run(argv, timeout=_PATIENCE).stdout.strip() == config:
            return
        said = run([program, "pull", "--quiet", f"oci:{place}"], timeout=_LONG)
        if said.code == 0:
            said = run([program, "tag", said.stdout.strip().splitlines()[-1], name], timeout=_PATIENCE)
            run([program, "rmi", f"localhost{place}:latest"], timeout=_PATIENCE)  # the name alone
    if said.code != 0:
        raise SeatrialError(f"{program} does not take the base {name}", why=said.stderr.strip()[-500:])


def _with_history(layout: Path, place: Path) -> None:
    """The base as a layout that Buildah can build on: it wants a line of history for every layer, which is optional."""
    image = oci.read_image(layout)
    history = image.config.get("history") or []
    count = len(image.manifest.layers)
    if sum(not entry.get("empty_layer") for entry in history) == count:
        place.symlink_to(layout.absolute())
        return
    oci.create(place)
    for blob in image.manifest.layers:
        path = oci.blob_path(place, blob.digest)
        path.symlink_to(oci.blob_path(layout, blob.digest).absolute())
    config = oci.encode({**image.config, "history": [{"created_by": "base"}] * count})
    manifest = oci.Manifest(config=oci.add_blob(place, config, oci.CONFIG), layers=image.manifest.layers)
    oci.set_index(place, oci.Index(manifests=(oci.add_blob(place, oci.encode(manifest), oci.MANIFEST),)))


def _identity(program: str) -> str:
    return "{{.FromImageID}}" if program == "buildah" else "{{.Id}}"


@contextmanager
def _short() -> Iterator[Path]:
    """An empty folder whose path is also the name of an image, which knows few characters."""
    usual = tempfile.gettempdir()
    above = usual if re.fullmatch(r"(?:/[a-z0-9]+)+", usual) else "/tmp"  # noqa: S108 - a name of our own in it
    folder = Path(above) / f"seatrial-{secrets.token_hex(8)}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        remove_tree(folder)
