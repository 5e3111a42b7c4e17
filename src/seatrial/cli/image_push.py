"""`seatrial image push` and `seatrial image tags`."""

from __future__ import annotations

from pathlib import Path

import click

from seatrial.cli.common import directory_option, json_option, note, print_json


@click.command(epilog="Example: seatrial image push build/image 127.0.0.1:5000/team/app:1.4 --tag latest")
@click.argument("folder", type=click.Path(path_type=Path))
@click.argument("references", metavar="REF...", nargs=-1, required=True)
@click.option(
    "--tag", "tags", multiple=True, metavar="T", help="Another tag for the same image; may be given again."
)
@click.option("--platform", metavar="OS/ARCH", help="Which image of a folder that holds several.")
@click.option("--insecure", is_flag=True, help="Speak plain HTTP (on this machine that needs no option).")
@json_option
@directory_option
def push(
    folder: Path,
    references: tuple[str, ...],
    tags: tuple[str, ...],
    platform: str | None,
    insecure: bool,
    as_json: bool,
) -> None:
    """Push the image in FOLDER (an OCI layout) to each REF.

    Blobs that a registry has are not sent again. Everything is verified before a tag is set.
    """
    from seatrial.images import registry
    from seatrial.images.reference import check_tag, parse

    for tag in tags:
        check_tag(tag)
    for reference in references:
        parse(reference)  # all of them, before anything is sent to the first
    done = []
    for reference in references:
        pushed = registry.push(folder, reference, insecure=insecure, tags=tags, platform=platform)
        done.append(pushed)
        if not as_json:
            click.echo(pushed.reference)
            names = f", tags {', '.join(pushed.tags)}" if pushed.tags else ""
            sent, reused = _size(pushed.pushed_bytes), _size(pushed.reused_bytes)
            note(f"  sent {sent}, was there {reused}, {pushed.seconds:.1f} s{names}")
    if as_json:
        print_json({"pushed": done})


@click.command(epilog="Example: seatrial image tags 127.0.0.1:5000/team/app")
@click.argument("repository", metavar="REPO")
@click.option("--insecure", is_flag=True, help="Speak plain HTTP (on this machine that needs no option).")
@json_option
@directory_option
def tags(repository: str, insecure: bool, as_json: bool) -> None:
    """List the tags of REPO, newest first, with digest, size and date."""
    from seatrial.errors import UsageError
    from seatrial.images import registry
    from seatrial.images.reference import parse

    wanted = parse(repository)
    if wanted.tag or wanted.digest:
        raise UsageError(f"{repository} names one image", fix=f"give the repository alone: {wanted.name}")
    found = registry.tags(repository, insecure=insecure)
    if as_json:
        print_json({"repository": wanted.name, "tags": found})
        return
    width = max((len(tag.tag) for tag in found), default=0)
    for tag in found:
        click.echo(f"{tag.tag:<{width}}  {tag.digest}  {_size(tag.size):>9}  {tag.created or '-'}")
    if not found:
        note(f"{wanted.name} has no tags")


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:  # noqa: PLR2004 - decimal units, as registries show them
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"
