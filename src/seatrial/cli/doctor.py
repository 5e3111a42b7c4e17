"""`seatrial doctor`: what this machine has, and how to get the rest."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import json_option, print_json
from seatrial.errors import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.doctor import Report, Result


@click.command(epilog="Example: seatrial doctor --json")
@json_option
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Say what this machine has, what it is for, and how to get the rest.

    Every program is really started and every kernel feature really used. Exit code 0: `seatrial ship` has
    all it needs; 3: it has not.
    """
    from seatrial.doctor import examine

    report = examine()
    if as_json:
        print_json(report)
    else:
        sys.stdout.write("".join(f"{line}\n".replace(" \n", "\n") for line in _lines(report)))
    ctx.exit(0 if report.ready else MISSING)


def _lines(report: Report) -> Iterator[str]:
    names = max(len(one.id) for one in report.checks)
    versions = min(max(len(one.version) for one in report.checks), 20)
    for one in report.checks:
        detail = f" ({one.detail})" if one.detail else ""
        yield f"{one.status:<8} {one.id:<{names}}  {one.version[:versions]:<{versions}}  {one.purpose}{detail}"
    yield ""
    yield from _advice(report, names)


def _advice(report: Report, names: int) -> Iterator[str]:
    lacking = [one for one in report.checks if one.needed and one.status in ("missing", "broken")]
    others = [one for one in report.checks if one.status != "ok" and one not in lacking]
    if lacking:
        yield "`seatrial ship` needs:"
        yield from _wanted(lacking, names)
    else:
        yield "`seatrial ship` has all it needs."
    if others:
        yield "Optional:"
        yield from _wanted(others, names)


def _wanted(results: list[Result], names: int) -> Iterator[str]:
    for one in results:
        yield f"  {one.id:<{names}}  {one.get}"
