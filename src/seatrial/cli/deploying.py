"""What the commands that deploy services have in common."""

from __future__ import annotations

import sys
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from seatrial.cli.common import note, print_json
from seatrial.cli.failure import explained, show_explained
from seatrial.errors import ANSWER_IS_NO, DONE, INTERRUPTED, SeatrialError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.config import Config, Service
    from seatrial.engine.journal import Journal
    from seatrial.services.model import Revision
    from seatrial.services.records import ServiceDeployment
    from seatrial.services.starting import Piece

_EVERY = 0.25


class Asked(NamedTuple):
    """What the command line says of a deployment of services."""

    names: tuple[str, ...]
    images: tuple[str, ...]
    identifier: str
    insecure: bool
    strategy: str
    bake: float | None
    test: float | None
    driver: str | None
    no_analysis: bool
    detach: bool
    description: str
    settings: dict[str, str]
    explain_config: bool


def deploy(source: str, asked: Asked, *, as_json: bool) -> int:
    """Deploy the services of a folder, and return the exit code.

    Raises:
        UsageError: the folder has no such services, or the options do not fit together.
        MissingToolError: the load balancer is not installed.
    """
    from seatrial import config, paths
    from seatrial.cli.settings import print_settings
    from seatrial.config import Flag
    from seatrial.engine.journal import Journal
    from seatrial.services import starting

    directory = Path(source).resolve()
    flags: dict[str, Any] = dict(asked.settings)
    if asked.explain_config:
        print_settings(directory, flags, as_json=as_json)
        return DONE
    if asked.driver:
        flags["services.*.deploy.driver"] = Flag("--driver", asked.driver)
    settings = config.load(directory, flags=flags)
    chosen = _chosen(directory, settings, asked.names)
    journal = Journal(paths.home())
    _clean_up(journal)
    pieces = _pieces(journal.home, directory, chosen, asked)
    wanted = starting.Wanted(
        pieces=pieces,
        strategy=asked.strategy,
        bake=asked.bake,
        test=asked.test,
        description=asked.description,
    )
    deployment, continued = starting.start(journal, wanted)
    if asked.detach:
        return _detached(journal, deployment, as_json=as_json)
    return carry_out(journal, deployment, continued=continued, as_json=as_json)


def carry_out(
    journal: Journal, deployment: ServiceDeployment, *, continued: bool = False, as_json: bool
) -> int:
    """Do what a deployment takes, show how it goes, and return the exit code that says how it went."""
    from seatrial.services import records, shown, starting

    if not as_json:
        for part in deployment.parts:
            note(
                f"{part.service} on {part.url}"
                + (f", new version alone on {part.test_url}" if part.test_url else "")
            )
        note(f"{'going on with' if continued else 'deployment'} {deployment.id}; Ctrl-C stops it and the version before "
             "has all the traffic again, with --detach it goes on by itself")  # fmt: skip
    with _showing(journal, deployment.id, quiet=as_json):
        starting.carry_out(journal, deployment.id, watch=_silent if as_json else _watch)
    one = records.load(journal.home, deployment.id)
    why = explained(journal, one.run) if _is_puzzling(one) else None
    if as_json:
        data = {**shown.run(journal, one.run), "deployment": shown.data(journal, one, whole=False)}
        print_json({**data, "explanation": why} if why else data)
    else:
        sys.stdout.write(shown.summary(journal, one))
        show_explained(why)
        note(f"`seatrial deploy show {one.id} --html FILE` writes a page with the picture")
    return _exit_code(one)


def await_end(journal: Journal, deployment: ServiceDeployment, *, as_json: bool) -> int:
    """Follow a deployment that another process is in charge of to its end; 0 when the version before is back."""
    from seatrial.clock import SystemClock
    from seatrial.services import records

    clock = SystemClock()
    with _showing(journal, deployment.id, quiet=as_json):
        while records.settle(journal, deployment, clock.now()).ended is None or records.in_charge(
            journal, deployment
        ):
            if not records.in_charge(journal, deployment):
                raise SeatrialError(
                    f"nobody is in charge of {deployment.id} any more",
                    fix=f"`seatrial deploy stop {deployment.id}` brings the version before back",
                )
            clock.sleep(_EVERY)
            deployment = records.load(journal.home, deployment.id)
    return ended(journal, deployment.id, as_json=as_json)


def ended(journal: Journal, identifier: str, *, as_json: bool) -> int:
    """Say how a deployment ended that was asked to end; 0 when nothing of it has traffic any more."""
    from seatrial.services import records, shown

    one = records.load(journal.home, identifier)
    if as_json:
        print_json(shown.data(journal, one, whole=False))
    else:
        sys.stdout.write(shown.summary(journal, one))
    return DONE if one.status in ("Failed", "Stopped") else ANSWER_IS_NO


def _exit_code(one: ServiceDeployment) -> int:
    if one.status == "Succeeded":
        return DONE
    return INTERRUPTED if one.error_code == "MANUAL_STOP" and one.status == "Stopped" else ANSWER_IS_NO


def _is_puzzling(one: ServiceDeployment) -> bool:
    """Whether a program failed: why evidence, an alarm or a person decided is said already."""
    return one.error_code in ("HOOK_EXECUTION_FAILURE", "HEALTH_CONSTRAINTS", "INTERNAL_ERROR")


def _chosen(directory: Path, settings: Config, names: tuple[str, ...]) -> dict[str, Service]:
    """The services to deploy.

    Raises:
        UsageError: there are none, or none of that name.
    """
    import difflib

    if not settings.services:
        raise UsageError(
            "the project has no services",
            where=str(directory / "seatrial.yaml"),
            fix="add `services: {NAME: {command: [python3, serve.py]}}`; to deploy to hosts, say --group",
        )
    for name in names:
        if name not in settings.services:
            near = difflib.get_close_matches(name, settings.services, 1)
            raise UsageError(
                f"the project has no service {name!r}",
                where=str(directory / "seatrial.yaml"),
                fix=f"did you mean {near[0]}?" if near else f"there are {', '.join(settings.services)}",
            )
    return {name: settings.services[name] for name in dict.fromkeys(names) or settings.services}


def _pieces(home: Path, directory: Path, chosen: dict[str, Service], asked: Asked) -> tuple[Piece, ...]:
    import msgspec

    from seatrial.services.starting import Piece

    images = _images(asked.images, chosen)
    if asked.identifier and (len(chosen) != 1 or images):
        raise UsageError(
            "--revision names a version of one service", fix="say which with --service, and leave out --image"
        )
    pieces = []
    for name, service in chosen.items():
        settings = service
        if asked.no_analysis:
            deploy = msgspec.structs.replace(service.deploy, analysis=None)
            settings = msgspec.structs.replace(service, deploy=deploy)
        revision = _revision(home, directory, name, settings, images.get(name, ""), asked)
        pieces.append(
            Piece(name, settings, revision, revision.cwd if revision.kind == "command" else str(directory))
        )
    return tuple(pieces)


def _images(given: tuple[str, ...], chosen: dict[str, Service]) -> dict[str, str]:
    """The images by service; one without a service's name is that of the only one.

    Raises:
        UsageError: it is not known whose it is.
    """
    found: dict[str, str] = {}
    for one in given:
        name, equals, reference = one.partition("=")
        if not (equals and name in chosen):
            name, reference = next(iter(chosen)), one
            if len(chosen) != 1:
                raise UsageError(
                    f"--image {one} does not say whose it is", fix=f"--image {next(iter(chosen))}={one}"
                )
        if name in found:
            raise UsageError(f"there are two images for {name}", fix="give one")
        found[name] = str(Path(reference).resolve()) if Path(reference).is_dir() else reference
    return found


def _revision(home: Path, directory: Path, name: str, service: Service, image: str, asked: Asked) -> Revision:
    """The new version, kept.

    Raises:
        UsageError: nothing says what it is.
    """
    from seatrial.services import revisions

    if asked.identifier:
        return revisions.load(home, name, asked.identifier)
    if image:
        note(f"{name}: unpacking {image}")
        return revisions.from_image(home, name, image, service, directory=directory, insecure=asked.insecure)
    if service.command:
        return revisions.from_command(home, name, directory, service)
    raise UsageError(
        f"service {name} is an image, and nothing says which",
        where=str(directory / "seatrial.yaml"),
        fix=f"`seatrial image assemble {directory} --oci FOLDER`, then --image FOLDER; or --image REGISTRY/REPOSITORY:TAG",
    )


def _clean_up(journal: Journal) -> None:
    from seatrial.engine.run import reap

    for cleaned, problem in reap(journal).items():
        note(
            f"could not clean up after run {cleaned}: {problem}"
            if problem
            else f"cleaned up after run {cleaned}"
        )


@contextmanager
def _showing(journal: Journal, identifier: str, *, quiet: bool) -> Iterator[None]:
    """Show what happens in a deployment, for the length of a block."""
    if quiet:
        yield
        return
    from seatrial.cli.deploy_screen import stderr
    from seatrial.clock import SystemClock
    from seatrial.services.live import Follower

    follower, screen, ended = Follower(journal.home, identifier), stderr(), threading.Event()

    def draw() -> None:
        with suppress(SeatrialError, OSError):  # what cannot be shown must not end what is being done
            screen.draw(follower.look(SystemClock().now()))

    def work() -> None:
        while not ended.wait(_EVERY):
            draw()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        draw()
        screen.end()


def _silent(_kind: str, _subject: str, _data: dict[str, Any]) -> None:
    pass


def _watch(kind: str, _subject: str, data: dict[str, Any]) -> None:
    if kind == "requested" and data["what"] == "cancel":
        note("■ stopping: the version before gets all the traffic again (Ctrl-C again kills)")


def _detached(journal: Journal, deployment: ServiceDeployment, *, as_json: bool) -> int:
    """Leave the deployment to a process of its own."""
    import os

    from seatrial.engine.run import begin
    from seatrial.services import plan, records, shown

    one = deployment
    if not one.run:
        one = records.change(journal.home, one.id, run=begin(journal, plan.of(one))[0])
    log = str(records.place(journal.home, one.id) / "detached.log")
    os.posix_spawn(
        sys.executable,
        [sys.executable, "-m", "seatrial", "runs", "resume", one.run],
        {**os.environ, "SEATRIAL_HOME": str(journal.home)},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    if as_json:
        print_json(shown.data(journal, one, whole=False))
    else:
        sys.stdout.write(f"{one.id}\n")
        note(
            f"it goes on by itself: `seatrial deploy watch {one.id}` follows it, `seatrial deploy stop {one.id}` stops it"
        )
    return DONE
