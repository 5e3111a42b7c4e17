"""`seatrial build run`: a buildspec, run here as CodeBuild would."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.image_source import METAVAR, find_image, source_options

if TYPE_CHECKING:
    from seatrial.builds.plan import Refusal
    from seatrial.builds.starting import Started

_UNITS = {"s": 1, "m": 60, "h": 3600}


@click.command(epilog="Example: seatrial build run . --on host --env STAGE=test")
@click.argument("source", metavar="[DIR]", default=".")
@click.option(
    "--on", "where", default="host", show_default=True, metavar=f"host|image:{METAVAR}", help="Where it runs."
)
@click.option(
    "--buildspec", default="", metavar="F", help="Path in DIR, or the text itself. Default: buildspec.yml."
)
@click.option(
    "--env", "env", multiple=True, metavar="K[=V]", help="Set a variable; K alone takes it from here."
)
@click.option("--env-file", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE",
              help="Variables from a file of K=V lines.")  # fmt: skip
@click.option(
    "--artifacts", default="", metavar="FOLDER", help="Where artifacts go. Default: beside the run's logs."
)
@click.option(
    "--timeout", default="60m", show_default=True, metavar="T", help="Stop the build after 90s, 15m, 2h."
)
@click.option("--runtime", type=click.Choice(["bwrap", "runc", "docker", "podman"]), default="bwrap", show_default=True,
              envvar="SEATRIAL_RUNTIME", show_envvar=True, help="What runs the image.")  # fmt: skip
@source_options
@json_option
@directory_option
def run(  # noqa: PLR0917 - click passes by name
    source: str,
    where: str,
    buildspec: str,
    env: tuple[str, ...],
    env_file: tuple[Path, ...],
    artifacts: str,
    timeout: str,
    runtime: str,
    platform: str,
    insecure: bool,
    as_json: bool,
) -> None:
    """Run the buildspec of DIR on this machine, phase by phase, as CodeBuild would.

    The sources are copied first; DIR stays as it is. What is wrong with the buildspec is said before anything starts.
    Ctrl-C stops the build.
    """
    from seatrial.builds.starting import Asked, start

    executor, image, refusal = _executor(where, platform=platform, insecure=insecure)
    asked = Asked(
        source=source,
        buildspec=buildspec,
        variables={**_from_files(env_file), **variables(env)},
        executor="image" if executor else "host",
        image=image,
        image_name=executor,
        runtime=runtime if executor else "",
        timeout=seconds(timeout),
        artifacts_to=str(Path(artifacts).resolve()) if artifacts else "",
        refusal=refusal,
    )
    execute(start(asked, os.environ), as_json=as_json)


def execute(started: Started, *, as_json: bool) -> None:
    """Run a build to its end, show it, and leave with its exit code."""
    from seatrial import paths
    from seatrial.builds.report import build, text
    from seatrial.engine.journal import Journal
    from seatrial.engine.run import begin, describe
    from seatrial.engine.run import execute as run_it

    os.environ.update(started.environ)
    journal = Journal(paths.home())
    run_id, _ = begin(journal, started.plan)
    if as_json:
        run_it(journal, run_id)
    else:
        from seatrial.cli.build_log import following

        with following(journal.home, run_id):
            run_it(journal, run_id)
    data = build(describe(journal, run_id))
    if as_json:
        print_json(data)
    else:
        sys.stdout.write(text(data))
    leave(data["build_status"])


def leave(status: str) -> None:
    """Exit with what the status of a build stands for."""
    if status == "STOPPED":
        raise SystemExit(130)
    if status != "SUCCEEDED":
        raise SystemExit(1)


def _executor(where: str, *, platform: str, insecure: bool) -> tuple[str, tuple[str, ...], Refusal | None]:
    """The image's name (empty: the host), its layout and digest, and what CodeBuild says when it cannot be had."""
    from seatrial.builds.plan import Refusal
    from seatrial.errors import MissingToolError, SeatrialError, UsageError

    kind, _, name = where.partition(":")
    if where == "host":
        return "", (), None
    if kind != "image" or not name:
        raise UsageError(f"--on {where!r} is no place to build", fix="use --on host or --on image:REF")
    try:
        layout, digest = find_image(name, platform=platform, insecure=insecure)
    except MissingToolError:
        raise
    except SeatrialError as error:
        note(f"{error}")
        message = f"Unable to pull customer's container image. Reason: {error.what}"
        return name, (), Refusal("PROVISIONING", "BUILD_CONTAINER_UNABLE_TO_PULL_IMAGE", (message,))
    return name, (str(layout.resolve()), digest), None


def seconds(text: str) -> float:
    """A length of time such as 90s, 15m or 2h; a number alone is minutes, as in CodeBuild.

    Raises:
        UsageError: it is none.
    """
    from seatrial.errors import UsageError

    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "m")
    try:
        value = float(number) * _UNITS[unit]
    except ValueError:
        value = 0.0
    if not 0 < value < 10**7:
        raise UsageError(f"{text!r} is not a length of time", fix="use 90s, 15m or 2h")
    return value


def variables(texts: tuple[str, ...]) -> dict[str, str]:
    """What `--env K[=V]` says.

    Raises:
        UsageError: K alone is not set here.
    """
    from seatrial.errors import UsageError

    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if equals:
            values[name] = value
        elif name in os.environ:
            values[name] = os.environ[name]
        else:
            raise UsageError(f"--env {name}: it is not set here", fix=f"use --env {name}=VALUE, or set it")
    return values


def _from_files(files: tuple[Path, ...]) -> dict[str, str]:
    """K=V lines as `docker run --env-file` reads them: no quotes, # begins a comment, K alone is taken from here."""
    from seatrial.errors import UsageError

    values: dict[str, str] = {}
    for file in files:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if not line.strip() or line.lstrip().startswith("#"):
                continue
            name, equals, value = line.partition("=")
            if not equals and name.strip() not in os.environ:
                raise UsageError(
                    f"{name.strip()!r} has no value", where=f"{file}:{number}", fix="write NAME=VALUE"
                )
            values[name.strip()] = value if equals else os.environ[name.strip()]
    return values
