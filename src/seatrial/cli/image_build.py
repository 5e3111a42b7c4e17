"""`seatrial image build`: from a Dockerfile to an image, with whatever builder is here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.errors import ANSWER_IS_NO, DONE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.assemble.store import Use
    from seatrial.images.builders.build import Order
    from seatrial.images.builders.model import Builder
    from seatrial.images.builders.repair import Repaired
    from seatrial.images.builders.repairs.case import Case, Fix
    from seatrial.images.builders.repairs.project import Project
    from seatrial.images.outputs.delivery import Delivered
    from seatrial.images.outputs.engines import Program
    from seatrial.images.outputs.names import Name
    from seatrial.images.pushing.order import Order as PushOrder

_EXAMPLES = """\b
Examples:
  seatrial image build . --oci ./image
  seatrial image build . --builder buildah --tag 127.0.0.1:5000/models/iris:1 --push
  seatrial image build . --secret id=token,env=HF_TOKEN --build-arg VERSION=3
  seatrial image build . --write
  seatrial image build . --assemble
"""
_BUILDERS = ("auto", "docker", "buildkit", "podman", "buildah", "codebuild")


@click.command(epilog=_EXAMPLES)
@click.argument(
    "folder", metavar="[DIR]", default=".", type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option(
    "-f", "--file", "dockerfile", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False),
    help="The Dockerfile; DIR/Dockerfile without it.",
)  # fmt: skip
@click.option(
    "--builder",
    type=click.Choice(_BUILDERS),
    default="auto",
    show_default=True,
    help="What builds; auto takes the first that can.",
)
@click.option(
    "--list", "list_builders", is_flag=True, help="Say which builders can be used here, and build nothing."
)
@click.option(
    "--oci",
    "out",
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the image here.",
)
@click.option(
    "--tag",
    "tags",
    metavar="[REGISTRY/]REPO:TAG",
    multiple=True,
    help="What to call it or push it as; may be given again.",
)
@click.option("--push", is_flag=True, help="Push it as --tag says.")
@click.option(
    "--load", type=click.Choice(("auto", "docker", "podman")), is_flag=False, flag_value="auto", metavar="[ENGINE]",
    help="Load it into docker or podman on this machine.",
)  # fmt: skip
@click.option(
    "--docker-archive",
    "archive",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write a tar that engines load.",
)
@click.option("--insecure", is_flag=True, help="Allow registries without TLS (loopback needs no flag).")
@click.option(
    "--base",
    "bases",
    metavar="NAME=BASE",
    multiple=True,
    help="Take BASE (an OCI layout folder, debian:SUITE, ubuntu:SUITE) where FROM says NAME.",
)
@click.option("--target", metavar="STAGE", default="", help="Build this stage of the Dockerfile.")
@click.option("--platform", metavar="OS/ARCH", default="", help="For this platform, where the builder can.")
@click.option(
    "--build-arg",
    "arguments",
    metavar="NAME[=VALUE]",
    multiple=True,
    help="A build argument; without a value from the environment.",
)
@click.option(
    "--secret",
    "secrets",
    metavar="id=NAME,src=FILE|env=NAME",
    multiple=True,
    help="A secret for RUN --mount=type=secret.",
)
@click.option(
    "--network", metavar="MODE", default="", help="The network of RUN, as the builder calls it (host, none)."
)
@click.option(
    "--isolation", type=click.Choice(("oci", "rootless", "chroot")), help="How Buildah and Podman run RUN."
)
@click.option("--no-cache", "fresh", is_flag=True, help="Build every step anew.")
@click.option(
    "--certificates/--no-certificates",
    default=True,
    help="Let RUN trust what this machine trusts (the default), or not.",
)
@click.option(
    "--proxies/--no-proxies", default=True, help="Pass this machine's proxies (the default), or not."
)
@click.option(
    "--indexes/--no-indexes",
    default=True,
    help="Pass the indexes and logins of pip, uv, npm and apt (the default), or not.",
)
@click.option(
    "--repair/--no-repair",
    default=True,
    help="Repair what fails and build again (the default), or stop at once.",
)
@click.option(
    "--attempts", type=click.IntRange(0, 3), default=3, show_default=True, help="How often at most."
)
@click.option("--write", is_flag=True, help="Write the repairs that made it build into DIR.")
@click.option(
    "--diff",
    "diff_file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the repairs to FILE, as `git apply` takes them.",
)
@click.option(
    "--assemble",
    is_flag=True,
    help="Assemble instead of building, when the Dockerfile only installs and copies.",
)
@click.option(
    "--project",
    "codebuild_project",
    metavar="NAME",
    default="",
    help="The CodeBuild project that --builder codebuild uses.",
)
@click.option("--verbose", is_flag=True, help="Show all that the builder says, also on a terminal.")
@json_option
@directory_option
def build(folder: Path, **options: Any) -> int:
    """Build the image of DIR from its Dockerfile, with the builder that is here.

    Certificates, proxies and package indexes of this machine are there while RUN runs and in no layer afterwards; the
    image is searched for them. A build that fails is repaired and tried again, at most three times; DIR is changed
    only with --write, otherwise the changes are printed. Exits with 1 when there is no image.
    """
    if options["list_builders"]:
        return _list(as_json=options["as_json"])
    if options["assemble"]:
        from seatrial.cli.image_build_assembled import assembled

        return assembled(folder, _dockerfile(folder, options["dockerfile"]), options)
    return _build(folder, options)


def _list(*, as_json: bool) -> int:
    from seatrial.images.builders import table

    found = table.look()
    if as_json:
        print_json({"builders": found})
    else:
        for one in found:
            sys.stdout.write(f"{one.name:10} {'no: ' + one.problem if one.problem else one.version}\n")
    return DONE if any(not one.problem for one in found) else ANSWER_IS_NO


def _build(folder: Path, options: dict[str, Any]) -> int:
    from seatrial.images.assemble.store import scratch, using
    from seatrial.images.builders import table
    from seatrial.images.builders.repairs.project import Project
    from seatrial.images.outputs.layout import check_output, locked_output

    file = _dockerfile(folder, options["dockerfile"])
    names, push, program = destinations(options)
    builder = table.choose(options["builder"])
    out = options["out"] or default_layout(folder)
    check_output(out)
    project = Project(root=folder, dockerfile=inside(folder, file))
    with using() as use, scratch() as work, locked_output(out):
        order = _order(folder, options, use)
        repaired = _run(order, project, builder, work, use, options)
        delivered = None
        if repaired.built is not None:
            from seatrial.images.builders.finish import place

            place(work / "layout", out, names)
            delivered = _deliver(folder, repaired, out, names, push, program, options)
    if options["diff_file"] is not None:
        from seatrial.files import write_atomic

        write_atomic(options["diff_file"], repaired.diff)
    written = _written(project, repaired, options)
    _answer(repaired, delivered, out, written, options)
    return DONE if repaired.built is not None else ANSWER_IS_NO


def _dockerfile(folder: Path, said: Path | None) -> Path:
    from seatrial.errors import UsageError

    if said is not None:
        if not said.is_file():
            raise UsageError("there is no such Dockerfile", where=str(said), fix="correct --file")
        return said
    for name in ("Dockerfile", "Containerfile", "dockerfile"):
        if (folder / name).is_file():
            return folder / name
    raise UsageError(
        "there is no Dockerfile", where=str(folder),
        fix="name one with --file, or assemble an image from requirements.txt with `seatrial image assemble`",
    )  # fmt: skip


def inside(folder: Path, file: Path) -> str:
    """The Dockerfile as a path below DIR where it is there, else absolute."""
    try:
        return file.absolute().relative_to(folder.absolute()).as_posix()
    except ValueError:
        return str(file.absolute())


def destinations(options: dict[str, Any]) -> tuple[tuple[Name, ...], PushOrder | None, Program | None]:
    """Everything about the way out that can be refused before any work is done."""
    from seatrial.config.model import Push
    from seatrial.errors import UsageError
    from seatrial.images.outputs.delivery import order_of
    from seatrial.images.outputs.engines import choose
    from seatrial.images.outputs.names import name_of

    if options["push"] and not options["tags"]:
        raise UsageError("nothing says where to push to", fix="give --tag REGISTRY/REPO:TAG")
    names = tuple(dict.fromkeys(name_of(tag) for tag in options["tags"]))
    push = order_of(options["tags"], Push(), insecure=options["insecure"]) if options["push"] else None
    return names, push, choose(options["load"]) if options["load"] else None


def _order(folder: Path, options: dict[str, Any], use: Use) -> Order:
    from seatrial.images.builders.build import Order
    from seatrial.images.builders.passing import Wanted

    arguments = {}
    for text in options["arguments"]:
        name, has, value = text.partition("=")
        arguments[name] = value if has else None
    return Order(
        context=folder,
        target=options["target"],
        platform=options["platform"],
        arguments=arguments,
        bases=bases_of(options, use),
        wanted=Wanted(
            certificates=options["certificates"],
            proxies=options["proxies"],
            indexes=options["indexes"],
            secrets=options["secrets"],
        ),
        network=options["network"],
        isolation=options["isolation"] or "",
        fresh=options["fresh"],
        project=options["codebuild_project"],
    )


def bases_of(options: dict[str, Any], use: Use) -> dict[str, Path]:
    """The layouts that --base names, by what FROM calls them."""
    from seatrial.errors import UsageError
    from seatrial.images import bases

    found = {}
    for text in options["bases"]:
        name, _, base = text.partition("=")
        if not name or not base:
            raise UsageError(f"--base {text!r} is not understood", fix="write --base NAME=FOLDER")
        platform = options["platform"] or "linux/amd64"
        found[name] = bases.prepare(base, use, platform=platform, insecure=options["insecure"]).layout
    return found


def _run(
    order: Order, project: Project, builder: Builder, work: Path, use: Use, options: dict[str, Any]
) -> Repaired:
    from seatrial.cli.image_build_progress import BuildProgress
    from seatrial.images.builders.build import Watching
    from seatrial.images.builders.repair import repair

    source = project.source(project.dockerfile)
    with BuildProgress(builder, source, quiet=options["as_json"], verbose=options["verbose"]) as progress:
        tries = work / "tries"
        tries.mkdir()
        return repair(
            order,
            project,
            builder,
            work / "layout",
            tries,
            use,
            most=options["attempts"] if options["repair"] else 0,
            watching=Watching(step=progress.step, line=progress.line),
            told=progress.attempt,
            conflict=_conflicts,
        )


def _conflicts(case: Case) -> Iterator[Fix]:
    """What `image fix` would change, tried on the files as they are now."""
    from seatrial.checking import run
    from seatrial.checking.fixing import Choice, preview
    from seatrial.errors import SeatrialError
    from seatrial.images.builders.repairs.case import Fix
    from seatrial.images.builders.repairs.project import Change

    root = case.project.root
    changed = {
        path: source for path in case.project.changes if (source := case.project.source(path)) is not None
    }
    import msgspec

    options = msgspec.structs.replace(run.image_options({}, offline=False), changed=changed)
    choice = Choice(unsafe=True, singly=True, severities=frozenset({"error"}))
    try:
        report = run.check([root], options)
        done, pairs = preview([root], report, options, choice)
    except SeatrialError:
        return  # the failure of the build is the better message
    # Leaving out what was asked for is no repair of a build.
    if pairs and not any(title.startswith("Do not ask for") for title in done.applied):
        changes = tuple(Change(path=after.path, content=after.encoded()) for _, after in pairs)
        yield Fix(title="; ".join(dict.fromkeys(done.applied)), changes=changes)


def _deliver(
    folder: Path,
    repaired: Repaired,
    out: Path,
    names: tuple[Name, ...],
    push: PushOrder | None,
    program: Program | None,
    options: dict[str, Any],
) -> Delivered:
    import msgspec

    from seatrial.images.outputs import delivery
    from seatrial.images.outputs.names import name_of

    assert repaired.built is not None  # noqa: S101 - there is an image to deliver
    called = names or (name_of(f"{folder.resolve().name.lower() or 'image'}:latest"),)
    found = delivery.Delivered()
    if push is not None:
        found = delivery.push(push, None, out, repaired.built.digest, folder)
    if options["archive"]:
        size = delivery.save(out, Path(options["archive"]), sys.stdout.buffer, called)
        found = msgspec.structs.replace(found, archive=options["archive"], archive_bytes=size)
    if program is not None:
        found = msgspec.structs.replace(found, loaded=delivery.load(out, program, called))
    return found


def default_layout(folder: Path) -> Path:
    """Where the image goes: without --oci the image stays with Seatrial's own data, one per folder."""
    from seatrial import paths
    from seatrial.images.builders.build import context_key

    return paths.home() / "images" / context_key(folder)


def _written(before: Project, repaired: Repaired, options: dict[str, Any]) -> list[str]:
    from seatrial.images.builders.repairs.project import write

    if not options["write"] or repaired.built is None or not repaired.diff:
        return []
    return write(before, repaired.project)


def _answer(
    repaired: Repaired, delivered: Delivered | None, out: Path, written: list[str], options: dict[str, Any]
) -> None:
    from seatrial.cli import image_build_answer as answer

    if options["as_json"]:
        print_json(answer.data(repaired, delivered, out, written))
        return
    answer.tell(repaired, delivered, out, written)
    if repaired.built is not None:
        sys.stdout.write(repaired.built.digest + "\n")
    elif repaired.diff:
        note("nothing was written: the image does not build yet")
