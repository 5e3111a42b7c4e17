"""Options that every command has, and how answers reach stdout."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

F = TypeVar("F", bound="Callable[..., Any]")


def directory_option(function: F) -> F:
    """`-C DIR`: run as if started in DIR."""

    def change(_ctx: click.Context, _param: click.Parameter, value: str | None) -> str | None:
        if value is not None:
            os.chdir(value)
        return value

    return click.option(
        "-C",
        "directory",
        type=click.Path(exists=True, file_okay=False),
        callback=change,
        expose_value=False,
        is_eager=True,
        metavar="DIR",
        help="Run as if started in DIR.",
    )(function)


def json_option(function: F) -> F:
    """`--json`: print data and nothing else on stdout (parameter `as_json`)."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON and nothing else on stdout.")(
        function
    )


def print_json(value: Any) -> None:
    """Write a value as indented JSON to stdout. Structs, paths and datetimes are understood."""
    import msgspec

    data = msgspec.json.format(msgspec.json.encode(value, enc_hook=_plain), indent=2)
    sys.stdout.write(data.decode() + "\n")


def _plain(value: Any) -> Any:
    from pathlib import Path

    if isinstance(value, Path):
        return str(value)
    raise NotImplementedError(type(value))


def is_live(stream: TextIO) -> bool:
    """Whether a line can be written over: the stream is a terminal that moves its cursor."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def note(text: str) -> None:
    """Progress and hints go to stderr."""
    sys.stderr.write(text + "\n")
