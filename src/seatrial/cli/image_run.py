"""`seatrial image run`: run a program in an image, without Docker and without root."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, note
from seatrial.cli.image_source import METAVAR, find_image, runtime_option, source_options

if TYPE_CHECKING:
    from seatrial.images.runtime import Backend, Bind, Publish, Root

_SHELLS = ("/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/busybox")


@click.command(
    context_settings={"ignore_unknown_options": False},
    epilog="Example: seatrial image run ./image --env LOG_LEVEL=debug --network none -- python -c 'import app'",
)
@click.argument("source", metavar=METAVAR)
@click.argument("command", nargs=-1, metavar="[--] [CMD]...")
@click.option(
    "--env", "env", multiple=True, metavar="K[=V]", help="Set a variable; K alone takes it from here."
)
@click.option("--volume", "volumes", multiple=True, metavar="HOST:DEST[:ro]", help="Show a file or folder.")
@click.option("--network", type=click.Choice(["host", "none"]), default="host", show_default=True)
@click.option(
    "--publish", multiple=True, metavar="[IP:]PORT:PORT", help="Reach a port of a program without network."
)
@click.option("--user", default="", metavar="U[:G]", help="Run as this user of the image.")
@click.option("--workdir", default="", metavar="D", help="Start in this folder of the image.")
@click.option("--entrypoint", default=None, metavar="E", help="Run E instead of the image's entry point.")
@click.option("--read-only", is_flag=True, help="Make the root read-only; /tmp stays writable.")
@click.option("--memory", default="", metavar="SIZE", help="Limit memory, such as 512m or 2g.")
@click.option("--cpus", type=click.FloatRange(min=0.01), default=None, help="Limit processors, such as 1.5.")
@click.option(
    "--init", is_flag=True, help="Reap orphans, and let signals that are not handled end the program."
)
@click.option("--shell", is_flag=True, help="Start a shell of the image instead of its entry point.")
@runtime_option("backend", "What runs it.")
@click.option("--ca/--no-ca", default=True, help="Pass this machine's certificates and proxy settings.")
@source_options
@directory_option
def run(  # noqa: PLR0917 - click passes by name
    source: str,
    command: tuple[str, ...],
    env: tuple[str, ...],
    volumes: tuple[str, ...],
    network: str,
    publish: tuple[str, ...],
    user: str,
    workdir: str,
    entrypoint: str | None,
    read_only: bool,
    memory: str,
    cpus: float | None,
    init: bool,
    shell: bool,
    backend: Backend,
    ca: bool,
    platform: str,
    insecure: bool,
) -> None:
    """Run a program in an image and end with its exit code.

    The image is a layout's folder, an archive of an engine, a reference in a registry, or one that Docker or Podman
    has (docker:NAME, podman:NAME).

    The image's entry point, variables, user and folder hold unless an option says otherwise. What the program
    writes is gone when it ends; nothing of the image changes. Signals reach the program. Exit code 125: it could
    not be started.
    """
    from seatrial.errors import UsageError
    from seatrial.images import runtime

    if publish and network != "none":
        raise UsageError(
            "--publish needs --network none", why="on the host's network the port is there already"
        )
    if shell and (command or entrypoint is not None):
        raise UsageError(
            "--shell starts a shell and nothing else",
            fix="leave out --shell, or --entrypoint and the command",
        )
    root = runtime.prepare(*find_image(source, platform=platform, insecure=insecure))
    entry = None if entrypoint is None else tuple([entrypoint] if entrypoint else [])
    launch = runtime.Launch(
        env=variables(env),
        user=user,
        workdir=workdir,
        entrypoint=_shell(root) if shell else entry,
        binds=tuple(_volume(text) for text in volumes),
        network="none" if network == "none" else "host",
        publish=tuple(_published(text) for text in publish),
        read_only=read_only,
        total_memory=_size(memory),
        cpus=cpus or 0.0,
        init=init,
        host_settings=ca,
        die_with_parent=False,
        terminal=sys.stdin.isatty() and (backend == "bwrap" or sys.stdout.isatty()),
    )
    for remark in runtime.remarks(launch, backend):
        note(f"note: {remark}")
    sys.stdout.flush()
    raise SystemExit(runtime.become(root, command, launch, backend=backend))


def _shell(root: Root) -> tuple[str, ...]:
    """The image's best shell."""
    from seatrial.errors import SeatrialError
    from seatrial.images.rootfs import locate

    for name, line in (("bash", ()), ("sh", ()), ("busybox", ("sh",))):
        for folder in _SHELLS:
            _, found = locate(root, f"{folder}/{name}")
            if found is not None and found.is_file() and found.stat().st_mode & 0o111:
                return (f"{folder}/{name}", *line)
    raise SeatrialError(
        "the image has no shell",
        where=root.digest,
        why=f"neither bash nor sh nor busybox is in {', '.join(_SHELLS)}",
        fix="start a program of it with --entrypoint, or bring a static shell: "
        "--volume /usr/bin/busybox:/busybox:ro --entrypoint /busybox -- sh",
    )


def variables(texts: tuple[str, ...]) -> dict[str, str]:
    """The variables that `--env` sets; a name alone takes its value from here.

    Raises:
        UsageError: one has no name.
    """
    from seatrial.errors import UsageError

    values: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name:
            raise UsageError(f"--env {text!r} has no name", fix="use --env NAME=VALUE or --env NAME")
        if equals:
            values[name] = value
        elif name in os.environ:
            values[name] = os.environ[name]
    return values


def _volume(text: str) -> Bind:
    from seatrial.errors import UsageError
    from seatrial.images.runtime import Bind

    place, _, mode = text.rpartition(":")
    if mode not in ("ro", "rw"):
        place, mode = text, "rw"
    host, colon, target = place.partition(":")
    if not host or not colon or not target.startswith("/"):
        raise UsageError(f"--volume {text!r} is not HOST:DEST[:ro]", fix="DEST starts with a slash")
    return Bind(os.path.abspath(os.path.expanduser(host)), target, mode == "ro")  # noqa: PTH100, PTH111 - stays text


def _published(text: str) -> Publish:
    """Listen now: the port is taken, or the user hears of it, before anything starts."""
    from seatrial.errors import SeatrialError, UsageError
    from seatrial.images.runtime import Publish

    address, _, ports = text.rpartition(":")
    address, _, outside = address.rpartition(":")
    if not (outside.isdigit() and ports.isdigit() and int(outside) < 65536 and 0 < int(ports) < 65536):  # noqa: PLR2004 - ports
        raise UsageError(f"--publish {text!r} is not [IP:]PORT:PORT", fix="for example 127.0.0.1:9000:8080")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address or "127.0.0.1", int(outside)))
    except OSError as error:
        raise SeatrialError(
            f"cannot listen on {address or '127.0.0.1'}:{outside}: {error.strerror}",
            fix="choose another port",
        ) from error
    listener.listen(1024)
    return Publish(listener.detach(), int(ports))


def _size(text: str) -> int:
    from seatrial.errors import UsageError

    units = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}
    digits = text.lower().removesuffix("b").rstrip("kmgt")
    unit = text.lower().removesuffix("b")[len(digits) :]
    if not text:
        return 0
    if not digits.isdigit() or unit not in units:
        raise UsageError(f"--memory {text!r} is not a size", fix="use bytes, or k, m, g: 512m")
    return int(digits) * units[unit]
