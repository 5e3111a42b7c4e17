"""From what somebody asks for to the plan of a build: find the buildspec, read it, and split off what is secret."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from seatrial.builds import environment, executors, phases, plan, setup
from seatrial.builds.model import DEFAULT_NAME, PHASES, Buildspec
from seatrial.builds.setup import BREAKPOINT, HOUR, Wanted
from seatrial.findings import Finding  # noqa: TC001 - msgspec reads it
from seatrial.sources.text import Source, finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from seatrial.builds.reading import Reading
    from seatrial.engine.plan import Plan

INLINE = "/codebuild/readonly/buildspec.yml"
"""Where CodeBuild has a buildspec that is given as text."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller wants. Only `source` must be there.

    `source` is what is built: a folder, a git URL, a zip file or an s3:// address; `folder` is where its files can be
    read before the build (the same for a folder). `buildspec` is a path in it or a text. `variables` are those of the
    start; `commit` and `url` are those of a source that was fetched before; secrets among them are known by their names, or listed in `secret`. `timeout` and `queued_timeout` are in
    seconds, `concurrent` is how many builds may run at a time (0: any number).
    """

    source: str
    folder: Path | None = None
    source_version: str = ""
    secondary: dict[str, tuple[str, str]] = {}
    project: str = ""
    buildspec: str = ""
    variables: dict[str, str] = {}
    commit: str = ""
    url: str = ""
    secret: tuple[str, ...] = ()
    executor: Literal["host", "image"] = "host"
    image: tuple[str, ...] = ()
    image_name: str = ""
    runtime: str = ""
    credentials: bool = False
    timeout: float = HOUR
    queued_timeout: float = 8 * HOUR
    concurrent: int = 0
    from_phase: str = ""
    artifacts_to: str = ""
    packaging: Literal["NONE", "ZIP"] = "NONE"
    reports_to: str = ""
    cache_at: str = ""
    breakpoints: bool = False
    check: bool = True
    batch: str = ""
    refusal: plan.Refusal | None = None


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A build that can be begun: `environ` must be in the environment of whoever executes the plan."""

    plan: Plan
    spec: Buildspec | None
    findings: tuple[Finding, ...]
    environ: dict[str, str]


def start(asked: Asked, caller: Mapping[str, str]) -> Started:
    """Read the buildspec and make the plan. `caller` is the environment of whoever asks.

    Raises:
        UsageError: a variable's name cannot be one, or the project's name.
        SourceError: the buildspec cannot be read, or is not UTF-8.
    """
    environment.check(asked.variables)
    folder = asked.folder or Path(asked.source)
    reading, path, inline, source = _read(asked, folder)
    spec = reading.spec
    identity = environment.identify(
        asked.project or environment.project_name(folder),
        caller,
        image=asked.image_name or asked.executor,
        source_version=asked.source_version,
        batch=asked.batch,
        resolved_version=asked.commit,
        source_url=asked.url,
    )
    hidden = {*asked.secret, *filter(setup.looks_secret, asked.variables)}
    found = (*_findings(reading, source), *_here(asked, spec))
    refusal = asked.refusal or _refusal(asked, reading, found)
    wanted = Wanted(
        identity=identity,
        source=str(Path(asked.source).resolve()) if Path(asked.source).exists() else asked.source,
        source_version=asked.source_version,
        secondary=asked.secondary,
        spec_path=path,
        inline=inline,
        variables={name: value for name, value in asked.variables.items() if name not in hidden},
        secrets=tuple(sorted(hidden)),
        executor=asked.executor,
        image=asked.image,
        runtime=asked.runtime,
        credentials=asked.credentials,
        timeout=asked.timeout,
        artifacts_to=asked.artifacts_to,
        packaging=asked.packaging,
        reports_to=asked.reports_to,
        cache_at=asked.cache_at,
    )
    work: tuple[phases.Work, ...] = ()
    if spec is not None:
        wanted, work = _with_spec(asked, wanted, spec)
    what = plan.build(
        wanted,
        work,
        subject=asked.url or str(folder.resolve()),
        secrets={name: f"env:{_carrier(name)}" for name in hidden},
        refusal=refusal,
        concurrent=asked.concurrent,
        queued_timeout=asked.queued_timeout,
        from_phase=asked.from_phase.upper(),
    )
    carried = {_carrier(name): asked.variables[name] for name in hidden}
    return Started(plan=what, spec=spec, findings=found, environ=carried)


def _carrier(name: str) -> str:
    """The variable by which a secret reaches the step that needs it: the build's PATH is not this process's."""
    return f"SEATRIAL_BUILD_{name}"


def _read(asked: Asked, folder: Path) -> tuple[Reading, str, str, Source | None]:
    """What the buildspec says, its path in the source or else its text, and how it was written."""
    from seatrial.builds import absent, reading
    from seatrial.sources import text

    given = asked.buildspec
    if "\n" in given.strip() or given.lstrip().startswith(("version:", "{")):
        source = Source(INLINE, given)
        return reading.read(source), "", given, source
    if given and Path(given).is_absolute() and Path(given).is_file():
        # CodeBuild takes paths in the source only; one from elsewhere is a text for it.
        source = text.read(Path(given))
        return reading.read(source), "", source.text, source
    path = given or DEFAULT_NAME
    if not absent.is_inside(path) or not (folder / path).is_file():
        return reading.load(folder, path), path, "", None
    source = text.read(folder / path, path)
    return reading.read(source), path, "", source


def _with_spec(asked: Asked, wanted: Wanted, spec: Buildspec) -> tuple[Wanted, tuple[phases.Work, ...]]:
    work = tuple(
        phases.work(name.upper(), spec.phases[name], spec.run_as) for name in PHASES if name in spec.phases
    )
    hidden = tuple(name for name in spec.env.variables if setup.looks_secret(name))
    # A value that is secret by its name is read from the source again: the plan is written down.
    shown = {name: value for name, value in spec.env.variables.items() if name not in hidden}
    install = spec.phases.get("install")
    # A primary without files beside secondary artifacts is only what holds them.
    primary = (
        spec.artifacts if spec.artifacts and (spec.artifacts.files or not spec.secondary_artifacts) else None
    )
    artifacts = tuple(filter(None, (primary, *spec.secondary_artifacts)))
    wanted = msgspec.structs.replace(
        wanted,
        version=spec.version,
        env=msgspec.structs.replace(spec.env, variables=shown),
        hidden=hidden,
        shared=any(item.run_as not in ("", "root") for item in work),
        install=msgspec.structs.replace(install, commands=(), finally_=()) if install else None,
        phases=tuple(
            f"{item.name}: {len(item.commands)} commands"
            + (f", {len(item.finally_)} finally" if item.finally_ else "")
            for item in work
        ),
        breakpoints="" if not _stops(work) else "stop" if asked.breakpoints else "ignored",
        artifacts=artifacts,
        reports=spec.reports,
        cache=spec.cache,
    )
    return wanted, work


def _stops(work: tuple[phases.Work, ...]) -> bool:
    """Whether a command may stop at a breakpoint."""
    return any(BREAKPOINT in command for item in work for command in (*item.commands, *item.finally_))


def _here(asked: Asked, spec: Buildspec | None) -> tuple[Finding, ...]:
    """What this place to run cannot do that the buildspec asks for."""
    if spec is None:
        return ()
    return tuple(
        finding(
            "buildspec/run-as-here",
            "error",
            phase.place,
            f"run-as {user} cannot hold here: only root can run commands as somebody else",
            cause="the build runs on this machine as an ordinary user"
            if asked.executor == "host"
            else "this user has no range of ids (/etc/subuid) for the users of an image",
        )
        for phase in spec.phases.values()
        if phase.commands or phase.finally_
        for user in [phase.run_as or spec.run_as]
        if user not in ("", "root") and not executors.can_become(asked.executor, user)
    )


def _findings(reading: Reading, source: Source | None) -> tuple[Finding, ...]:
    if source is None:
        return reading.refusals
    from seatrial.builds import rules

    return tuple(rules.check(source, reading))


def _refusal(asked: Asked, reading: Reading, found: Iterable[Finding]) -> plan.Refusal | None:
    """Why the build would fail whatever happens: what CodeBuild does not read, or what can only end it later."""
    if reading.spec is None:
        return plan.Refusal("DOWNLOAD_SOURCE", "YAML_FILE_ERROR", (reading.refusals[0].message,))
    certain = tuple(
        f"{one.path}:{one.line}:{one.column}: {one.message}" for one in found if one.severity == "error"
    )
    if asked.check and certain:
        return plan.Refusal("SUBMITTED", "INVALID_INPUT", certain)
    return None
