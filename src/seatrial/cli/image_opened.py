"""`seatrial image opened`: which files a program of an image opens while it starts."""

from __future__ import annotations

from pathlib import Path

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.image_source import METAVAR, find_image, source_options
from seatrial.reports.units import counted, size


@click.command(
    epilog="Example: seatrial image opened ./image --out first.txt -- python3 -c 'import app'",
)
@click.argument("source", metavar=METAVAR)
@click.argument("command", nargs=-1, metavar="[--] [CMD]...")
@click.option(
    "--env", "env", multiple=True, metavar="K[=V]", help="Set a variable; K alone takes it from here."
)
@click.option("--entrypoint", default=None, metavar="E", help="Run E instead of the image's entry point.")
@click.option(
    "--seconds", type=click.FloatRange(min=0.1), default=60.0, show_default=True,
    help="End a program that runs longer; what it opened until then counts.",
)  # fmt: skip
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write the list here, not to stdout.",
)
@json_option
@source_options
@directory_option
def opened(  # noqa: PLR0917 - click passes by name
    source: str,
    command: tuple[str, ...],
    env: tuple[str, ...],
    entrypoint: str | None,
    seconds: float,
    out: Path | None,
    as_json: bool,
    platform: str,
    insecure: bool,
) -> None:
    """List the files that a Python program of an image opens while it starts, with the libraries it loads.

    `seatrial image assemble --lazy --first-files FILE` puts them first, where a lazy pull fetches them at once. The
    program runs as with `image run`; what it prints goes to stderr.
    """
    from seatrial.cli.image_run import variables
    from seatrial.files import write_atomic
    from seatrial.images import runtime
    from seatrial.images.lazy.opened import opened as find_opened

    root = runtime.prepare(*find_image(source, platform=platform, insecure=insecure))
    entry = None if entrypoint is None else tuple([entrypoint] if entrypoint else [])
    launch = runtime.Launch(env=variables(env), entrypoint=entry)
    found = find_opened(root, command, launch, seconds=seconds)
    text = "".join(f"{path}\n" for path in found.paths)
    if out is not None:
        write_atomic(out, text)
    if as_json:
        print_json({"paths": found.paths, "size": found.size, "exit_code": found.exit_code})
    elif out is None:
        click.echo(text, nl=False)
    end = "was ended" if found.exit_code is None else f"ended with {found.exit_code}"
    note(f"{counted(len(found.paths), 'file')}, {size(found.size)}; the program {end}")
