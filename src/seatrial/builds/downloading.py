"""DOWNLOAD_SOURCE: the sources, the values from AWS, the runtimes, and out of them what the first command finds."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from seatrial.builds import caching, environment, executors, sharding, shell, state, worker
from seatrial.builds.log import Log, phase
from seatrial.builds.setup import BREAKPOINT, GO_ON, Place, Wanted, looks_secret, spec_of
from seatrial.builds.view import View
from seatrial.files import remove_tree, write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable

    from seatrial.engine.call import Context


def download(
    context: Context, wanted: dict[str, Any], place: dict[str, Any], container: str
) -> dict[str, Any]:
    """Fetch the sources and make the environment of the commands."""
    build, there = msgspec.convert(wanted, Wanted), msgspec.convert(place, Place)
    with phase("DOWNLOAD_SOURCE", state.masked(there)) as log:
        log.say("Waiting for DOWNLOAD_SOURCE")
        identity, folders = _fetch(build, there)
        log.say("Phase is DOWNLOAD_SOURCE")
        log.say(f"CODEBUILD_SRC_DIR={there.inside_sources}")
        at = (
            f"{there.inside_sources}/{build.spec_path}"
            if build.spec_path
            else "/codebuild/readonly/buildspec.yml"
        )
        log.say(f"YAML location is {at}")
        log.say("Processing environment variables")
        given = {**build.variables, **state.hidden(there)}
        resolved = _resolve(build, there, given)
        executor = executors.module(build.executor)
        values = environment.variables(
            spec_of(build),
            identity,
            project={},
            start=given,
            source_dirs=folders,
            base=executor.base(build),
            resolved=resolved,
            home=executor.home(),
        )
        values = sharding.provide(Path(there.output), there.inside_output, values)
        if build.breakpoints:
            values["PATH"] = f"{_breakpoints(build, there, context.run)}:{values['PATH']}"
        state.begin(there, values, there.inside_sources)
        _select(build, there, container, log)
        log.say(f"Moving to directory {there.inside_sources}")
        restored = cached(caching.restore, build, there, container, log)
        log.say(f"Phases found in YAML: {len(build.phases)}")
        for line in build.phases:
            log.say(f" {line}")
    return {"commit": identity.resolved_version, "cache": {"restored": restored}}


def save(context: Context, wanted: dict[str, Any], place: dict[str, Any], container: str) -> dict[str, Any]:  # noqa: ARG001 - the engine's
    """Keep what the next build starts with."""
    build, there = msgspec.convert(wanted, Wanted), msgspec.convert(place, Place)
    log = Log(state.masked(there))
    saved = cached(caching.save, build, there, container, log)
    log.end()
    return {"saved": saved}


def cached(
    work: Callable[..., caching.Outcome], build: Wanted, place: Place, container: str, log: Log
) -> str:
    """Restore or save the cache, which never fails a build; returns what came of it in a line."""
    if build.cache_at == "none":
        return "no cache"
    store: caching.Local | caching.S3
    if build.cache_at.startswith("s3://"):
        store = caching.S3(
            location=build.cache_at.removeprefix("s3://"),
            project=build.identity.project,
            region=build.identity.region,
        )
    else:
        store = caching.Local(build.identity.project)
    outcome = work(  # noqa: S604 - `shell` is the build's own
        build.cache,
        store,
        Path(place.sources),
        state.variables(place),
        # On the host, too: restoring replaces what is there, and /root/.m2 is somebody's own.
        view=View({place.inside_output: Path(place.output)}),
        seen=place.inside_sources,
        shell=lambda text: expanded(place, container, text),
    )
    for line in outcome.log:
        log.say(line)
    if build.cache is not None and build.cache.paths:
        log.say(outcome.summary)
    return log.text(outcome.summary)


def view(build: Wanted, place: Place) -> View:
    """What the build sees of this machine."""
    return View({"/": Path("/")} if build.executor == "host" else {place.inside_output: Path(place.output)})


def expanded(place: Place, container: str, text: str) -> str:
    """What the build's shell makes of a text with variables and commands in it."""
    quoted = text.replace('"', '\\"')
    return output(place, container, f'printf %s "{quoted}"')


def restore(build: Wanted, place: Place, name: str) -> None:
    """Go on in a new container where the phase `name` began before; secret values are asked for again."""
    values, folder = state.kept(place, name)
    resolved = _resolve(build, place, {**build.variables, **state.hidden(place)})
    state.begin(place, {**values, **resolved, **state.hidden(place)}, folder)


def _fetch(build: Wanted, place: Place) -> tuple[environment.Identity, dict[str, Path]]:
    """Bring the sources into the workspace; what an earlier attempt brought is replaced."""
    from seatrial.builds import sources

    top = Path(place.sources).parent
    remove_tree(top)
    top.mkdir(mode=0o755, parents=True)
    got = sources.fetch(build.source, Path(place.sources))
    Path(place.sources).chmod(0o755)
    others = {name: sources.Wanted(*where) for name, where in build.secondary.items()}
    more = sources.fetch_secondary(others, top / "secondary") if others else {}
    folders = {"": Path(place.inside_sources)}
    folders |= {name: Path(f"{place.inside_output}/{place.source}/secondary/{name}") for name in more}
    identity = msgspec.structs.replace(
        build.identity,
        resolved_version=build.identity.resolved_version or got.commit,
        source_url=build.identity.source_url or got.url,
        versions={name: fetched.commit for name, (_, fetched) in more.items()},
        urls={name: fetched.url for name, (_, fetched) in more.items()},
    )
    return identity, folders


def _resolve(build: Wanted, place: Place, given: dict[str, str]) -> dict[str, str]:
    """Values that are in no plan: from AWS, and those of the buildspec that are secret by their names."""
    values: dict[str, str] = {}
    if build.hidden:
        values |= {name: text for name, text in _written(build, place).items() if name in build.hidden}
    if build.env.parameter_store or build.env.secrets_manager:
        from seatrial.builds import parameters

        values |= parameters.resolve(spec_of(build), parameters.session(build.identity.region), given=given)
        state.hide(place, {}, masked=parameters.maskable(values.values()))
    if build.credentials:
        names = [name for name in environment.CREDENTIALS if looks_secret(name) and os.environ.get(name)]
        values |= {name: os.environ[name] for name in names}
    state.hide(place, {name: value for name, value in values.items() if name not in given})
    return values


def _written(build: Wanted, place: Place) -> dict[str, str]:
    """The variables as the buildspec has them."""
    from seatrial.builds import reading
    from seatrial.sources.text import Source

    found = (
        reading.load(Path(place.sources), build.spec_path)
        if build.spec_path
        else reading.read(Source("buildspec", build.inline))
    )
    return {} if found.spec is None else {name: text.value for name, text in found.spec.env.variables.items()}


def _breakpoints(build: Wanted, place: Place, run: str) -> str:
    """Make the commands that stop a build and let it go on; returns their folder as the container sees it."""
    folder = Path(place.output) / "bin"
    folder.mkdir(mode=0o755, exist_ok=True)
    mark = shlex.quote(f"{place.inside_state}/stopped")
    stop = (
        f": > {mark}\n"
        f"echo 'The build waits here. `seatrial build shell {run}` opens a shell in it, {GO_ON} there lets it go on.'\n"
        f"while [ -e {mark} ]; do sleep 0.1 2>/dev/null || sleep 1; done\n"
    )
    if build.breakpoints == "ignored":
        stop = f"echo '{BREAKPOINT} is ignored: no terminal is there, and --breakpoint was not given'\n"
    write_atomic(folder / BREAKPOINT, f"#!/bin/sh\n{stop}", mode=0o755)
    write_atomic(folder / GO_ON, f"#!/bin/sh\nrm -f {mark}\n", mode=0o755)
    return f"{place.inside_output}/bin"


def _select(build: Wanted, place: Place, container: str, log: Log) -> None:
    """Put the runtimes that the buildspec selects first in PATH."""
    from seatrial.builds import runtimes

    wanted = build.install.runtime_versions if build.install else {}
    image = build.identity.image if build.executor == "image" else ""
    spec = spec_of(build)
    if not wanted or (image and not runtimes.supports(image)):
        chosen = runtimes.select(spec, {}, image=image)
    else:
        there = runtimes.found(lambda text: output(place, container, text), wanted)
        chosen = runtimes.select(spec, there.versions, image=image, installed=there.installed)
    for line in (*chosen.log, *chosen.notes):
        log.say(line)
    if chosen.path or chosen.variables:
        state.begin(place, runtimes.folders(chosen, state.variables(place)), place.inside_sources)


def output(place: Place, container: str, text: str, *, deadline: float | None = None) -> str:
    """What `text` prints when sh runs it in the build's container, with its variables and in its folder.

    Raises:
        Gone: the container ended.
        Late: the build's time is over.
    """
    said: list[bytes] = []
    inside = worker.Container(Path(place.state), Path(container), said.append)
    try:
        inside.drain()
        said.clear()
        script = shell.script(text, place.inside_state, keep=False)
        write_atomic(Path(place.state) / shell.SCRIPT, script.encode(errors="surrogateescape"), mode=0o600)
        inside.run("/bin/sh", deadline=place.deadline if deadline is None else deadline)
    finally:
        inside.close()
    return b"".join(said).decode(errors="replace")
