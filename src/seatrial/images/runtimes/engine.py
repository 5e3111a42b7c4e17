"""What Docker and Podman share: an image of ours in the engine's store, and a supervised container of it.

Names say whose they are, so that nothing of the user's is touched: images are `localhost/seatrial-run:DIGEST-STORE`,
containers `seatrial-STORE-RANDOM`. Each has a lock in the layer store; what nobody holds is removed by the next run.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import sys
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import msgspec

from seatrial import locks
from seatrial.errors import SeatrialError, UsageError
from seatrial.images import layout as oci
from seatrial.images.outputs import engines
from seatrial.images.outputs.names import name_of
from seatrial.images.rootfs import Root, locate, scratch
from seatrial.images.runtimes import host as this_machine
from seatrial.images.runtimes.backends import Prepared
from seatrial.images.runtimes.launch import CAPABILITIES
from seatrial.images.runtimes.local import shared
from seatrial.images.runtimes.program import Program, program_of, refuse_before
from seatrial.processes import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from seatrial.images.runtimes.launch import Launch

PATIENCE = 60
_REPOSITORY = "localhost/seatrial-run"
# bufio.Scanner, with which both read a file of variables, takes no longer lines.
_LONGEST_LINE = 60_000


class Engine(msgspec.Struct, frozen=True):
    """`name` is docker or podman; `path` is its program."""

    name: str
    path: str
    title: str


class Supervised(msgspec.Struct, frozen=True, kw_only=True):
    """What `supervise.py` is told.

    `client` is the whole command line; `env` is added for it, `keep` are descriptors that it inherits. `find` prints
    the container's first process, `signal` sends it the number that is added; `remove` and `forget` are the commands
    that remove the container and the image. `image_lock` is a descriptor; `publish` is as in `launch.Entry`; `parent`
    is whose end is ours, or 0.
    """

    client: list[str]
    env: dict[str, str]
    keep: list[int]
    find: list[str]
    signal: list[str]
    remove: list[str]
    forget: list[str]
    image_lock: int
    publish: str
    parent: int


def find(name: str, title: str) -> Engine:
    """The engine, when it answers.

    Raises:
        MissingToolError: it is not installed, or its daemon does not answer.
    """
    found = engines.choose(cast("Any", name))
    return Engine(name, found.path, title)


def remarks(title: str, launch: Launch) -> tuple[str, ...]:
    """What will not hold as asked; limits that an engine cannot set it refuses itself."""
    if launch.scratch:
        return (f"{title} does not limit what the program may write",)
    return ()


@contextmanager
def ready(
    engine: Engine,
    root: Root,
    command: Sequence[str],
    launch: Launch,
    *,
    interactive: bool,
    options: Sequence[str] = (),
) -> Iterator[Prepared]:
    """The supervisor's command line, with the image in the engine's store for the length of the run."""
    refuse_before(engine.title, launch)
    sweep(engine, Path(root.store))
    with ExitStack() as stack:
        for layer in root.layers:
            stack.enter_context(shared(root, layer))
        program = program_of(root, command, launch)
        image, image_lock = stack.enter_context(_image(engine, root))
        name = f"{_prefix(Path(root.store))}{secrets.token_hex(6)}"
        lock = locks.wait_lock(_lock_file(Path(root.store), engine, name))
        stack.callback(os.close, lock)
        variables, inherited = _variables(program)
        env_file = _in_memory(stack, variables)
        shown = [*options, *_options(root, launch, program, interactive=interactive)]
        told = Supervised(
            client=[
                engine.path, "run", "--name", name, "--pull", "never", "--log-driver", "none",
                "--env-file", f"/proc/self/fd/{env_file}",
                *(word for key in inherited for word in ("--env", key)),
                *shown, "--entrypoint", program.line[0], image, *program.line[1:],
            ],
            env=inherited,
            keep=[env_file],
            find=[engine.path, "inspect", "--type", "container", "--format", "{{.State.Pid}}", name],
            signal=[engine.path, "kill", name, "--signal"],
            remove=[engine.path, "rm", "--force", "--volumes", name],
            forget=[engine.path, "rmi", image],
            image_lock=image_lock,
            publish=",".join(f"{p.descriptor}:{p.port}" for p in launch.publish),
            parent=os.getpid() if launch.die_with_parent else 0,
        )  # fmt: skip
        spec = _in_memory(stack, json.dumps(msgspec.to_builtins(told)).encode())
        line = (sys.executable, "-I", "-S", str(Path(__file__).with_name("supervise.py")), str(spec))
        ports = [one.descriptor for one in launch.publish]
        yield Prepared(line, dict(os.environ), (spec, env_file, image_lock, lock, *ports))


def missing_workdir(root: Root, launch: Launch) -> list[str]:
    """Options that make the working folder where the engine does not."""
    place, found = locate(root, launch.workdir or root.settings.get("WorkingDir") or "/")
    return [] if found is not None else ["--tmpfs", f"{place}:rw,exec,mode=1777"]


@cache
def sweep(engine: Engine, store: Path) -> None:
    """Remove containers and images of this store whose run was killed with all that tended it; once in a process."""
    prefix = _prefix(store)
    listed = _ask(engine, "ps", "--all", "--filter", f"name={prefix}", "--format", "{{.Names}}")
    for name in (one for one in listed if one.startswith(prefix)):
        _remove_unless_used(engine, _lock_file(store, engine, name), "rm", "--force", "--volumes", name)
    for tag in _ask(engine, "images", "--format", "{{.Tag}}", "--filter", f"reference={_REPOSITORY}"):
        if tag.endswith(prefix.strip("-").removeprefix("seatrial")):
            _remove_unless_used(engine, _lock_file(store, engine, tag), "rmi", f"{_REPOSITORY}:{tag}")
    for left in (store / "locks").glob(f"{engine.name}-{prefix}*"):
        lock = locks.try_lock(left)
        if lock is not None:
            left.unlink(missing_ok=True)
            os.close(lock)


def _remove_unless_used(engine: Engine, lock_file: Path, *arguments: str) -> None:
    lock = locks.try_lock(lock_file)
    if lock is not None:
        try:
            run([engine.path, *arguments], timeout=PATIENCE)
        finally:
            os.close(lock)


def _ask(engine: Engine, *arguments: str) -> list[str]:
    return run([engine.path, *arguments], timeout=PATIENCE).stdout.split()


def _prefix(store: Path) -> str:
    return f"seatrial-{hashlib.sha256(str(store).encode()).hexdigest()[:12]}-"


def _lock_file(store: Path, engine: Engine, name: str) -> Path:
    return store / "locks" / f"{engine.name}-{name}"


@contextmanager
def _image(engine: Engine, root: Root) -> Iterator[tuple[str, int]]:
    """The image's name in the engine's store, and the lock that keeps it there; it is brought when absent."""
    store = Path(root.store)
    digest = root.digest.removeprefix("sha256:")[:32]
    tag = f"{digest}{_prefix(store).strip('-').removeprefix('seatrial')}"
    lock = locks.wait_lock(_lock_file(store, engine, tag), shared=True)
    try:
        image = f"{_REPOSITORY}:{tag}"
        with locks.locked(_lock_file(store, engine, f"load-{tag}")):
            if run([engine.path, "image", "inspect", image], timeout=PATIENCE).code != 0:
                _bring(engine, root, image)
        yield image, lock
    finally:
        os.close(lock)


def _bring(engine: Engine, root: Root, image: str) -> None:
    layout = Path(root.layout)
    if not root.layout or not layout.is_dir():
        raise SeatrialError(
            f"the image's layers are no longer there for {engine.title}",
            where=root.layout or root.digest,
            fix="keep the folder, or use --runtime bwrap",
        )
    found = oci.read_image(layout, digest=root.digest)
    with scratch("load") as place:
        oci.create(place)
        for blob in (found.descriptor, found.manifest.config, *found.manifest.layers):
            oci.link_blob(place, blob.digest, oci.blob_path(layout, blob.digest))
        oci.set_index(place, oci.Index(manifests=(found.descriptor,)))
        engines.load(place, [name_of(image)], engines.Program(cast("Any", engine.name), engine.path))


def _variables(program: Program) -> tuple[bytes, dict[str, str]]:
    """Variables as the lines of a file, and those that fit into no line, for the client's own environment.

    Raises:
        UsageError: one of the latter would change what the client itself does.
    """
    lines, inherited = [], {}
    for name, value in program.env.items():
        if "\n" in name or "\r" in name or name != name.strip() or name.startswith("#"):
            raise UsageError(f"{name!r} cannot be a variable of a container", fix="use a plain name")
        if "\n" in value or "\r" in value or len(value.encode(errors="surrogateescape")) > _LONGEST_LINE:
            if name.upper().startswith(("LD_", "DOCKER", "CONTAINER", "XDG_", "PATH", "HOME", "HTTP")):
                raise UsageError(
                    f"{name} has several lines, and is read by the engine's own program, too",
                    fix="use another variable, or --runtime bwrap",
                )
            inherited[name] = value
        else:
            lines.append(f"{name}={value}\n")
    return "".join(lines).encode(errors="surrogateescape"), inherited


def _options(root: Root, launch: Launch, program: Program, *, interactive: bool) -> list[str]:
    """Options that both engines understand."""
    options = ["--network", launch.network, "--user", program.user or f"{program.who.uid}:{program.who.gid}"]
    options += ["--workdir", locate(root, launch.workdir or root.settings.get("WorkingDir") or "/")[0]]
    options += ["--no-healthcheck", "--security-opt", "no-new-privileges", "--cap-drop", "ALL"]
    # Podman would give what is added to a user other than root, too.
    for capability in CAPABILITIES if program.who.uid == 0 else ():
        options += ["--cap-add", capability.removeprefix("CAP_")]
    if launch.network == "none":
        options += ["--hostname", "seatrial"]
    if launch.init:
        options += ["--init"]
    if launch.read_only:
        options += ["--read-only"]
    if not launch.own_tmp:
        options += ["--tmpfs", "/tmp:rw,exec,mode=1777"]  # noqa: S108 - the image's own
    if interactive:
        options += ["--interactive"]
    if launch.terminal:
        options += ["--tty"]
    return [*options, *_limits(launch), *_binds(root, launch)]


def _limits(launch: Launch) -> list[str]:
    options = []
    if launch.memory:
        options += ["--ulimit", f"data={launch.memory}:{launch.memory}"]
    if launch.total_memory:
        options += ["--memory", str(launch.total_memory), "--memory-swap", str(launch.total_memory)]
    if launch.cpus:
        options += ["--cpus", f"{launch.cpus:g}"]
    return options


def _binds(root: Root, launch: Launch) -> list[str]:
    """Name servers and hosts are the engine's own work; certificates are ours."""
    files = this_machine.files(
        root, isolated=launch.network == "none", settings=launch.host_settings, host=os.environ
    )
    shown = [(source, target, True) for source, target in files if "/etc/ssl/" in target]
    shown += [(bind.source, bind.target, bind.read_only) for bind in launch.binds]
    options = []
    for source, target, read_only in shown:
        fields = ["type=bind", f"source={source}", f"target={locate(root, target)[0]}"]
        fields += ["readonly"] if read_only else []
        options += ["--mount", ",".join(_quoted(field) for field in fields)]
    return options


def _quoted(field: str) -> str:
    """A field of comma-separated values."""
    return '"' + field.replace('"', '""') + '"' if any(one in field for one in ',"\n') else field


def _in_memory(stack: ExitStack, content: bytes) -> int:
    memory = os.memfd_create("arguments", os.MFD_CLOEXEC)
    stack.callback(os.close, memory)
    view = memoryview(content)
    while view:
        view = view[os.write(memory, view) :]
    os.lseek(memory, 0, os.SEEK_SET)
    return memory
