"""`seatrial build cache`: what the builds of a project have kept on this machine for the next ones."""

from __future__ import annotations

import click

from seatrial.cli.common import directory_option, json_option, print_json


@click.command(epilog="Example: seatrial build cache . --clear")
@click.argument("source", metavar="[DIR]", default=".")
@click.option(
    "--project", default="", metavar="NAME", help="Name of the project. Default: the folder's name."
)
@click.option("--clear", is_flag=True, help="Forget them, as InvalidateProjectCache does.")
@json_option
@directory_option
def cache(source: str, project: str, clear: bool, as_json: bool) -> None:
    """List the local caches of the project in DIR, the newest first.

    They are what `seatrial build run --cache local` restores and saves. With --clear the next build begins without
    any; one that a running build uses stays.
    """
    from pathlib import Path

    from seatrial.builds import caching, environment
    from seatrial.clock import iso

    name = project or environment.project_name(Path(source).resolve())
    kept = caching.kept(name)
    if clear:
        number = caching.invalidate(name)
        if as_json:
            print_json({"project": name, "cleared": number})
        else:
            click.echo(f"forgot {number} of {len(kept)} caches of {name}")
        return
    if as_json:
        rows = [
            {"key": one.key, "created": iso(one.created), "files": one.files, "size": one.size}
            for one in kept
        ]
        print_json({"project": name, "caches": rows})
        return
    if not kept:
        click.echo(f"{name} has no local caches")
    for one in kept:
        click.echo(
            f"{iso(one.created)}  {one.size / 1e6:9.1f} MB  {one.files:6} files  {one.key or '(no key)'}"
        )
