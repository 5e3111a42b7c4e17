"""Handing an image to an engine on this machine: streamed into `docker load` or `podman load`, then looked up."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from seatrial.errors import MissingToolError, SeatrialError
from seatrial.images import layout as oci
from seatrial.images.outputs import archive
from seatrial.processes import find, run

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from seatrial.images.outputs.names import Name

Engine = Literal["docker", "podman"]
_PATIENCE = 30
_TITLES = {"docker": "Docker", "podman": "Podman"}


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """An image that an engine has: which engine, what it is called there, and how it is run."""

    engine: str
    reference: str
    run: str


class Program(NamedTuple):
    """An engine that answered: its name and the path of its program."""

    engine: Engine
    path: str


def choose(wanted: Literal["auto", "docker", "podman"]) -> Program:
    """The engine to load into: the one that is named, else Docker when its daemon answers, else Podman.

    Raises:
        MissingToolError: it is not installed or does not answer; says what each of them said.
    """
    said = []
    for engine in ("docker", "podman") if wanted == "auto" else (wanted,):
        problem = _problem(engine)
        if problem is None:
            return Program(engine, find(engine))
        said.append(problem)
    both = "neither Docker nor Podman can take the image"
    raise MissingToolError(
        both if wanted == "auto" else f"{_TITLES[wanted]} cannot take the image",
        why="; ".join(said),
        fix="start or install one of them, or write a file for it with --docker-archive FILE",
    )


def load(layout: Path, names: Sequence[Name], program: Program) -> Loaded:
    """Stream the image into the engine under all `names`, and see that it is there under each.

    Raises:
        SeatrialError: the engine refuses it, or has another image under a name.
    """
    if program.engine == "podman":
        # Podman takes an OCI layout with one name alone, and would take a converted image under several.
        called = [name.local for name in names]
        _stream(layout, [names[0]._replace(familiar=called[0], full=called[0])], program)
        for further in called[1:]:
            _run(program, "tag", called[0], further)
    else:
        called = [name.familiar for name in names]
        _stream(layout, names, program)
    expected = _identities(layout)
    for name in called:
        _check(program, name, expected)
    return Loaded(engine=program.engine, reference=called[0], run=f"{program.engine} run --rm {called[0]}")


def _stream(layout: Path, names: Sequence[Name], program: Program) -> None:
    with tempfile.TemporaryFile() as said:
        argv = [program.path, "load", "--quiet"]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=said, stderr=said) as process:
            try:
                _feed(process, layout, names)
                code = process.wait()
            except BaseException:
                process.kill()
                raise
        if code != 0:
            said.seek(0)
            raise _refused(program, said.read(1 << 20).decode("utf-8", "replace"))


def _problem(engine: Engine) -> str | None:
    """Why the engine cannot take an image, or None when it can."""
    program = shutil.which(engine)
    if program is None:
        return f"{engine} is not installed"
    if engine == "podman":  # there is no daemon to ask
        return None
    try:
        done = run([program, "version", "--format", "{{.Server.Version}}"], timeout=_PATIENCE)
    except SeatrialError as error:
        return error.what
    if done.code == 0:
        return None
    lines = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()
    return f"docker says: {lines[-1]}"


def _feed(process: subprocess.Popen[bytes], layout: Path, names: Sequence[Name]) -> None:
    assert process.stdin is not None  # noqa: S101 - it was asked for
    try:
        with process.stdin as stream:
            archive.write(layout, stream, names)
    except BrokenPipeError:
        pass  # it ended early; its exit code and its words say why


def _run(program: Program, *arguments: str) -> str:
    done = run([program.path, *arguments], timeout=_PATIENCE)
    if done.code != 0:
        raise _refused(program, done.stderr)
    return done.stdout.strip()


def _refused(program: Program, said: str) -> SeatrialError:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return SeatrialError(
        f"{_TITLES[program.engine]} did not take the image",
        why="; ".join(lines[-3:]) or "it ended without an explanation",
        fix=f"look at `{program.engine} info`, or write a file with --docker-archive FILE",
    )


def _identities(layout: Path) -> set[str]:
    """What an engine may call the image: by its configuration, its manifest, or the index that names it."""
    images = [oci.read_image(layout, digest=d.digest) for d in oci.list_images(layout)]
    found = {d.digest for d in oci.read_index(layout).manifests}
    return found | {i.digest for i in images} | {i.manifest.config.digest for i in images}


def _check(program: Program, name: str, expected: set[str]) -> None:
    identity = _run(program, "image", "inspect", "--format", "{{.Id}}", name)
    if f"sha256:{identity.removeprefix('sha256:')}" not in expected:
        raise SeatrialError(
            f"{_TITLES[program.engine]} has another image as {name}",
            why=f"its id is {identity}",
            fix="run the same command again",
        )
