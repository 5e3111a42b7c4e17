"""`seatrial runs`: what ran, what it said, and how to stop it or go on."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.failure import explained, show_explained

if TYPE_CHECKING:
    from seatrial.engine.journal import Journal
    from seatrial.engine.logs import Source


@click.group(epilog="Example: seatrial runs logs -f latest")
def runs() -> None:
    """List, show, follow, stop and resume runs.

    RUN is an id, a unique part of one, or `latest`.
    """


@runs.command("list", epilog="Example: seatrial runs list --status failed")
@click.option(
    "--status",
    type=click.Choice(["running", "waiting", "succeeded", "failed", "stopped"]),
    help="Only these.",
)
@click.option("--kind", help="Only runs of this kind, as `ship`.")
@click.option(
    "-n", "--limit", default=20, show_default=True, type=click.IntRange(1), help="How many, newest first."
)
@json_option
@directory_option
def list_(status: str | None, kind: str | None, limit: int, as_json: bool) -> None:
    """List runs, newest first."""
    from seatrial import locks
    from seatrial.clock import iso

    journal = _journal()
    rows = journal.rows(
        "SELECT id, kind, name, status, started, ended, error FROM runs WHERE (? IS NULL OR status=?)"
        " AND (? IS NULL OR kind=?) ORDER BY created DESC, id DESC LIMIT ?",
        *(status, status, kind, kind, limit),
    )
    found = [
        {
            "id": row["id"],
            "kind": row["kind"],
            "name": row["name"],
            "status": row["status"],
            "interrupted": row["ended"] is None and not locks.is_locked(journal.folder(row["id"]) / "lock"),
            "started": iso(row["started"]) if row["started"] else None,
            "duration": round(row["ended"] - row["started"], 3) if row["ended"] and row["started"] else None,
            "error": row["error"] or None,
        }
        for row in rows
    ]
    if as_json:
        print_json(found)
        return
    if not found:
        note("no runs yet; `seatrial ship DIR` makes one")
    for run in found:
        state = "interrupted" if run["interrupted"] else run["status"]
        took = f"{run['duration']:.1f} s" if run["duration"] is not None else ""
        click.echo(f"{run['id']}  {run['kind']:8} {state:11} {took:>9}  {run['name']}")


@runs.command(epilog="Example: seatrial runs show latest --json")
@click.argument("run")
@json_option
@directory_option
def show(run: str, as_json: bool) -> None:
    """Show a run: its stages, attempts, errors and what it still holds."""
    from seatrial.engine.run import describe
    from seatrial.reports import timeline

    journal = _journal()
    run_id = journal.find(run)
    data = _shown(describe(journal, run_id))
    why = explained(journal, run_id)
    if as_json:
        print_json({**data, "explanation": why} if why else data)
        return
    state = "interrupted" if data["interrupted"] else data["status"]
    click.echo(f"{data['id']}  {data['kind']} {data['name']}: {state}")
    click.echo(timeline.text(data), nl=False)
    if data["kind"] == "build":
        from seatrial.builds.report import text

        click.echo(text(data), nl=False)
    for stage in data["stages"]:
        for step in stage["steps"]:
            _show_attempts(step)
    if data["error"]:
        click.echo(f"error: {data['error']}")
    show_explained(why)
    for thing in data["held"]:
        click.echo(f"still held: {thing}")
    if data["interrupted"]:
        note(
            f"`seatrial runs resume {data['id']}` continues, `seatrial runs stop {data['id']}` tears it down"
        )


def _show_attempts(step: dict[str, Any]) -> None:
    for attempt in step["attempts"]:
        if attempt["error"]:
            retry = f" -> tried again ({attempt['retry']['reason']})" if attempt["retry"] else ""
            click.echo(f"{step['name']} attempt {attempt['n']}: {attempt['error'].strip()}{retry}")


@runs.command(epilog="Example: seatrial runs logs -f latest test")
@click.argument("run")
@click.argument("step", required=False, default="")
@click.option("-f", "--follow", is_flag=True, help="Go on showing what is written until the run ends.")
@click.option("--grep", default="", metavar="PATTERN", help="Only lines that match this regular expression.")
@directory_option
def logs(run: str, step: str, follow: bool, grep: str) -> None:
    """Print the logs of a run, or of one of its steps.

    With --grep, each line that matches comes after its step and number; exit code 1: none does.
    """
    from seatrial.engine import logs as files
    from seatrial.errors import UsageError

    journal = _journal()
    run_id = journal.find(run)
    names = [row["name"] for row in journal.rows("SELECT name FROM steps WHERE run=?", run_id)]
    if step and step not in names:
        raise UsageError(f"run {run_id} has no step {step!r}", fix="its steps are " + ", ".join(names))
    if grep:
        if follow:
            raise UsageError("--grep reads what is there", fix="pipe `seatrial runs logs -f` into grep")
        _search(files.sources(journal, run_id, step), grep)
        return
    shown: list[Source] = []

    def write(source: Source, chunk: bytes) -> None:
        if not step and (not shown or shown[-1] != source):
            sys.stdout.write(
                f"── {source.step}{'' if source.attempt == 1 else f' (attempt {source.attempt})'}\n"
            )
            sys.stdout.flush()
            shown.append(source)
        _write_all(chunk)

    if follow:
        files.follow(journal, run_id, step, write)
        return
    for source in files.sources(journal, run_id, step):
        for chunk in files.read(source.path):
            write(source, chunk)


def _search(sources: list[Source], pattern: str) -> None:
    from seatrial.errors import UsageError

    try:
        wanted = re.compile(pattern.encode())
    except re.error as error:
        raise UsageError(f"--grep {pattern!r} is no regular expression: {error}") from error
    hits = 0
    for source in sources:
        if not source.path.exists():
            continue
        name = source.step if source.attempt == 1 else f"{source.step}.{source.attempt}"
        with source.path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                if wanted.search(line):
                    hits += 1
                    _write_all(f"{name}:{number}: ".encode() + line.rstrip(b"\n") + b"\n")
    if not hits:
        raise SystemExit(1)


def _write_all(chunk: bytes) -> None:
    """Past Python's buffers: logs of gigabytes are passed on at the speed of the disk."""
    view = memoryview(chunk)
    while view:
        view = view[os.write(sys.stdout.fileno(), view) :]


@runs.command(epilog="Example: seatrial runs timeline latest --html run.html")
@click.argument("run")
@click.option(
    "--svg", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Write a picture."
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a page with the picture.",
)
@json_option
@directory_option
def timeline(run: str, svg: Path | None, html: Path | None, as_json: bool) -> None:
    """Show when each stage and step ran, and for how long.

    Builds and deployments of services have a picture as well, and a page with it.
    """
    from seatrial.engine.run import describe
    from seatrial.files import write_atomic
    from seatrial.reports import timeline as report

    journal = _journal()
    run_id = journal.find(run)
    for path, form in ((svg, "svg"), (html, "html")):
        if path is not None:
            write_atomic(path, _drawn(journal, run_id, form))
            note(f"wrote {path}")
    data = describe(journal, run_id)
    if as_json:
        print_json([row._asdict() for row in report.rows(data)])
    elif svg is None and html is None:
        click.echo(report.text(data), nl=False)


def _drawn(journal: Journal, run_id: str, form: str) -> str:
    """The picture of a run, or the page with it.

    Raises:
        UsageError: runs of its kind have none.
    """
    from seatrial.clock import SystemClock
    from seatrial.errors import UsageError

    row = journal.run(run_id)
    if row["kind"] == "build":
        from seatrial.builds import timeline as builds
        from seatrial.builds import timeline_picture
        from seatrial.builds.history import find

        build = builds.data(find(journal, run_id), now=SystemClock().now())
        return timeline_picture.svg(build) if form == "svg" else timeline_picture.html(build)
    if row["kind"] == "service-deployment":
        from seatrial.services import drawing, page, records, shown

        one = records.load(journal.home, row["key"])
        picture = shown.picture(journal, one, SystemClock().now())
        if form == "svg":
            return drawing.svg(picture)
        return page.html(one, picture, records.events(journal.home, one.id))
    raise UsageError(
        f"run {run_id} is of kind {row['kind']}, which has no picture", fix="leave out --svg and --html"
    )


@runs.command(epilog="Example: seatrial runs stop latest")
@click.argument("run")
@click.option(
    "--kill", is_flag=True, help="Stop at once and tear nothing down; the next start of a run cleans up."
)
@json_option
@directory_option
def stop(run: str, kill: bool, as_json: bool) -> None:
    """Stop a run and remove what it created, also when the process in charge of it is gone."""
    from seatrial.engine.run import cancel, describe, release

    journal = _journal()
    run_id = journal.find(run)
    before = journal.run(run_id)
    if before["ended"] is not None:
        note(f"run {run_id} had ended already: {before['status']}")
        release(journal, run_id)
    else:
        cancel(journal.home, run_id, what="kill" if kill else "cancel")
    data = _shown(describe(journal, run_id))
    if as_json:
        print_json(data)
    else:
        click.echo(f"{run_id}: {data['status']}")
    if data["held"] and not kill:
        raise SystemExit(1)


@runs.command(epilog="Example: seatrial runs resume latest")
@click.argument("run")
@json_option
@directory_option
def resume(run: str, as_json: bool) -> None:
    """Continue an interrupted run, or an ended one at its first step whose result no longer stands."""
    from seatrial.cli.progress import Progress
    from seatrial.engine.run import describe, execute, reopen
    from seatrial.errors import UsageError

    journal = _journal()
    run_id = journal.find(run)
    row = journal.run(run_id)
    if row["status"] == "succeeded":
        note(f"run {run_id} has succeeded; there is nothing to resume")
        return
    if row["kind"] == "service-deployment":
        from seatrial.services import starting

        if row["ended"] is not None:
            raise UsageError(
                f"the deployment of run {run_id} has ended", fix="`seatrial deploy run` makes another one"
            )
        status = starting.carry_out(journal, row["key"], watch=Progress(quiet=as_json).watch)
    else:
        if row["ended"] is not None:
            reopen(journal, run_id)
        status = execute(journal, run_id, watch=Progress(quiet=as_json).watch)
    data = _shown(describe(journal, run_id))
    why = explained(journal, run_id)
    if as_json:
        print_json({**data, "explanation": why} if why else data)
    else:
        click.echo(f"{run_id}: {status}")
        show_explained(why)
    if status == "stopped":
        raise SystemExit(130)
    if status != "succeeded":
        raise SystemExit(1)


def _shown(data: dict[str, Any]) -> dict[str, Any]:
    """A run as its own kind prints it."""
    if data["kind"] == "build":
        from seatrial.builds.report import build

        return build(data)
    if data["kind"] == "service-deployment":
        from seatrial.services import shown

        return {**data, "outputs": shown.outputs(_journal(), data["id"])}
    return data


def _journal() -> Journal:
    from seatrial.engine.journal import Journal
    from seatrial.paths import home

    return Journal(home())
