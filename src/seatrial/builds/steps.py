"""The steps of a build: what the phases of CodeBuild do here. They are called by the engine, each in its own process."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.builds import environment, executors, phases, shell, state, worker
from seatrial.builds.log import Log
from seatrial.builds.model import Buildspec
from seatrial.builds.phases import Context as Reason
from seatrial.builds.phases import Work
from seatrial.builds.setup import Place, Wanted
from seatrial.clock import SystemClock
from seatrial.engine.call import Told
from seatrial.errors import SeatrialError
from seatrial.files import remove_tree, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.engine.call import Context


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
    log = Log()
    log.say(f"Running on this machine, {build.executor}")
    log.say("Waiting for agent ping")
    executor = executors.module(build.executor)
    base = context.work / "build"
    output = base / "output"
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


def download(
    context: Context, wanted: dict[str, Any], place: dict[str, Any], container: str
) -> dict[str, Any]:
    """Fetch the sources and make the environment of the commands."""
    build, there = msgspec.convert(wanted, Wanted), msgspec.convert(place, Place)
    with _phase(context, "DOWNLOAD_SOURCE", there) as log:
        log.say("Waiting for DOWNLOAD_SOURCE")
        identity = _fetch(build, there)
        log.say("Phase is DOWNLOAD_SOURCE")
        log.say(f"CODEBUILD_SRC_DIR={there.inside_sources}")
        at = (
            "/codebuild/readonly/buildspec.yml"
            if build.inline
            else f"{there.inside_sources}/{build.spec_path}"
        )
        log.say(f"YAML location is {at}")
        log.say("Processing environment variables")
        _environment(build, there, identity)
        if not build.runtimes:
            log.say("No runtime version selected in buildspec.")
        log.say(f"Moving to directory {there.inside_sources}")
        log.say(f"Phases found in YAML: {len(build.phases)}")
        for line in build.phases:
            log.say(f" {line}")
    return {"commit": identity.resolved_version}


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
        _restore(build, there, what.name)
    log = Log(state.hidden(there).values())
    for name in before:
        _pass(log, name)
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
        _end(log, what.name, Reason(phases.TIMED_OUT, "Build has timed out. "), "TIMED_OUT")
        # Nothing but the end follows a build whose time is over.
        context.journal.request(context.run, "cancel", SystemClock().now())
        raise Told(f"{phases.TIMED_OUT}: Build has timed out. ") from None
    except worker.Gone as gone:
        failure = Reason("CLIENT_ERROR", f"The build container is gone: {gone.why}")
        _end(log, what.name, failure)
    except KeyboardInterrupt:
        _end(log, what.name, None, "STOPPED")
        raise
    finally:
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
    log = Log(state.hidden(there).values())
    clean = succeeding(context)
    if clean:
        for name in before:
            _pass(log, name)
    out: dict[str, Any] = {"exported_variables": {}, "workspace": None}
    if state.has_begun(there):
        found = environment.exported(spec_of(build), state.variables(there), secret=state.hidden(there))
        for name, why in found.left_out.items():
            log.say(f"Exported variable {name} is left out: {why}")
        out["exported_variables"] = {name: log.text(value) for name, value in found.variables.items()}
        state.keep(there, state.END)
    if clean:
        remove_tree(Path(there.output).parent)
    elif Path(there.sources).exists():
        out["workspace"] = there.sources
    log.end()
    return out


def succeeding(context: Context) -> bool:
    """Whether no phase has failed and nobody has asked to stop."""
    rows = context.journal.rows("SELECT status FROM stages WHERE run=?", context.run)
    return not context.journal.run(context.run)["request"] and all(row["status"] != "fail" for row in rows)


def spec_of(build: Wanted) -> Buildspec:
    """As much of the buildspec as the environment depends on."""
    return Buildspec(path=build.spec_path, version=build.version, env=build.env)


@contextmanager
def _phase(context: Context, name: str, place: Place) -> Iterator[Log]:
    """The log of a phase that does not run commands; how it ends is written there."""
    log = Log(state.hidden(place).values())
    try:
        yield log
    except SeatrialError as error:
        # What CodeBuild would say has a code and a message of its own.
        code, message = getattr(error, "code", "CLIENT_ERROR"), getattr(error, "message", str(error))
        reason = Reason(code, log.text(message))
        _end(log, name, reason)
        raise Told(str(reason)) from None
    _pass(log, name, entered=True)


def _pass(log: Log, name: str, *, entered: bool = False) -> None:
    if not entered:
        log.say(f"Entering phase {name}")
    _end(log, name, None)


def _end(log: Log, name: str, reason: Reason | None, status: str = "") -> None:
    for line in phases.completion(name, reason, status):
        log.say(line)
    log.end()


def _fetch(build: Wanted, place: Place) -> environment.Identity:
    """Bring the sources into the workspace; what an earlier attempt brought is replaced."""
    import shutil

    into = Path(place.sources)
    remove_tree(into.parent)
    into.parent.mkdir(mode=0o755, parents=True)
    shutil.copytree(build.source, into, symlinks=True)
    return build.identity


def _environment(build: Wanted, place: Place, identity: environment.Identity) -> None:
    """What the first command finds: variables, and the sources' folder."""
    executor = executors.module(build.executor)
    values = environment.variables(
        spec_of(build),
        identity,
        project={},
        start={**build.variables, **state.hidden(place)},
        source_dirs={"": Path(place.inside_sources)},
        base=executor.base(build),
        home=executor.home(),
    )
    state.begin(place, values, place.inside_sources)


def _restore(build: Wanted, place: Place, name: str) -> None:
    """Go on in a new container where the phase began before; secrets are asked for again."""
    values, folder = state.kept(place, name)
    state.begin(place, {**values, **state.hidden(place)}, folder)
