"""The steps of a deployment on a host: its lifecycle events. They are called by the engine, each in its own process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial import locks
from seatrial.deployments.agent import bundles, hooks, installing, records, scripts
from seatrial.deployments.agent.diagnostics import UNKNOWN, Diagnostics, Failed, unknown
from seatrial.deployments.agent.order import EVENTS, Order, possible
from seatrial.deployments.agent.records import Places
from seatrial.errors import SeatrialError
from seatrial.files import write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from seatrial.deployments.appspec.model import Server
    from seatrial.engine.call import Context


def event(
    context: Context, order: dict[str, Any], name: str, step: str, given: dict[str, str]
) -> dict[str, Any]:
    """Go through one lifecycle event. What came of it is in the run's folder, whatever it was.

    `given` are the BUNDLE_… variables that DownloadBundle has put out, empty before it.
    """
    wanted = msgspec.convert(order, Order)
    places = Places(wanted)
    try:
        os.chdir(wanted.cwd)
        places.make()
        lock = locks.wait_lock(places.event_lock)
        try:
            outputs = _event(wanted, places, name, given, context)
        finally:
            records.end(places)
            locks.release(lock)
    except Failed as error:
        _keep(context, step, error.diagnostics)
        context.say(error.diagnostics.log + str(error))
        raise
    except OSError as error:
        failed = bundles.unreadable(places.here, error)
        _keep(context, step, failed.diagnostics)
        context.say(str(failed))
        raise failed from error
    except SeatrialError as error:
        # Whatever is no script's: fetching from S3 or git, a lock, a tool that is missing.
        _keep(context, step, Diagnostics(UNKNOWN, "", error.what, "", error.why or "", error.fix or ""))
        raise
    _keep(context, step, Diagnostics(log=outputs.pop("log", "")))
    return outputs


def _event(
    order: Order, places: Places, name: str, given: dict[str, str], context: Context
) -> dict[str, Any]:
    for deployment, lost in records.unfinished(places, order.group):
        # Nobody else is at work on this group: whatever is there of that event has lost its agent.
        scripts.end_left({hooks.MARK: lost})
        places.ongoing.with_name(deployment).unlink(missing_ok=True)
    mark = records.begin(places, order.group, name)
    context.reach(f"agent/{name}")
    if name == "DownloadBundle":
        records.retire(places, order.archives)
        found = bundles.fetch(order, places)
        records.point(places.recent, places.here)
        return {"given": found, "log": ""}
    if name == "Install":
        spec = _to_install(order, places)
        done = installing.install(order, places, spec)
        records.point(places.last, places.here)
        return {"instructions": len(done), "log": ""}
    revision = hooks.revision_of(order, places, name)
    if revision is None:
        return {"scripts": 0, "log": ""}
    spec = _of_hooks(order, revision)
    log = hooks.run(order, places, name, spec, revision, {**given, hooks.MARK: mark})
    if log:
        context.say(log.removesuffix("\n"))
    return {"scripts": len(spec.hooks.get(name, ())), "log": log}


def _of_hooks(order: Order, revision: Path) -> Server:
    """The appspec whose scripts are run."""
    archive = revision / "deployment-archive"
    place = archive / order.appspec_name
    if not place.exists():
        raise unknown(
            "The CodeDeploy agent did not find an AppSpec file within the unpacked revision directory at "
            f'revision-relative path "{order.appspec_name}". The revision was unpacked to directory "{archive}", and '
            f'the AppSpec file was expected but not found at path "{place}". Consult the AWS CodeDeploy Appspec '
            "documentation for more information at "
            "http://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file.html",
            fix="name it appspec.yml and put it at the top of the bundle, or say --appspec-filename",
        )
    return _read(place, archive)


def _to_install(order: Order, places: Places) -> Server:
    """The appspec whose files are installed: here `appspec.yaml` will do as well."""
    names = (order.appspec_name, "appspec.yaml", "appspec.yml")
    place = next((places.archive / name for name in names if (places.archive / name).exists()), None)
    if place is None:
        raise unknown(f"No such file or directory @ rb_sysopen - {places.archive / 'appspec.yml'}")
    spec = _read(place, places.archive)
    allowed = possible(order)
    strange = [name for name in spec.hooks if name not in allowed]
    if strange:
        shown = ", ".join(f'"{name}"' for name in strange)
        raise unknown(f"{place.name} file contains unknown lifecycle events: [{shown}]")
    missing = [name for name in allowed if name not in EVENTS and name not in spec.hooks]
    if missing:
        raise unknown(
            "You specified a lifecycle event which is not a default one and doesn't exist in your "
            f"{place.name} file: {','.join(missing)}"
        )
    return spec


def _read(place: Path, archive: Path) -> Server:
    from seatrial.deployments.appspec.model import Server
    from seatrial.deployments.appspec.reading import read
    from seatrial.sources.text import read as read_text

    if not os.path.realpath(place).startswith(os.path.realpath(archive) + "/"):
        raise unknown(
            f"The appspec {place} leads out of the revision", fix="put the file itself into the bundle"
        )
    reading = read(read_text(place), "server")
    if not isinstance(reading.spec, Server):
        first = reading.refusals[0]
        raise unknown(first.message, why=f"{first.path}:{first.line}:{first.column}: {first.cause}")
    return reading.spec


def _keep(context: Context, step: str, diagnostics: Diagnostics) -> None:
    shown = {name: _printable(value) for name, value in msgspec.structs.asdict(diagnostics).items()}
    folder = context.work / "diagnostics"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomic(folder / f"{step}.json", msgspec.json.encode(shown), mode=0o600)


def _printable(value: Any) -> Any:
    """Names of files need not be text."""
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
