"""The steps of a batch. They are called by the engine, each in its own process; a build's supervises a run of its own.

Nothing is built twice: a build's run is known by the batch and its identifier, so whoever continues the batch finds it.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.builds import batch, sharding
from seatrial.builds.batch_plan import Wanted
from seatrial.clock import SystemClock
from seatrial.engine import run as runs
from seatrial.errors import SeatrialError, UsageError
from seatrial.files import atomic_writer, write_atomic

if TYPE_CHECKING:
    import sqlite3

    from seatrial.builds.starting import Started
    from seatrial.engine.call import Context
    from seatrial.engine.journal import Journal

_STOP = "stop"


def expansion(root: Path, wanted: Wanted, restrictions: batch.Restrictions | None = None) -> batch.Expansion:
    """The builds that are wanted of the batch in the source `root`.

    Raises:
        UsageError: CodeBuild would refuse the buildspec, it has no batch, or the batch cannot be built.
    """
    from seatrial.builds import reading
    from seatrial.builds.model import DEFAULT_NAME

    path = wanted.buildspec or DEFAULT_NAME
    found = reading.load(root, path)
    if found.spec is None:
        first = found.refusals[0]
        raise UsageError(
            f"YAML_FILE_ERROR: {first.message}",
            where=f"{first.path}:{first.line}:{first.column}",
            why=first.cause or None,
            fix=first.fix.title if first.fix else None,
        )
    if found.spec.batch is None:
        raise UsageError(
            "the buildspec has no batch",
            where=str(root / path),
            why="there is no build-list, build-graph, build-matrix or build-fanout under `batch`",
            fix="`seatrial build run` runs a single build",
        )
    return batch.choose(batch.expand(found.spec.batch, restrictions), wanted.only)


def source(context: Context, where: str, version: str) -> dict[str, Any]:
    """Copy the source, once for all builds."""
    from seatrial.builds import sources
    from seatrial.files import remove_tree

    place = context.tree("source") / "src"
    if place.exists():  # of an attempt that was lost
        remove_tree(place)
    fetched = sources.fetch(where, place, version=version)
    return {"path": str(place), "commit": fetched.commit}


def one(
    context: Context, identifier: str, source: str, wanted: dict[str, Any], statuses: dict[str, str]
) -> dict[str, Any]:
    """Run one build to its end, unless an earlier one keeps it from starting; says how it went."""
    asked = msgspec.convert(wanted, Wanted)
    found = expansion(Path(source), asked)
    build = next(item for item in found.builds if item.identifier == identifier)
    if done := asked.done.get(identifier):
        context.say(f"{identifier} has succeeded before, as run {done}")
        return _result(context.journal, done) | {"earlier": True}
    if kept_by := batch.obstacle(build, found.builds, statuses):
        context.say(f"{identifier} is not started: {kept_by} is {statuses[kept_by]}")
        return _nothing("NOT_STARTED", f"{kept_by} is {statuses[kept_by]}")
    if _stopping(context):
        return _nothing("STOPPED", "another build has failed, and fast-fail is set")
    result = _supervise(context, identifier, _start(context, build, Path(source), asked))
    context.say(f"{identifier}: {result['status']}")
    if found.fast_fail and not build.ignore_failure and result["status"] != "SUCCEEDED":
        _stop_others(context)
    return result


def verdict(
    context: Context, wanted: dict[str, Any], source: str, statuses: dict[str, str]
) -> dict[str, Any]:
    """How the whole batch went."""
    found = expansion(Path(source), msgspec.convert(wanted, Wanted))
    status = batch.verdict(found, statuses)
    good = sum(one == "SUCCEEDED" for one in statuses.values())
    context.say(f"{status}: {good} of {len(statuses)} builds have succeeded")
    return {"status": status, "summary": f"{good} of {len(statuses)} builds have succeeded"}


def combine(context: Context, artifacts: dict[str, dict[str, str]], folder: str) -> dict[str, Any]:
    """Put the artifacts of all builds into one folder.

    Raises:
        SeatrialError: two builds have a file of the same name and not the same content.
    """
    into = Path(folder) if folder else context.journal.folder(context.run) / "artifacts"
    owners: dict[str, tuple[str, Path]] = {}
    for identifier, places in artifacts.items():
        for place in places.values():
            for name, path in _files(Path(place)):
                owner = owners.setdefault(name, (identifier, path))
                if owner[1] != path and not filecmp.cmp(owner[1], path, shallow=False):
                    raise SeatrialError(
                        f"builds {owner[0]} and {identifier} have different files {name}",
                        where=str(path),
                        fix="give them names of their own, or leave --combine out",
                    )
    for name, (_, path) in sorted(owners.items()):
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as reading, atomic_writer(target, mode=path.stat().st_mode & 0o777) as writing:
            shutil.copyfileobj(reading, writing, 1 << 20)
    context.artifact("combined", into)
    return {"folder": str(into), "files": sorted(owners), "summary": f"{len(owners)} files in {into}"}


def end_all(context: Context) -> dict[str, Any]:
    """End builds of this batch that were left without anybody in charge."""
    ended = []
    for row in _children(context.journal, context.run):
        if row["ended"] is None:
            runs.cancel(context.journal.home, row["id"])
            ended.append(row["id"])
    return {"ended": ended}


def children(journal: Journal, batch_run: str) -> dict[str, str]:
    """The runs of a batch's builds that have begun, by identifier."""
    return {row["key"].partition("/")[2]: row["id"] for row in _children(journal, batch_run)}


def key(batch_run: str, identifier: str) -> str:
    """What the run of a build is known by."""
    return f"{batch_run}/{identifier}"


def _start(context: Context, build: batch.Build, root: Path, wanted: Wanted) -> Started:
    """The plan of a build; the batch's variables go over the project's, and those of the task over both."""
    from seatrial.builds.starting import Asked, start

    image = build.env.get("image", "")
    where = wanted.images.get(image, wanted.image)
    shard = {}
    if build.shard is not None:
        shard = {sharding.SHARD: str(build.shard[0]), sharding.SHARDS: str(build.shard[1])}
    started = start(
        Asked(
            source=str(root),
            commit=wanted.commit,
            url=wanted.url,
            project=wanted.project,
            buildspec=build.buildspec or wanted.buildspec,
            variables={**wanted.variables, **context.secrets, **build.variables, **shard},
            secret=wanted.secrets,
            executor="image" if where else "host",
            image=where,
            image_name=image or wanted.image_name,
            runtime=wanted.runtime if where else "",
            credentials=wanted.credentials,
            timeout=wanted.timeout,
            artifacts_to=str(Path(wanted.artifacts_to) / build.identifier) if wanted.artifacts_to else "",
            batch=build.identifier,
        ),
        os.environ,
    )
    known = key(context.run, build.identifier)
    return msgspec.structs.replace(
        started, plan=msgspec.structs.replace(started.plan, key=known, subject=f"{wanted.source}#{known}")
    )


def _supervise(context: Context, identifier: str, started: Started) -> dict[str, Any]:
    """Run the build, or go on with the run of an attempt that was lost: what ended stands, phases that passed do, too."""
    journal = context.journal
    os.environ.update(started.environ)
    earlier = [row for row in _children(journal, context.run) if row["key"] == key(context.run, identifier)]
    if earlier and earlier[-1]["status"] in ("succeeded", "failed"):
        return _result(journal, earlier[-1]["id"])
    if earlier and earlier[-1]["ended"] is None:
        # Its processes went with the attempt; ended in order, it can go on at the phase that was cut off.
        runs.cancel(journal.home, earlier[-1]["id"])
    if earlier and _can_go_on(journal, earlier[-1]["id"]):
        run_id = earlier[-1]["id"]
        runs.reopen(journal, run_id)
    else:
        run_id, _ = runs.begin(journal, started.plan)
    context.say(f"{identifier} is run {run_id}")
    if _stopping(context):  # since a build that fails meanwhile looks for runs that have begun
        journal.request(run_id, "cancel", SystemClock().now())
    runs.execute(journal, run_id)
    return _result(journal, run_id)


def _can_go_on(journal: Journal, run_id: str) -> bool:
    """Whether the phase that was cut off had come so far that its start is written down."""
    from seatrial.builds.phases import COMMANDS

    prepared = journal.outputs(run_id).get("prepare")
    rows = {
        row["name"]: row["status"]
        for row in journal.rows("SELECT name, status FROM stages WHERE run=?", run_id)
    }
    if prepared is None or rows.get("DOWNLOAD_SOURCE") != "pass":
        return False
    names = [stage.name for stage in journal.plan(run_id).stages if stage.steps and stage.name in COMMANDS]
    cut = next((name for name in names if rows[name] != "pass"), "")
    return not cut or (Path(prepared["place"]["kept"]) / f"{cut}.json").exists()


def _result(journal: Journal, run_id: str) -> dict[str, Any]:
    from seatrial.builds import report

    data = report.build(runs.describe(journal, run_id))
    failed = next(
        (stage for stage in data["stages"] if stage["phase_status"] in ("FAILED", "TIMED_OUT")), None
    )
    contexts = failed["contexts"] if failed else []
    return {
        "status": data["build_status"],
        "run": run_id,
        "duration": data["duration"],
        "phase": failed["name"] if failed else "",
        "why": contexts[0]["message"] if contexts else "",
        "exported_variables": data["outputs"]["exported_variables"],
        "artifacts": data["outputs"]["artifacts"],
        "artifacts_at": data["outputs"]["artifacts_at"],
        "reports": data["outputs"]["reports"],
        "earlier": False,
    }


def _nothing(status: str, why: str) -> dict[str, Any]:
    return {
        "status": status,
        "run": "",
        "duration": None,
        "phase": "",
        "why": why,
        "exported_variables": {},
        "artifacts": {},
        "artifacts_at": {},
        "reports": [],
        "earlier": False,
    }


def _children(journal: Journal, batch_run: str) -> list[sqlite3.Row]:
    """The runs of builds of a batch, oldest first."""
    return journal.rows(
        "SELECT id, key, status, ended FROM runs WHERE kind='build' AND substr(key, 1, ?)=? ORDER BY created, id",
        len(batch_run) + 1,
        f"{batch_run}/",
    )


def _stop_others(context: Context) -> None:
    """Let no further build start, and stop those that run; whoever is in charge of one ends it."""
    write_atomic(context.journal.folder(context.run) / _STOP, context.step)
    for row in _children(context.journal, context.run):
        if row["ended"] is None:
            context.journal.request(row["id"], "cancel", SystemClock().now())


def _stopping(context: Context) -> bool:
    return (context.journal.folder(context.run) / _STOP).exists()


def _files(place: Path) -> list[tuple[str, Path]]:
    if place.is_file():
        return [(place.name, place)]
    return [(str(path.relative_to(place)), path) for path in sorted(place.rglob("*")) if path.is_file()]
