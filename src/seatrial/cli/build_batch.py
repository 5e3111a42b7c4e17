"""`seatrial build batch`: all builds of a batch, here."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from seatrial.builds.model import DEFAULT_NAME
from seatrial.cli.build_source import fetched
from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.image_source import METAVAR, find_image, runtime_option, source_options
from seatrial.engine.plan import Call
from seatrial.errors import UsageError

if TYPE_CHECKING:
    from seatrial.builds.batch import Expansion
    from seatrial.builds.batch_plan import Wanted
    from seatrial.engine.journal import Journal

_SHOWN = 4


@click.command(epilog="Example: seatrial build batch . --jobs 4 --only 'linux_*'")
@click.argument("source", metavar="[DIR]", default=".")
@click.option(
    "--source-version", default="", metavar="V", help="Branch, tag, commit or pr/N of a git source."
)
@click.option(
    "--buildspec",
    default="",
    metavar="F",
    help="Path of the batch's buildspec in DIR. Default: buildspec.yml.",
)
@click.option(
    "--on", "where", default="host", show_default=True, metavar=f"host|image:{METAVAR}",
    help="Where builds run that name no image, or one that is not here.",
)  # fmt: skip
@click.option(
    "--image", "images", multiple=True, metavar="NAME=IMAGE",
    help="What the image NAME of the batch is here: FOLDER, FILE or REF. May be repeated.",
)  # fmt: skip
@click.option(
    "--jobs",
    default=0,
    type=click.IntRange(0),
    metavar="N",
    help="How many at a time. Default: one for each processor.",
)
@click.option(
    "--only",
    multiple=True,
    metavar="ID",
    help="Only builds with this identifier or pattern. May be repeated.",
)
@click.option("--retry", is_flag=True, help="Leave out what succeeded in the last batch of this buildspec.")
@click.option(
    "--env",
    "env",
    multiple=True,
    metavar="K[=V]",
    help="Set a variable of all builds; K alone takes it from here.",
)
@click.option(
    "--artifacts",
    default="",
    metavar="FOLDER",
    help="Where artifacts go, in a folder for each build. Default: beside the run's logs.",
)
@click.option("--combine", is_flag=True, help="Put the artifacts of all builds together into one folder.")
@click.option(
    "--timeout", default="60m", show_default=True, metavar="T", help="Stop a build after 90s, 15m, 2h."
)
@click.option(
    "--most",
    default=100,
    type=click.IntRange(1, 100),
    metavar="N",
    help="Refuse a batch of more builds, as maximumBuildsAllowed does.",
)
@click.option(
    "--allow",
    "compute_types",
    multiple=True,
    metavar="TYPE",
    help="Refuse other compute types, as computeTypesAllowed does. May be repeated.",
)
@click.option("--dry-run", is_flag=True, help="List the builds and where they would run, and do nothing.")
@runtime_option("runtime", "What runs images.")
@source_options
@json_option
@directory_option
def batch(  # noqa: PLR0917 - click passes by name
    source: str,
    source_version: str,
    buildspec: str,
    where: str,
    images: tuple[str, ...],
    jobs: int,
    only: tuple[str, ...],
    retry: bool,
    env: tuple[str, ...],
    artifacts: str,
    combine: bool,
    timeout: str,
    most: int,
    compute_types: tuple[str, ...],
    dry_run: bool,
    runtime: str,
    platform: str,
    insecure: bool,
    as_json: bool,
) -> None:
    """Run the builds of DIR's batch on this machine: a list, graph, matrix or fanout.

    DIR is a folder, a git URL, a zip file or s3://BUCKET/KEY. Each build is a run of its own and the batch is one, too.
    The source is copied once, for all of them. The same
    command continues a batch that was cut off; builds that have ended are not run again. Ctrl-C stops all of them.
    """
    from seatrial.builds import environment, setup
    from seatrial.builds.batch import Restrictions
    from seatrial.builds.batch_plan import Wanted
    from seatrial.builds.batch_run import expansion
    from seatrial.cli.build_run import seconds, variables

    values = variables(env)
    environment.check(values)
    secret = tuple(sorted(filter(setup.looks_secret, values)))
    with fetched(source, source_version) as got:
        if got.refusal is not None:
            raise UsageError("the source cannot be had", where=source, why=got.refusal.messages[0])
        root = Path(got.place).resolve()
        if not root.is_dir():
            raise UsageError("there is no such folder", where=source)
        wanted = Wanted(
            directory=str(root),
            source=str(Path(source).resolve()) if Path(source).exists() else source,
            version=source_version,
            commit=got.commit,
            url=got.url,
            project=got.name or environment.project_name(root),
            buildspec=buildspec,
            variables={name: value for name, value in values.items() if name not in secret},
            secrets=secret,
            only=only,
            timeout=seconds(timeout),
            jobs=jobs or os.cpu_count() or 1,
            runtime=runtime,
            artifacts_to=str(Path(artifacts).resolve()) if artifacts else "",
            combine=combine,
        )
        found = expansion(root, wanted, Restrictions(maximum_builds=most, compute_types=compute_types))
        wanted = _with_images(wanted, found, where, images, platform=platform, insecure=insecure)
        for line in _remarks(found, wanted):
            note(f"note: {line}")
        if dry_run:
            _list(found, wanted, as_json=as_json)
            return
        _run(wanted, found, values, retry=retry, as_json=as_json)


def _run(wanted: Wanted, found: Expansion, values: dict[str, str], *, retry: bool, as_json: bool) -> None:
    from seatrial import paths
    from seatrial.builds.batch_plan import batch as plan
    from seatrial.builds.batch_report import data, text
    from seatrial.builds.batch_run import children
    from seatrial.cli.build_batch_progress import showing
    from seatrial.engine.journal import Journal
    from seatrial.engine.run import begin, describe, execute, reap
    from seatrial.shipping.copying import fingerprint

    journal = Journal(paths.home())
    for cleaned, problem in reap(journal).items():
        note(
            f"could not clean up after run {cleaned}: {problem}"
            if problem
            else f"cleaned up after run {cleaned}"
        )
    if retry:
        wanted = msgspec.structs.replace(wanted, done=_done(journal, wanted))
    # The value of a secret is in this process and in the step's, and nowhere else.
    carriers = {name: f"env:SEATRIAL_BATCH_{name}" for name in wanted.secrets}
    os.environ.update({f"SEATRIAL_BATCH_{name}": values[name] for name in wanted.secrets})
    what = plan(
        wanted, found, fingerprint=wanted.commit or fingerprint(Path(wanted.directory)), carriers=carriers
    )
    run_id, continued = begin(journal, what)
    if not as_json:
        note(
            f"{'continuing' if continued else 'batch'} {run_id}: {len(found.builds)} builds, {wanted.jobs} at a time"
        )
    with showing(journal.home, run_id, [build.identifier for build in found.builds], quiet=as_json):
        execute(journal, run_id)
    result = data(describe(journal, run_id), found, children(journal, run_id))
    if as_json:
        print_json(result)
    else:
        sys.stdout.write(text(result))
    if result["batch_status"] == "STOPPED":
        raise SystemExit(130)
    if result["batch_status"] != "SUCCEEDED":
        raise SystemExit(1)


def _done(journal: Journal, wanted: Wanted) -> dict[str, str]:
    """Builds that succeeded in the last batch of the same buildspec, and their runs."""
    from seatrial.builds.batch_plan import KIND, subject

    rows = journal.rows(
        "SELECT id FROM runs WHERE kind=? AND subject=? AND ended IS NOT NULL ORDER BY created DESC LIMIT 1",
        KIND,
        subject(wanted),
    )
    if not rows:
        note("note: there is no earlier batch; all builds are run")
        return {}
    plan = journal.plan(rows[0]["id"])
    names = {
        step.name: step.action.inputs["identifier"]
        for stage in plan.stages
        for step in stage.steps
        if isinstance(step.action, Call) and "identifier" in step.action.inputs
    }
    return {
        names[step]: outputs["run"]
        for step, outputs in journal.outputs(rows[0]["id"]).items()
        if step in names and outputs["status"] == "SUCCEEDED"
    }


def _with_images(
    wanted: Wanted, found: Expansion, where: str, images: tuple[str, ...], *, platform: str, insecure: bool
) -> Wanted:
    """Bring the images here that the builds need, before anything starts."""
    named = {build.env["image"] for build in found.builds if build.env.get("image")}
    here: dict[str, str] = {}
    for text in images:
        name, equals, source = text.partition("=")
        if not (name and equals and source):
            raise UsageError(f"--image {text!r} names no image", fix="use --image NAME=FOLDER|FILE|REF")
        if name not in named:
            why = f"they name {', '.join(sorted(named))}" if named else "they name none"
            raise UsageError(f"no build of the batch names the image {name!r}", why=why)
        here[name] = source
    kind, _, source = where.partition(":")
    if where != "host" and (kind != "image" or not source):
        raise UsageError(f"--on {where!r} is no place to build", fix="use --on host or --on image:REF")

    def find(image: str) -> tuple[str, ...]:
        layout, digest = find_image(image, platform=platform, insecure=insecure)
        return str(layout.resolve()), digest

    return msgspec.structs.replace(
        wanted,
        image=find(source) if source else (),
        image_name=source,
        images={name: find(image) for name, image in sorted(here.items())},
    )


def _remarks(found: Expansion, wanted: Wanted) -> list[str]:
    """What is not as in CodeBuild, said once for all builds that it concerns."""
    instead = f"in {wanted.image_name}" if wanted.image else "on this machine, host"
    concerned: dict[str, list[str]] = {}
    for build in found.builds:
        image, kind = build.env.get("image", ""), build.env.get("type", "")
        if image and image not in wanted.images:
            concerned.setdefault(
                f"the image {image} is not here, so they run {instead} (--image {image}=FOLDER|REF)", []
            ).append(build.identifier)
        if kind.startswith(("ARM_", "WINDOWS_", "MAC_")) or kind.endswith("_GPU_CONTAINER"):
            concerned.setdefault(f"they are for {kind}, and run on this machine as it is", []).append(
                build.identifier
            )
        if build.env.get("fleet"):
            concerned.setdefault(f"the fleet {build.env['fleet']} is this machine", []).append(
                build.identifier
            )
        if build.debug_session:
            concerned.setdefault(
                "debug-session: `seatrial build shell RUN` opens a shell in what a failed build leaves", []
            ).append(build.identifier)
    return [f"{_names(names)}: {remark}" for remark, names in concerned.items()]


def _names(names: list[str]) -> str:
    return (
        ", ".join(names)
        if len(names) <= _SHOWN
        else f"{', '.join(names[:_SHOWN])} and {len(names) - _SHOWN} more"
    )


def _list(found: Expansion, wanted: Wanted, *, as_json: bool) -> None:
    rows = [
        {
            "identifier": build.identifier,
            "buildspec": build.buildspec or wanted.buildspec or DEFAULT_NAME,
            "on": "image" if wanted.images.get(build.env.get("image", ""), wanted.image) else "host",
            "depends_on": list(build.depend_on),
            "ignore_failure": build.ignore_failure,
            "env": build.env,
            "variables": sorted(build.variables),
            "shard": build.shard,
        }
        for build in found.builds
    ]
    if as_json:
        print_json({"kind": found.kind, "fast_fail": found.fast_fail, "builds": rows})
        return
    for build, row in zip(found.builds, rows, strict=True):
        after = f"  after {', '.join(build.depend_on)}" if build.depend_on else ""
        click.echo(f"{build.identifier}  {row['buildspec']}  {row['on']}{after}")
