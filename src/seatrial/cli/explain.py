"""`seatrial explain`: the cause of a failure, told from a log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json

if TYPE_CHECKING:
    from seatrial.diagnosis.model import Signature
    from seatrial.explaining.logs import Log


@click.command(
    epilog="Examples: seatrial explain build.log · kubectl logs job/train | seatrial explain - · seatrial explain latest"
    " · seatrial explain --build-id app:0f6e… --repo . --aws"
)
@click.argument("log", metavar="FILE|-|RUN", required=False)
@click.option(
    "--build-id", default="", metavar="AWS-ID", help="A build on CodeBuild: PROJECT:UUID, or its ARN."
)
@click.option(
    "--region", default="", metavar="REGION", help="Where that build is. Default: as the AWS tools."
)
@click.option(
    "--repo",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="DIR",
    help="Look there whether the cause is right, and for the place to change.",
)
@click.option(
    "--aws", is_flag=True, help="Ask the AWS account of this environment whether the cause is right."
)
@click.option(
    "--signatures",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Your own signatures besides those of seatrial.yaml. May be repeated.",
)
@click.option(
    "--learn",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    metavar="FILE",
    help="Write the skeleton of a signature for this log to stdout.",
)
@click.option("--markdown", "form", flag_value="markdown", help="Print Markdown.")
@click.option("--github", "form", flag_value="github", help="Print annotations for GitHub Actions.")
@json_option
@directory_option
def explain(  # noqa: PLR0917 - click passes by name
    log: str | None,
    build_id: str,
    region: str,
    repo: Path | None,
    aws: bool,
    signatures: tuple[Path, ...],
    learn: Path | None,
    form: str | None,
    as_json: bool,
) -> None:
    """Say why something failed, which line proves it, and what to do.

    FILE is a log of any size, also packed by gzip; - is standard input; RUN is a run of this machine, a part of its
    id, or `latest`. Nothing is sent anywhere. Exit code 0: a cause was found; 1: none is known, and the lines that
    tell most are shown, or the log ends well.
    """
    from seatrial.diagnosis.explain import explain as explained
    from seatrial.errors import UsageError
    from seatrial.explaining import reports

    if sum((log is not None, bool(build_id), learn is not None)) != 1:
        raise UsageError("name one log", fix="give FILE, - or RUN, or --build-id, or --learn FILE")
    if as_json and form:
        raise UsageError(f"--json and --{form} are two forms", fix="choose one")
    known = _signatures(repo or Path(), signatures)
    if learn is not None:
        _learn(learn, known)
        return
    source = _build(build_id, region) if build_id else _find(log or "-")
    answer = explained(source.chunks, context=source.context, signatures=known)
    if repo is not None or aws:
        from seatrial.explaining.confirm import confirm

        answer = confirm(answer, repo=repo, session=_account(region) if aws else None)
    if as_json:
        print_json(answer)
    elif form == "markdown":
        click.echo(reports.markdown(answer, name=source.name), nl=False)
    elif form == "github":
        click.echo(reports.github(answer), nl=False)
    else:
        from seatrial.reports.text import wants_colour

        click.echo(reports.text(answer, name=source.name, colour=wants_colour(sys.stdout)), nl=False)
    if not answer.causes:
        raise SystemExit(1)


def _find(what: str) -> Log:
    """A file by that name, else a run."""
    from seatrial import paths
    from seatrial.engine.journal import Journal
    from seatrial.errors import SeatrialError, UsageError
    from seatrial.explaining import logs

    if what == "-":
        if sys.stdin.isatty():
            note("reading the log from the terminal; Ctrl-D ends it")
        return logs.of_stream(sys.stdin.buffer)
    if Path(what).exists():
        return logs.of_file(Path(what))
    journal = Journal(paths.home())
    try:
        run_id = journal.find(what)
    except SeatrialError as error:
        raise UsageError(
            f"{what!r} is neither a file nor a run", why=error.what, fix="`seatrial runs list` shows the runs"
        ) from error
    return logs.of_run(journal, run_id)


def _build(build_id: str, region: str) -> Log:
    from seatrial.explaining.codebuild import of_build

    return of_build(build_id, region)


def _signatures(directory: Path, files: tuple[Path, ...]) -> tuple[Signature, ...]:
    """All signatures: those named, those of the project's settings, and Seatrial's."""
    from seatrial import config
    from seatrial.diagnosis import loading

    own = list(files)
    if (directory / config.FILE).exists():
        try:
            own += [directory / name for name in config.load(directory).explain.signatures]
        except config.ConfigError as error:
            # A log of a failure is often read beside settings that are broken, perhaps for the same reason.
            note(f"{config.FILE} is not used: {error}")
    return loading.load(own)


def _learn(file: Path, known: tuple[Signature, ...]) -> None:
    from seatrial.diagnosis.explain import explain as explained
    from seatrial.diagnosis.learn import skeleton
    from seatrial.errors import SeatrialError
    from seatrial.explaining import logs

    source = logs.of_stream(sys.stdin.buffer) if str(file) == "-" else logs.of_file(file)
    answer = explained(source.chunks, context=source.context, signatures=known)
    if answer.causes:
        note(f"this log is known already: {answer.causes[0].id}")
    try:
        click.echo(skeleton(answer), nl=False)
    except LookupError:
        raise SeatrialError(
            "there is nothing to learn from", where=source.name, why="no line tells more than others"
        ) from None


def _account(region: str) -> Any:
    """A session with the account of this environment, as boto3 knows it."""
    import importlib

    from seatrial.errors import MissingToolError

    try:
        boto3: Any = importlib.import_module("boto3")
    except ModuleNotFoundError as error:
        raise MissingToolError(
            "boto3 is not installed", why="it is what asks AWS", fix="pip install 'seatrial[aws]'"
        ) from error
    return boto3.session.Session(region_name=region or None)
