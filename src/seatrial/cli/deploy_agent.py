"""`seatrial deploy agent`: a bundle, deployed on this host as CodeDeploy's agent would."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.failure import explained, show_explained
from seatrial.errors import SeatrialError, UsageError

if TYPE_CHECKING:
    from seatrial.deployments.agent.order import Order
    from seatrial.deployments.agent.report import Report

_IMPORTED = ("seatrial.deployments.agent.steps", "seatrial.deployments.appspec.reading", "sqlite3", "yaml")
"""What the events need, imported once for all of them."""
_UNITS = {"k": 10, "m": 20, "g": 30, "t": 40}


@click.command(epilog="Example: seatrial deploy agent --bundle . --root /opt/deployments --group web")
@click.option("--bundle", default=".", metavar="PATH|s3://…|URL", show_default=True,
              help="The revision: a folder, an archive, an object in S3, a repository.")  # fmt: skip
@click.option("--type", "kind", type=click.Choice(["directory", "zip", "tar", "tgz", "git"]), default=None,
              help="What the bundle is. Default: by what is there.")  # fmt: skip
@click.option("--version", "version", default="", metavar="V", help="Commit, branch or tag of a repository.")
@click.option("--group", default="default-local-deployment-group", metavar="ID", show_default=True,
              help="The id of the deployment group: its folder in ROOT, and whose files are cleaned up.")  # fmt: skip
@click.option("--group-name", "--deployment-group-name", "group_name", default="", metavar="NAME",
              help="What scripts see as DEPLOYMENT_GROUP_NAME. Default: the group's id.")  # fmt: skip
@click.option("--application", "--application-name", "application", default="", metavar="NAME",
              help="What scripts see as APPLICATION_NAME. Default: the bundle.")  # fmt: skip
@click.option("--root", default="", metavar="ROOT",
              help="Where revisions and records are kept. Default: in Seatrial's state folder.")  # fmt: skip
@click.option("--deployment-id", default="", metavar="ID", help="Default: a new one, as d-XXXXXXXXX-local.")
@click.option("--events", default="", metavar="E,…", help="The events to go through, instead of all.")
@click.option("--file-exists-behavior", type=click.Choice(["DISALLOW", "OVERWRITE", "RETAIN"]), default="DISALLOW",
              show_default=True, help="Files that are there and are not of the last deployment.")  # fmt: skip
@click.option("--appspec-filename", default="", metavar="F", help="Default: appspec.yml (or .yaml).")
@click.option(
    "--max-revisions", default=5, metavar="N", show_default=True, help="How many revisions are kept."
)
@click.option("--creator", type=click.Choice(["user", "autoscaling", "codeDeployRollback"]), default="user",
              show_default=True, help="Who asked for the deployment.")  # fmt: skip
@click.option("--blue-green", is_flag=True, help="Choose the revisions of a rollback as blue/green does.")
@click.option("--allow", multiple=True, type=click.Choice(["symlinks", "traversal", "setuid", "duplicates"]),
              help="Let through what a bundle is refused for. May be repeated.")  # fmt: skip
@click.option("--max-extraction", default="16g", metavar="SIZE", show_default=True,
              help="Refuse a bundle that unpacks to more (k, m, g).")  # fmt: skip
@click.option("--inherit-env", is_flag=True, help="Give scripts the whole environment of this command.")
@click.option(
    "--pass-env", multiple=True, metavar="NAME", help="Give scripts this variable, too. May be repeated."
)
@json_option
@directory_option
def agent(  # noqa: PLR0917 - click passes by name
    bundle: str,
    kind: str | None,
    version: str,
    group: str,
    group_name: str,
    application: str,
    root: str,
    deployment_id: str,
    events: str,
    file_exists_behavior: str,
    appspec_filename: str,
    max_revisions: int,
    creator: str,
    blue_green: bool,
    allow: tuple[str, ...],
    max_extraction: str,
    inherit_env: bool,
    pass_env: tuple[str, ...],
    as_json: bool,
) -> None:
    """Deploy a bundle on this host, event by event, as CodeDeploy's agent would.

    The same command goes on where it was interrupted. What a script starts in the background goes on afterwards.
    Ctrl-C stops the deployment and what its scripts have started.
    """
    import msgspec

    from seatrial import paths
    from seatrial.deployments.agent import report
    from seatrial.deployments.agent.bundles import kind_of
    from seatrial.deployments.agent.order import Invalid, Order, check

    wanted = {
        "bundle": bundle,
        "type": kind or kind_of(bundle),
        "version": version,
        "root": str(Path(root or paths.home() / "deployments").absolute()),
        "deployment": deployment_id or _new_id(),
        "group": group,
        "group_name": group_name or group,
        "application": application or bundle,
        "events": [name for name in events.split(",") if name],
        "appspec": appspec_filename,
        "overwriting": file_exists_behavior,
        "archives": max_revisions,
        "cwd": str(Path.cwd()),
        "creator": creator,
        "blue_green": blue_green,
        "hardening": {
            "allow": sorted(set(allow)),
            "most": _bytes(max_extraction),
            "inherit": inherit_env,
            "pass_on": sorted(set(pass_env)),
        },
    }
    try:
        order = check(msgspec.convert(wanted, Order))
    except Invalid as error:
        if as_json:
            print_json(report.refused(error))
        raise
    _deploy(order, named=bool(deployment_id), as_json=as_json)


def _deploy(order: Order, *, named: bool, as_json: bool) -> None:
    import msgspec

    from seatrial import locks, paths
    from seatrial.deployments.agent import report
    from seatrial.engine.journal import Journal

    try:
        lock = _only_one(order)
    except SeatrialError as error:
        if as_json:
            print_json(report.refused(error))
        raise
    try:
        found, status = _run(order, named=named)
    finally:
        locks.release(lock)
    why = explained(Journal(paths.home()), found.run)
    if as_json:
        print_json({**msgspec.to_builtins(found), "explanation": why} if why else found)
    else:
        sys.stdout.write(report.text(found))
        # What the agent itself has found out is nearer to the point.
        show_explained(None if found.fix else why)
    if status == "stopped":
        raise SystemExit(130)
    if found.result != "ok":
        raise SystemExit(1)


def _only_one(order: Order) -> int:
    """The lock of the group, which has one deployment at a time in its root.

    Raises:
        SeatrialError: another one goes on, or the root cannot be written.
    """
    from seatrial import locks
    from seatrial.deployments.agent.bundles import unreadable
    from seatrial.deployments.agent.records import Places

    places = Places(order)
    try:
        places.lock.parent.mkdir(parents=True, exist_ok=True)
        lock = locks.try_lock(places.lock)
    except OSError as error:
        raise unreadable(places.root, error) from error
    if lock is None:
        raise SeatrialError(
            f"Deployment group {order.group} already has an active deployment",
            where=order.root,
            fix="wait for it, or stop it with `seatrial runs stop`",
        )
    return lock


def _run(order: Order, *, named: bool) -> tuple[Report, str]:
    """Go through the deployment, or go on with the one that was interrupted; what came of it, and the run's status."""
    import msgspec

    from seatrial import paths
    from seatrial.deployments.agent import plan, report
    from seatrial.deployments.agent.order import Order as Kept
    from seatrial.engine.execute import Processes
    from seatrial.engine.journal import Journal
    from seatrial.engine.run import begin, describe, execute, reap

    journal = Journal(paths.home())
    processes = Processes(journal.home, _IMPORTED)
    processes.get_ready()
    for cleaned, problem in reap(journal).items():
        note(
            f"could not clean up after run {cleaned}: {problem}"
            if problem
            else f"cleaned up after run {cleaned}"
        )
    wanted = plan.host(order)
    if named:
        # Whoever names a deployment means that one, and no other that asked for the same.
        wanted = msgspec.structs.replace(wanted, key=f"{wanted.key}/{order.deployment}")
    run, continued = begin(journal, wanted)
    if continued:
        first = journal.plan(run).stages[0].steps[0].action
        order = msgspec.convert(first.inputs["order"], Kept)  # type: ignore[union-attr]
        note(f"going on with deployment {order.deployment} (run {run})")
    status = execute(journal, run, processes=processes)
    return report.report(order, describe(journal, run), journal.folder(run)), status


def _new_id() -> str:
    import secrets
    import string

    letters = string.ascii_uppercase + string.digits
    return f"d-{''.join(secrets.choice(letters) for _ in range(9))}-local"


def _bytes(text: str) -> int:
    unit = _UNITS.get(text[-1:].lower())
    number = text[:-1] if unit is not None else text
    if not number.isdecimal() or not int(number):
        raise UsageError(f"--max-extraction {text!r} is no size", fix="use 500m, 16g or a number of bytes")
    return int(number) << (unit or 0)
