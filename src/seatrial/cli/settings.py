"""`--set KEY=VALUE` and `--explain-config`: options of the commands that read seatrial.yaml."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from seatrial.config import Setting

F = TypeVar("F", bound="Callable[..., Any]")


def settings_options(function: F) -> F:
    """`--set` (parameter `settings`: dict of dotted key to text) and `--explain-config` (`explain_config`: bool)."""
    function = click.option(
        "--explain-config",
        is_flag=True,
        help="Print every setting, its value and where it came from, and do nothing else.",
    )(function)
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        callback=_parsed,
        help="Give a setting of seatrial.yaml, such as images.api.platform=linux/arm64. May be repeated.",
    )(function)


def _parsed(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    settings = {}
    for one in given:
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise click.BadParameter(f"{one!r} is not KEY=VALUE")
        settings[key] = value
    return settings


def print_settings(directory: Path, flags: Mapping[str, Any], *, as_json: bool = False) -> None:
    """Print what `--explain-config` promises: aligned text, or a JSON list of key, value and source.

    Raises:
        UsageError: as `config.load`.
    """
    from seatrial.cli.common import print_json
    from seatrial.config import explain

    found = explain(directory, flags=flags)
    if as_json:
        print_json([one._asdict() for one in found])
        return
    sys.stdout.write("".join(line + "\n" for line in _lines(found)))


def _lines(found: list[Setting]) -> list[str]:
    import msgspec

    # Values as in the file: a text is a text, everything else is JSON, which YAML reads too.
    texts = [
        one.value if isinstance(one.value, str) else msgspec.json.encode(one.value).decode() for one in found
    ]
    keys = max((len(one.key) for one in found), default=0)
    values = min(max((len(text) for text in texts), default=0), 48)
    return [
        f"{one.key:<{keys}}  {text:<{values}}  {one.source}".rstrip()
        for one, text in zip(found, texts, strict=True)
    ]
