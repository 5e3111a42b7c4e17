"""`seatrial image run`: run a program in an image, without Docker and without root."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option
from seatrial.cli.image_source import find_image, source_options

if TYPE_CHECKING:
    from seatrial.images.runtime import Bind, Publish


@click.command(
    context_settings={"ignore_unknown_options": False},
    epilog="Example: seatrial image run ./image --env LOG_LEVEL=debug --network none -- python -c 'import app'",
)
@click.argument("source", metavar="FOLDER|REF")
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
@click.option("--memory", default="", metavar="SIZE", help="Limit each process's data, such as 512m or 2g.")
@click.option(
    "--init", is_flag=True, help="Reap orphans, and let signals that are not handled end the program."
)
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
    init: bool,
    ca: bool,
    platform: str,
    insecure: bool,
) -> None:
    """Run a program in an image and end with its exit code.

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
    launch = runtime.Launch(
        env=_variables(env),
        user=user,
        workdir=workdir,
        entrypoint=None if entrypoint is None else tuple([entrypoint] if entrypoint else []),
        binds=tuple(_volume(text) for text in volumes),
        network="none" if network == "none" else "host",
        publish=tuple(_published(text) for text in publish),
        read_only=read_only,
        memory=_size(memory),
        init=init,
        host_settings=ca,
        die_with_parent=False,
        terminal=sys.stdin.isatty(),
    )
    root = runtime.prepare(*find_image(source, platform=platform, insecure=insecure))
    sys.stdout.flush()
    raise SystemExit(runtime.become(root, command, launch))


def _variables(texts: tuple[str, ...]) -> dict[str, str]:
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
