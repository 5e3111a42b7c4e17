"""The steps of a build: what the phases of CodeBuild do here. They are called by the engine, each in its own process."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.builds import environment, executors, phases, shell, state, worker
from seatrial.builds.downloading import restore
from seatrial.builds.log import Log, ended, passed
from seatrial.builds.phases import Context as Reason
from seatrial.builds.phases import Work
from seatrial.builds.setup import Place, Wanted, spec_of
from seatrial.clock import SystemClock
from seatrial.engine.call import Told
from seatrial.files import remove_tree, write_atomic

if TYPE_CHECKING:
    from seatrial.engine.call import Context


_KEPT = 5
"""Builds of one folder that keep their workspaces."""
_SHARED = Path("/var/tmp")  # noqa: S108 - a folder of the run's own in it

for _kind in (Wanted, Place, Work):
    # Every step is forked from a process that has imported this: what msgspec finds out here, none of them has to.
    msgspec.json.Decoder(_kind)


def refuse(context: Context, phase: str, code: str, messages: list[str]) -> None:  # noqa: ARG001 - the engine's
    """Fail a phase for a reason that was known before the build."""
    reason = Reason(code, "\n".join(messages))
    log = Log()
    for line in phases.completion(phase, reason):
        log.say(line)
    raise Told(str(reason))


def queue(context: Context, place: int, seconds: float) -> None:
    """Wait until fewer than `place` builds run, at most `seconds`."""
    from seatrial import locks

    folder = context.journal.home / "slots" / "build"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    deadline = time.monotonic() + seconds
    while all(locks.is_locked(folder / str(number)) for number in range(place)):
        if time.monotonic() >= deadline:
            refuse(context, "QUEUED", "QUEUED_TIMED_OUT", ["Build has been queued for too long"])
        time.sleep(0.05)


def prepare(context: Context, wanted: dict[str, Any]) -> dict[str, Any]:
    """Make the build's folders, and say how its container is started."""
    build = msgspec.convert(wanted, Wanted)
    _tidy(context)
    log = Log()
    log.say(f"Running on this machine, {build.executor}")
    log.say("Waiting for agent ping")
    executor = executors.module(build.executor)
    base = context.work / "build"
    output = base / "output"
    if build.shared and build.executor == "host":
        # The run's folder is its owner's alone; whom the buildspec names in `run-as` must get to the sources.
        output = _SHARED / f"seatrial-{context.run}" / "output"
    state.own_workspace(context, {base, output.parent})
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    output.mkdir(mode=0o755, parents=True, exist_ok=True)
    here = state.make(context)
    state.hide(str(here), context.secrets)
    inside_output, inside_state = executor.seen(output, here)
    worker.lay_out(here, inside_state, shared=build.shared, unset=executor.unset())
    number = int(build.identity.uuid.replace("-", "")[:8], 16) % 10**9
    place = Place(
        output=str(output),
        state=str(here),
        kept=str(base / "kept"),
        inside_output=inside_output,
        inside_state=inside_state,
        source=f"src{number:09d}",
        deadline=SystemClock().now() + build.timeout,
    )
    return {"argv": executor.argv(build, output, here), "place": msgspec.to_builtins(place)}


def phase(
    context: Context,
    wanted: dict[str, Any],
    place: dict[str, Any],
    container: str,
    work: dict[str, Any],
    before: list[str],
) -> None:
    """Run the commands of one phase. `before` are phases without commands, which end at once."""
    build, there = msgspec.convert(wanted, Wanted), msgspec.convert(place, Place)
    what = msgspec.convert(work, Work)
    if not state.has_begun(there):
        restore(build, there, what.name)
    log = Log(state.masked(there))
    for name in before:
        passed(log, name)
    state.keep(there, what.name)
    program = "bash" if build.env.shell == "bash" else "/bin/sh"
    inside = worker.Container(Path(there.state), Path(container), log.show)

    def run(command: str, user: str) -> int:
        text = shell.script(command, there.inside_state, keep=build.version != "0.1")
        write_atomic(Path(there.state) / shell.SCRIPT, text.encode(errors="surrogateescape"), mode=0o600)
        return inside.run(program, user=user if user != "root" else "", deadline=there.deadline)

    def mark(succeeding: bool) -> None:
        state.assign(there, environment.SUCCEEDING, "1" if succeeding else "0")

    failure: Reason | None = None
    try:
        failure = phases.run(what, phases.Does(run, log.say, mark))
    except worker.Late:
        ended(log, what.name, Reason(phases.TIMED_OUT, "Build has timed out. "), "TIMED_OUT")
        # Nothing but the end follows a build whose time is over. Whoever hears of it stops this step as well.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        context.journal.request(context.run, "cancel", SystemClock().now())
        raise Told(f"{phases.TIMED_OUT}: Build has timed out. ") from None
    except worker.Gone as gone:
        failure = Reason("CLIENT_ERROR", f"The build container is gone: {gone.why}")
        ended(log, what.name, failure)
    except KeyboardInterrupt:
        ended(log, what.name, None, "STOPPED")
        raise
    finally:
        inside.close()
        log.end()
    if failure is not None:
        raise Told(log.text(str(failure)))


def finalize(context: Context, wanted: dict[str, Any], before: list[str]) -> dict[str, Any]:
    """Say what comes out of the build, and keep of it what a look at a failure needs."""
    build = msgspec.convert(wanted, Wanted)
    prepared = context.journal.outputs(context.run).get("prepare")
    if prepared is None:  # there never was a place
        return {}
    there = msgspec.convert(prepared["place"], Place)
    log = Log(state.masked(there))
    clean = state.succeeding(context.journal, context.run)
    if clean:
        for name in before:
            passed(log, name)
    out: dict[str, Any] = {"exported_variables": {}, "workspace": None}
    if state.has_begun(there):
        found = environment.exported(spec_of(build), state.variables(there), secret=state.hidden(there))
        for name, why in found.left_out.items():
            log.say(f"Exported variable {name} is left out: {why}")
        out["exported_variables"] = {name: log.text(value) for name, value in found.variables.items()}
        state.keep(there, state.END)
    if not clean and Path(there.sources).exists():
        out["workspace"] = there.sources
    log.end()
    return out


def _tidy(context: Context) -> None:
    """Of the builds of one folder that did not succeed, the latest keep their workspaces."""
    row = context.journal.run(context.run)
    folder = row["subject"].rpartition("#")[0]
    earlier = context.journal.rows(
        "SELECT id FROM runs WHERE kind='build' AND ended IS NOT NULL AND substr(subject, 1, ?)=?"
        " ORDER BY created DESC LIMIT 100 OFFSET ?",
        len(folder) + 1,
        f"{folder}#",
        _KEPT,
    )
    for old in earlier:
        remove_tree(context.journal.folder(old["id"]) / "work" / "build")
        remove_tree(_SHARED / f"seatrial-{old['id']}")
