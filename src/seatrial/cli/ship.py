"""`seatrial ship`: the whole way for one project."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.failure import explained, show_explained
from seatrial.cli.settings import print_settings, settings_options

if TYPE_CHECKING:
    from seatrial.engine.plan import Plan


@click.command(epilog="Example: seatrial ship examples/iris-service --fix")
@click.argument("project", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option("--fix", is_flag=True, help="Apply safe fixes to what is shipped; your files stay as they are.")
@click.option("--write", is_flag=True, help="With --fix: apply them to your files as well.")
@click.option("--dry-run", is_flag=True, help="Print the plan and do nothing.")
@click.option(
    "--to", multiple=True, metavar="REPO", help="Push to REGISTRY/REPOSITORY instead. May be repeated."
)
@click.option("--tag", "tags", multiple=True, metavar="TAG", help="Tag to give the image. May be repeated.")
@click.option("--insecure", is_flag=True, default=None, help="Speak plain HTTP to the registries of --to.")
@click.option("--refresh", is_flag=True, help="Look for newer packages and a newer base.")
@settings_options
@json_option
@directory_option
def ship(  # noqa: PLR0917 - click passes by name
    project: Path,
    fix: bool,
    write: bool,
    dry_run: bool,
    to: tuple[str, ...],
    tags: tuple[str, ...],
    insecure: bool | None,
    refresh: bool,
    settings: dict[str, str],
    explain_config: bool,
    as_json: bool,
) -> None:
    """Check, build, test, push, deploy and verify the project in DIR, then tear down.

    The project is copied first, and the copy is shipped. Without --to it is pushed to a registry on this machine
    that lives as long as the run. The same command continues a run that was killed. Ctrl-C stops it and tears
    everything down; a second Ctrl-C stops without tearing down.
    """
    from seatrial import config, paths
    from seatrial.config import Flag
    from seatrial.engine.journal import Journal
    from seatrial.errors import UsageError
    from seatrial.shipping import copying, preflight
    from seatrial.shipping.plan import plan
    from seatrial.shipping.project import Wanted, choose

    if write and not fix:
        raise UsageError("--write needs --fix", why="it says where fixes go")
    directory = project.resolve()
    flags: dict[str, Any] = {
        "images.*.push.to": Flag("--to", list(to)) if to else None,
        "images.*.push.tags": Flag("--tag", list(tags)) if tags else None,
        "images.*.push.insecure": Flag("--insecure", insecure) if insecure else None,
        **settings,
    }
    if explain_config:
        print_settings(directory, flags, as_json=as_json)
        return
    chosen = choose(
        directory, config.load(directory, flags=flags), Wanted(fix=fix, write=write, refresh=refresh)
    )
    what = plan(chosen, copying.fingerprint(directory))
    if dry_run:
        _print_plan(what, as_json=as_json)
        return
    preflight.require(chosen)
    _run(Journal(paths.home()), what, as_json=as_json)


def _run(journal: Any, what: Plan, *, as_json: bool) -> None:
    from seatrial.cli.progress import Progress
    from seatrial.engine.run import begin, describe, execute, reap
    from seatrial.shipping.report import text

    for cleaned, problem in reap(journal).items():
        note(
            f"could not clean up after run {cleaned}: {problem}"
            if problem
            else f"cleaned up after run {cleaned}"
        )
    run_id, continued = begin(journal, what)
    if not as_json:
        note(f"{'continuing' if continued else 'run'} {run_id}")
    status = execute(journal, run_id, watch=Progress(quiet=as_json).watch)
    data = describe(journal, run_id)
    why = explained(journal, run_id)
    if as_json:
        print_json({**data, "explanation": why} if why else data)
    else:
        sys.stdout.write(text(data))
        show_explained(why)
    if status == "stopped":
        raise SystemExit(130)
    if status != "succeeded":
        raise SystemExit(1)


def _print_plan(what: Plan, *, as_json: bool) -> None:
    from seatrial.engine.run import plan_data

    if as_json:
        print_json(plan_data(what))
        return
    lines = [f"plan of {what.kind} {what.name}"]
    for stage in what.stages:
        lines.append(f"{stage.name}" + (" (always)" if stage.always else ""))
        lines += [f"  {step.name:<15} {step.title}" for step in stage.steps]
        lines += [f"  gate            {c.value.step}.{c.value.name} {c.op} {c.expected}" for c in stage.gate]
    sys.stdout.write("\n".join(lines) + "\n")
