"""`seatrial image assemble`: from a folder to an image, in a layout or in a registry."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.reports.units import megabytes

if TYPE_CHECKING:
    from seatrial.images.assemble.spec import Assembled, ImageSpec


@click.command(epilog="Example: seatrial image assemble . --tag 127.0.0.1:5000/models/iris:1 --push")
@click.argument(
    "folder", metavar="[DIR]", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--image", "name", metavar="NAME", help="Which image of seatrial.yaml, when there are several.")
@click.option(
    "--base",
    metavar="BASE",
    help="debian:SUITE, ubuntu:SUITE, an OCI layout folder, or a registry reference.",
)
@click.option(
    "--oci", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path), help="Write the image here."
)
@click.option("--tag", metavar="REGISTRY/REPO:TAG", help="What to push it as.")
@click.option("--push", is_flag=True, help="Push it; needs --tag.")
@click.option("--insecure", is_flag=True, help="Allow registries without TLS (loopback needs no flag).")
@click.option(
    "--platform",
    "platforms",
    metavar="OS/ARCH",
    multiple=True,
    help="linux/amd64 or linux/arm64; given twice, an index of both is made.",
)
@click.option(
    "--extra", "extras", metavar="NAME", multiple=True, help="Optional dependencies of the project."
)
@click.option("--group", "groups", metavar="NAME", multiple=True, help="A dependency group of the project.")
@click.option(
    "--project/--no-project",
    default=None,
    help="Install the project of pyproject.toml itself (the default when it says how it is built), or not.",
)
@click.option(
    "--find-links",
    metavar="FOLDER",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, resolve_path=True),
    help="A folder of wheels to look into as well.",
)
@click.option("--offline", is_flag=True, help="Ask no index: take what the cache and --find-links have.")
@click.option(
    "--build/--no-build",
    default=None,
    help="Build packages that have no wheel in a sandbox (the default), or refuse them.",
)
@click.option("--bytecode/--no-bytecode", default=None, help="Compile Python files ahead (the default).")
@click.option("--refresh", is_flag=True, help="Look for newer versions of what is not pinned.")
@click.option("--refresh-base", is_flag=True, help="Make or pull the base again.")
@click.option(
    "--explain", is_flag=True, help="Say for each layer what is in it, how large it is and whether it is new."
)
@json_option
@directory_option
def assemble(folder: Path, name: str | None, **options: Any) -> None:
    """Assemble the image of DIR, which holds seatrial.yaml or a requirements file.

    Nothing of DIR is executed. The same inputs give the same digest on any machine. Wheels, layers and
    resolutions are kept in the cache, so the next time only what changed is made.
    """
    if options["push"] != bool(options["tag"]):
        raise click.UsageError("--push and --tag belong together: --tag REGISTRY/REPO:TAG --push")
    from seatrial.images.assemble.image import assemble_project

    spec = read_spec(folder, name, options)
    out = options["oci"] or _default_layout(folder, name)
    done = assemble_project(
        spec,
        out=out,
        insecure=options["insecure"],
        refresh=options["refresh"],
        refresh_base=options["refresh_base"],
    )
    pushed = _push(out, options, done) if options["push"] else 0
    if options["as_json"]:
        print_json({**_as_dict(done), "pushed_bytes": pushed, "layout": str(out)})
        return
    if options["explain"]:
        _explain(done)
    for line in done.notes:
        note(f"note: {line}")
    new = sum(layer.size for layer in done.layers if not layer.reused)
    note(
        f"{len(done.layers)} layers, {megabytes(done.size)}, of which {megabytes(new)} new, in {done.seconds:.1f} s"
    )
    note(f"pushed {megabytes(pushed)} to {options['tag']}" if options["push"] else f"written to {out}")
    sys.stdout.write(done.digest + "\n")


def read_spec(folder: Path, name: str | None, options: dict[str, Any]) -> ImageSpec:
    """The image that DIR's settings describe, with what the command line says instead.

    Raises:
        UsageError: DIR describes no image, or several and none was named.
    """
    import msgspec

    from seatrial.config.load import load
    from seatrial.errors import UsageError
    from seatrial.images.assemble.spec import from_config

    images = load(folder).images
    if not images:
        raise UsageError(
            "there is no image to assemble", where=str(folder),
            why="neither a seatrial.yaml with `images` nor a requirements file is there",
            fix="write the packages into requirements.txt",
        )  # fmt: skip
    if name is None and len(images) > 1:
        raise UsageError(
            f"there are several images: {', '.join(images)}", where=str(folder), fix="choose one with --image"
        )
    if name is not None and name not in images:
        raise UsageError(
            f"there is no image {name!r}", where=str(folder), fix=f"choose one of: {', '.join(images)}"
        )
    spec = from_config(folder, images[name or next(iter(images))])
    said = ("base", "platforms", "extras", "groups", "project", "find_links", "offline", "build", "bytecode")
    changes = {key: options[key] for key in said if options.get(key) not in (None, (), "")}
    return msgspec.structs.replace(spec, **changes)


def _default_layout(folder: Path, name: str | None) -> Path:
    """Without --oci the image stays with Seatrial's own data, one per folder."""
    from seatrial import paths

    key = hashlib.sha256(f"{folder.resolve()}\0{name or ''}".encode()).hexdigest()[:16]
    return paths.home() / "images" / key


def _push(out: Path, options: dict[str, Any], done: Assembled) -> int:
    from seatrial.errors import SeatrialError
    from seatrial.images.registry import push

    pushed = push(out, options["tag"], insecure=options["insecure"])
    if pushed.digest != done.digest:
        raise SeatrialError(
            f"the registry has {pushed.digest}, not {done.digest}", where=options["tag"], fix="push again"
        )
    return pushed.pushed_bytes


def _as_dict(done: Assembled) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(done)
    return found


def _explain(done: Assembled) -> None:
    for layer in done.layers:
        state = "reused" if layer.reused else "new"
        note(f"  {layer.digest[7:19]}  {layer.size / 1e6:9.2f} MB  {state:6}  {layer.what}")
