"""`seatrial image assemble`: from a folder to an image, in a layout or in a registry."""

from __future__ import annotations

import hashlib
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from seatrial.cli.assembled import explain, foresee, summarise
from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.smoke import tell_smoke
from seatrial.cli.waiting import Waiting
from seatrial.reports.units import size

if TYPE_CHECKING:
    from seatrial.config import Image
    from seatrial.images.assemble.spec import Assembled, ImageSpec
    from seatrial.images.outputs.delivery import Delivered
    from seatrial.images.outputs.engines import Program
    from seatrial.images.outputs.names import Name
    from seatrial.images.pushing.order import Order
    from seatrial.images.pushing.uploads import Uploads
    from seatrial.images.testing.smoke import Smoke


_EXAMPLES = """\b
Examples:
  seatrial image assemble . --oci ./image --explain
  seatrial image assemble . --tag 127.0.0.1:5000/models/iris:1 --push
  seatrial image assemble . --platform linux/amd64 --platform linux/arm64 --push
  seatrial image assemble . --tag iris:1 --load
  seatrial image assemble . --docker-archive - | ssh HOST docker load
  seatrial image assemble . --dry-run
"""


class EngineName(click.Choice[str]):
    """docker, podman or auto; says what went wrong when DIR was taken for it."""

    def __init__(self) -> None:
        super().__init__(["auto", "docker", "podman"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value not in self.choices:
            self.fail(f"{value!r} is not auto, docker or podman; write DIR before --load", param, ctx)
        return super().convert(value, param, ctx)


@click.command(epilog=_EXAMPLES)
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
@click.option(
    "--tag",
    "tags",
    metavar="[REGISTRY/]REPO:TAG",
    multiple=True,
    help="What to push it as, or to call it in an archive, an engine or the folder; may be given again.",
)
@click.option("--push", is_flag=True, help="Push it as --tag says, or to where seatrial.yaml says.")
@click.option(
    "--docker-archive",
    "archive",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True),
    help="Write a tar that `docker load`, `podman load` and skopeo read; - is stdout.",
)
@click.option(
    "--load",
    metavar="[ENGINE]",
    type=EngineName(),
    is_flag=False,
    flag_value="auto",
    help="Load it into docker or podman on this machine; alone: into the one that runs.",
)
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
@click.option(
    "--lazy/--no-lazy",
    default=None,
    help="Write layers as eStargz: containerd with stargz-snapshotter starts the image before it is pulled.",
)
@click.option(
    "--first-files",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    help="With --lazy: what the program opens while it starts, one path on each line; it is fetched first.",
)
@click.option(
    "--smoke/--no-smoke",
    default=None,
    help="Start the image for a moment and import what it is for before it goes anywhere (the default), or not.",
)
@click.option("--refresh", is_flag=True, help="Look for newer versions of what is not pinned.")
@click.option("--refresh-base", is_flag=True, help="Make or pull the base again.")
@click.option(
    "--explain",
    is_flag=True,
    help="Say for each layer what is in it, why it is a layer, how large it is, and why it is new.",
)
@click.option("--dry-run", is_flag=True, help="Say which layers it would have and make none of them.")
@json_option
@directory_option
def assemble(folder: Path, name: str | None, **options: Any) -> None:
    """Assemble the image of DIR, which holds seatrial.yaml or a requirements file.

    Nothing of DIR is executed. The same inputs give the same digest on any machine. Wheels, layers and
    resolutions are kept in the cache, so the next time only what changed is made.
    """
    chosen, image = choose_image(folder, name)
    spec = with_options(folder, image, options)
    wanted = _wanted(chosen, image, options)
    out = options["oci"] or _default_layout(folder, name)
    if options["dry_run"]:
        _foresee(spec, out, wanted, options)
        return
    if options["smoke"] is None:
        options["smoke"] = image.test.smoke
    done, delivered, tried = _work(folder, spec, out, wanted, options)
    if options["as_json"]:
        found = {**_as_dict(done, explained=options["explain"]), **_plain(delivered)}
        print_json({**found, "layout": str(out), "smoke": tried})
        raise SystemExit(1 if tried and tried.status == "fail" else 0)
    if options["explain"]:
        explain(done)
    summarise(done)
    if tried is not None:
        tell_smoke(tried, out, delivered_elsewhere=bool(wanted.order or wanted.archive or wanted.program))
    _tell(delivered, out, wanted)
    if options["archive"] == "-":
        note(done.digest)
    else:
        sys.stdout.write(done.digest + "\n")


class Wanted(NamedTuple):
    """Where the image is to go. `names` are what --tag says, `called` is what an archive or engine calls it."""

    names: tuple[Name, ...]
    called: tuple[Name, ...]
    order: Order | None
    archive: str | None
    program: Program | None


def choose_image(folder: Path, name: str | None) -> tuple[str, Image]:
    """The image of DIR that is meant, and what it is called there.

    Raises:
        UsageError: DIR describes no image, or several and none was named.
    """
    from seatrial.config.load import load
    from seatrial.errors import UsageError

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
    chosen = name or next(iter(images))
    return chosen, images[chosen]


def with_options(folder: Path, image: Image, options: dict[str, Any]) -> ImageSpec:
    """The image that DIR's settings describe, with what the command line says instead."""
    import msgspec

    from seatrial.errors import UsageError
    from seatrial.images.assemble.spec import from_config

    said = (
        "base", "platforms", "extras", "groups", "project", "find_links", "offline", "build", "bytecode", "lazy",
        "first_files",
    )  # fmt: skip
    changes = {key: options[key] for key in said if options.get(key) not in (None, (), "")}
    spec = msgspec.structs.replace(from_config(folder, image), **changes)
    if options.get("first_files") and not spec.lazy:
        raise UsageError("--first-files says what is fetched first of a lazy image", fix="give --lazy too")
    return spec


def _wanted(chosen: str, image: Image, options: dict[str, Any]) -> Wanted:
    """Everything about the way out that can be refused before any work is done."""
    from seatrial.errors import UsageError
    from seatrial.images.outputs.delivery import order_of
    from seatrial.images.outputs.engines import choose
    from seatrial.images.outputs.names import name_of

    archive, tags = options["archive"], options["tags"]
    if archive == "-" and options["as_json"]:
        raise UsageError("--docker-archive - and --json both need stdout", fix="give the archive a file name")
    if archive == "-" and not options["dry_run"] and sys.stdout.isatty():
        raise UsageError("an archive is not for a terminal", fix="redirect stdout, or give a file name")
    names = tuple(dict.fromkeys(name_of(tag) for tag in tags))
    order = order_of(tags, image.push, insecure=options["insecure"]) if options["push"] else None
    program = choose(options["load"]) if options["load"] else None
    return Wanted(names, names or (name_of(f"{chosen}:latest"),), order, archive, program)


def _work(
    folder: Path, spec: ImageSpec, out: Path, wanted: Wanted, options: dict[str, Any]
) -> tuple[Assembled, Delivered, Smoke | None]:
    """Assemble, try and hand out. Nobody else may write the layout meanwhile, so what leaves is what was made.

    Layers are sent to registries while others are still being made, and while the image is tried; it gets its name
    there only after that.
    """
    from seatrial.images.assemble.store import using
    from seatrial.images.outputs.delivery import Delivered, uploads_of
    from seatrial.images.outputs.layout import locked_output

    with ExitStack() as stack:
        waiting = stack.enter_context(Waiting(quiet=options["as_json"]))
        waiting.say(f"another command is writing {out}; waiting for it")
        stack.enter_context(locked_output(out))
        use = stack.enter_context(using())
        uploads = uploads_of(wanted.order, point=waiting.reach) if wanted.order else None
        if uploads:
            waiting.say("asking the registries")
            stack.enter_context(uploads)
        # They are asked while this is imported.
        from seatrial.images.assemble.image import assemble_project

        if uploads:
            uploads.ready()
        done = assemble_project(
            spec,
            out=out,
            insecure=options["insecure"],
            refresh=options["refresh"],
            refresh_base=options["refresh_base"],
            names=wanted.names,
            use=use,
            say=waiting.say,
            point=waiting.reach,
            ready=uploads.offer if uploads else lambda _blob, _path: None,
        )
        tried = None
        if options["smoke"]:
            from seatrial.images.testing.smoke import smoke

            waiting.say("trying whether it starts")
            tried = smoke(out, done.images)
            if tried.status == "fail":
                return done, Delivered(), tried
        return done, _deliver(folder, done, out, wanted, uploads, waiting), tried


def _deliver(
    folder: Path, done: Assembled, out: Path, wanted: Wanted, uploads: Uploads | None, waiting: Waiting
) -> Delivered:
    import msgspec

    from seatrial.images.outputs.delivery import Delivered, load, push, save

    found = Delivered()
    if wanted.order:
        waiting.say("pushing")
        found = push(wanted.order, uploads, out, done.digest, folder)
    if wanted.archive is not None:
        waiting.say("writing the archive")
        path = None if wanted.archive == "-" else Path(wanted.archive)
        written = save(out, path, sys.stdout.buffer, wanted.called)
        found = msgspec.structs.replace(found, archive=wanted.archive, archive_bytes=written)
    if wanted.program is not None:
        waiting.say(f"loading into {wanted.program.engine}")
        loaded = load(out, wanted.program, wanted.called)
        found = msgspec.structs.replace(found, loaded=loaded)
    return found


def _tell(delivered: Delivered, out: Path, wanted: Wanted) -> None:
    for line in delivered.notes:
        note(line)
    if delivered.tags:
        note(f"pushed {size(delivered.pushed_bytes)} to {', '.join(delivered.tags)}")
    if delivered.archive is not None and delivered.archive != "-":
        note(f"written to {delivered.archive}, {size(delivered.archive_bytes)}")
    if delivered.loaded is not None:
        note(f"loaded into {delivered.loaded.engine}; run it with: {delivered.loaded.run}")
    named = f" as {wanted.names[0].familiar}" if wanted.names else ""
    if not (delivered.references or delivered.archive or delivered.loaded):
        note(f"written to {out}{named}")


def _foresee(spec: ImageSpec, out: Path, wanted: Wanted, options: dict[str, Any]) -> None:
    from seatrial.images.assemble.image import plan_project

    with Waiting(quiet=options["as_json"]) as waiting:
        done = plan_project(
            spec,
            out=out,
            insecure=options["insecure"],
            refresh=options["refresh"],
            refresh_base=options["refresh_base"],
            say=waiting.say,
            point=waiting.reach,
        )
    if options["as_json"]:
        fetch = {"wheels": done.missing_wheels, "bytes": done.missing_bytes}
        print_json({**_as_dict(done, explained=True), "dry_run": True, "fetch": fetch, "layout": str(out)})
        return
    explain(done)
    foresee(done)
    if wanted.order:
        note(f"would push to {', '.join(wanted.order.references)}")


def _default_layout(folder: Path, name: str | None) -> Path:
    """Without --oci the image stays with Seatrial's own data, one per folder."""
    from seatrial import paths

    key = hashlib.sha256(f"{folder.resolve()}\0{name or ''}".encode()).hexdigest()[:16]
    return paths.home() / "images" / key


def _as_dict(done: Assembled, *, explained: bool) -> dict[str, Any]:
    """As JSON: what nobody knows yet, because it was not made, is null; explanations only when they are wanted."""
    found = _plain(done)
    del found["missing_wheels"], found["missing_bytes"]
    for image in (found, *found["images"]):
        image["digest"] = image["digest"] or None
        if not explained:
            image.pop("settings_changed", None)
        for layer in image["layers"]:
            if not layer["digest"]:
                layer["digest"] = layer["size"] = None
            if not explained:
                del layer["why"], layer["reason"]
    return found


def _plain(value: Any) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(value)
    return found
