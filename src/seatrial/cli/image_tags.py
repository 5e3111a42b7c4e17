"""`seatrial image tags`: what a repository holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option, note, print_json

if TYPE_CHECKING:
    from seatrial.images.registry import Tag
    from seatrial.images.registry_tags import Sort


@click.command(epilog="Example: seatrial image tags 127.0.0.1:5000/team/app --limit 10")
@click.argument("repository", metavar="REPO")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N.")
@click.option(
    "--sort",
    type=click.Choice(["date", "version", "name"]),
    default="date",
    show_default=True,
    help="Newest first, highest version first, or by name.",
)
@click.option("--insecure", is_flag=True, help="Speak plain HTTP (on this machine that needs no option).")
@json_option
@directory_option
def tags(repository: str, limit: int | None, sort: Sort, insecure: bool, as_json: bool) -> None:
    """List the tags of REPO, newest first, with digest, size, date and platforms.

    For Amazon's registry the date is that of pushing, and the state of scanning is said as well.
    """
    from seatrial.errors import UsageError
    from seatrial.images import registry
    from seatrial.images.reference import parse

    wanted = parse(repository)
    if wanted.tag or wanted.digest:
        raise UsageError(f"{repository} names one image", fix=f"give the repository alone: {wanted.name}")
    found = registry.tags(repository, sort=sort, limit=limit, insecure=insecure, note=note)
    if as_json:
        print_json({"repository": wanted.name, "tags": found})
        return
    width = max((len(tag.tag) for tag in found), default=0)
    for tag in found:
        click.echo(_line(tag, width))
    if not found:
        note(f"{wanted.name} has no tags")


def _line(tag: Tag, width: int) -> str:
    from seatrial.reports.units import size

    platforms = ", ".join(one.platform for one in tag.platforms)
    rest = [part for part in (platforms, tag.scan) if part]
    line = f"{tag.tag:<{width}}  {tag.digest}  {size(tag.size):>9}  {tag.pushed or tag.created or '-':<20}"
    return "  ".join([line.rstrip() if not rest else line, *rest])
