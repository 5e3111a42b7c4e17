"""`seatrial build run`: a buildspec, run here as CodeBuild would."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.cli.build_source import fetched
from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.failure import explained, show_explained
from seatrial.cli.image_source import METAVAR, find_image, runtime_option, source_options

if TYPE_CHECKING:
    from seatrial.builds.plan import Refusal
    from seatrial.builds.starting import Started
    from seatrial.engine.execute import Processes

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
    "--source-version", default="", metavar="V", help="Branch, tag, commit or pr/N of a git source."
)
@click.option(
    "--source",
    "secondary",
    multiple=True,
    metavar="ID=WHERE[@V]",
    help="A secondary source. May be repeated.",
)
@click.option(
    "--artifacts", default="", metavar="FOLDER|s3://…", help="Where artifacts go. Default: beside the logs."
)
@click.option("--packaging", type=click.Choice(["none", "zip"]), default="none", show_default=True,
              help="Artifacts as folders or as zips.")  # fmt: skip
@click.option(
    "--reports", default="", metavar="FOLDER", help="Where reports go, as JSON. Default: beside the logs."
)
@click.option("--cache", default="local", show_default=True, metavar="local|none|s3://BUCKET/PREFIX",
              help="Where the cache of the buildspec is kept.")  # fmt: skip
@click.option(
    "--timeout", default="60m", show_default=True, metavar="T", help="Stop the build after 90s, 15m, 2h."
)
@click.option(
    "--queued-timeout", default="8h", show_default=True, metavar="T", help="Give up waiting for --concurrent."
)
@click.option(
    "--concurrent", default=0, type=click.IntRange(0), metavar="N", help="Wait while N builds run here."
)
@click.option("--from-phase", type=click.Choice(["install", "pre_build", "build", "post_build"], case_sensitive=False),
              default=None, help="Leave out the phases before this one.")  # fmt: skip
@click.option(
    "--breakpoint", "breakpoints", is_flag=True, help="Let the command codebuild-breakpoint stop the build."
)
@click.option("--check/--no-check", default=True, help="Stop before the build for what is certain to fail.")
@click.option("--aws", is_flag=True, help="Give commands the AWS credentials of this environment.")
@click.option(
    "--project", default="", metavar="NAME", help="The project's name. Default: that of the folder."
)
@runtime_option("runtime", "What runs the image.")
@source_options
@json_option
@directory_option
def run(  # noqa: PLR0917 - click passes by name
    source: str,
    where: str,
    buildspec: str,
    env: tuple[str, ...],
    env_file: tuple[Path, ...],
    source_version: str,
    secondary: tuple[str, ...],
    artifacts: str,
    packaging: str,
    reports: str,
    cache: str,
    timeout: str,
    queued_timeout: str,
    concurrent: int,
    from_phase: str | None,
    breakpoints: bool,
    check: bool,
    aws: bool,
    project: str,
    runtime: str,
    platform: str,
    insecure: bool,
    as_json: bool,
) -> None:
    """Run the buildspec of DIR on this machine, phase by phase, as CodeBuild would.

    DIR is a folder, a git URL, a zip file or s3://BUCKET/KEY. The sources are copied first; DIR stays as it is. What is
    wrong with the buildspec is said before anything starts. Ctrl-C stops the build. The workspace of a build that
    failed is kept for `seatrial build shell`.
    """
    from seatrial.builds.starting import Asked, start
    from seatrial.errors import UsageError

    if cache not in ("local", "none") and not cache.startswith("s3://"):
        raise UsageError(f"--cache {cache!r} is no place", fix="use local, none or s3://BUCKET/PREFIX")
    processes = get_ready()
    executor, image, refusal = _executor(where, platform=platform, insecure=insecure)
    with fetched(source, source_version) as got:
        asked = Asked(
            source=got.place,
            source_version=source_version,
            commit=got.commit,
            url=got.url,
            project=project or got.name,
            secondary=dict(_secondary(text) for text in secondary),
            buildspec=buildspec,
            variables={**_from_files(env_file), **variables(env)},
            executor="image" if executor else "host",
            image=image,
            image_name=executor,
            runtime=runtime if executor else "",
            credentials=aws,
            timeout=seconds(timeout),
            queued_timeout=seconds(queued_timeout),
            concurrent=concurrent,
            from_phase=from_phase or "",
            artifacts_to=artifacts
            if not artifacts or artifacts.startswith("s3://")
            else str(Path(artifacts).resolve()),
            packaging="ZIP" if packaging == "zip" else "NONE",
            reports_to=str(Path(reports).resolve()) if reports else "",
            cache_at=cache,
            breakpoints=breakpoints or sys.stdin.isatty(),
            check=check,
            refusal=refusal or got.refusal,
        )
        execute(start(asked, os.environ), as_json=as_json, processes=processes)


_STEPS_NEED = (
    "seatrial.builds.steps",
    "seatrial.builds.downloading",
    "sqlite3",
    "seatrial.builds.executors.host",
    "seatrial.builds.sources",
    "seatrial.images.pushing.checkout",
    "seatrial.builds.reading",
)
"""What the steps of a build import, the first ones first: it is at hand in their processes while the command still reads."""


def get_ready() -> Processes:
    """What runs the steps of a build starts while its buildspec is read."""
    from seatrial import paths
    from seatrial.engine.execute import Processes

    # Before a journal is open, so that they can be forked from this process.
    processes = Processes(paths.home(), _STEPS_NEED)
    processes.get_ready()
    return processes


def execute(started: Started, *, as_json: bool, processes: Processes | None = None) -> None:
    """Run a build to its end, show it, and leave with its exit code."""
    from seatrial import paths
    from seatrial.builds.report import build, text
    from seatrial.engine.journal import Journal
    from seatrial.engine.run import begin, describe, reap
    from seatrial.engine.run import execute as run_it

    for one in started.findings:
        sys.stderr.write(f"{one.path}:{one.line}:{one.column}: {one.severity}: {one.message} [{one.rule}]\n")
        if one.severity == "error" and one.cause:
            sys.stderr.write(f"  cause: {one.cause}\n")
        if one.severity == "error" and one.fix:
            sys.stderr.write(f"  fix: {one.fix.title} (`seatrial check --fix` applies it)\n")
    os.environ.update(started.environ)
    journal = Journal(paths.home())
    for cleaned, problem in reap(journal).items():
        note(
            f"could not clean up after run {cleaned}: {problem}"
            if problem
            else f"cleaned up after run {cleaned}"
        )
    run_id, _ = begin(journal, started.plan)
    if as_json:
        run_it(journal, run_id, processes=processes)
    else:
        from seatrial.cli.build_log import following

        with following(journal.home, run_id):
            run_it(journal, run_id, processes=processes)
    data = build(describe(journal, run_id))
    why = explained(journal, run_id)
    journal.close()
    if as_json:
        print_json({**data, "explanation": why} if why else data)
    else:
        sys.stdout.write(text(data))
        show_explained(why)
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


def _secondary(text: str) -> tuple[str, tuple[str, str]]:
    from seatrial.errors import UsageError

    name, equals, where = text.partition("=")
    place, at, version = where.rpartition("@")
    if not at or "/" in version or not place:
        place, version = where, ""
    if not equals or not name or not place:
        raise UsageError(f"--source {text!r} is not ID=WHERE", fix="for example --source tools=../tools")
    return name, (str(Path(place).resolve()) if Path(place).exists() else place, version)


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
