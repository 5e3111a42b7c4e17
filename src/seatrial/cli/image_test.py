"""`seatrial image test`: evidence that an image works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.image_source import find_image, source_options

if TYPE_CHECKING:
    from seatrial.config.model import Call
    from seatrial.images.testing.model import Level, Verdict

_MARKS = {"pass": "ok  ", "fail": "FAIL", "skip": "skip"}


@click.command(epilog="Example: seatrial image test ./image --level quick --lock pylock.toml")
@click.argument("source", metavar="FOLDER|REF")
@click.option(
    "--level", type=click.Choice(["quick", "standard", "full"]), default="standard", show_default=True
)
@click.option(
    "--lock", type=click.Path(exists=True, dir_okay=False), help="Compare installed versions with this lock."
)
@click.option("--import", "imports", multiple=True, metavar="MODULE", help="A module that must import.")
@click.option("--request", type=click.Path(exists=True, dir_okay=False), help="Body to send to /invocations.")
@click.option("--expect", type=click.Path(exists=True, dir_okay=False), help="The answer that it must get.")
@click.option(
    "--tolerance", type=click.FloatRange(min=0), default=0.0, help="How far numbers in it may be off."
)
@click.option(
    "--port", type=click.IntRange(1, 65535), default=8080, show_default=True, help="Port of the service."
)
@click.option(
    "--serves/--no-serves", default=None, help="The image is a server; by default its ports say so."
)
@click.option("--reports", type=click.Path(file_okay=False), default="test-reports", show_default=True)
@source_options
@json_option
@directory_option
def test(  # noqa: PLR0917 - click passes by name
    source: str,
    level: Level,
    lock: str | None,
    imports: tuple[str, ...],
    request: str | None,
    expect: str | None,
    tolerance: float,
    port: int,
    serves: bool | None,
    reports: str,
    platform: str,
    insecure: bool,
    as_json: bool,
) -> None:
    """Test an image and say what to do about each failure.

    What each level checks is in the reference, docs/reference/image-test.md. Reports are written as JSON, JUnit
    and HTML. Exit code 1: a check failed.
    """
    from seatrial.images.testing.model import TestSpec
    from seatrial.images.testing.suite import run_tests

    spec = TestSpec(imports=imports, inference=_calls(request, expect, tolerance), port=port, serves=serves)
    layout, digest = find_image(source, platform=platform, insecure=insecure)
    verdict = run_tests(layout, digest, level=level, spec=spec, lock=_locked(lock), out=Path(reports))
    if as_json:
        print_json(
            {"verdict": verdict.verdict, "checks": verdict.checks, "digest": verdict.digest, "level": level}
        )
    else:
        _print(verdict, reports)
    raise SystemExit(0 if verdict.verdict == "pass" else 1)


def _calls(request: str | None, expect: str | None, tolerance: float) -> tuple[Call, ...]:
    from seatrial.config.model import Call
    from seatrial.errors import UsageError

    if request is None:
        if expect is not None:
            raise UsageError("--expect needs --request", fix="say which request must get that answer")
        return ()
    kind = "text/csv" if request.endswith(".csv") else "application/json"
    return (Call(request=request, expect=expect, tolerance=tolerance, content_type=kind),)


def _locked(lock: str | None) -> dict[str, str] | None:
    if lock is None:
        return None
    from seatrial.images.lock import from_text

    return {wheel.name: wheel.version for wheel in from_text(Path(lock).read_text(), where=lock).wheels}


def _print(verdict: Verdict, reports: str) -> None:
    for check in verdict.checks:
        click.echo(f"{_MARKS[check.status]} {check.id}: {check.message}")
        if check.fix:
            click.echo(f"     fix: {check.fix}")
        if check.status == "fail":
            for line in check.details[:5]:
                click.echo(f"       {line}")
    click.echo(
        f"{verdict.verdict}: {len(verdict.checks)} checks in {verdict.seconds:.1f} s, level {verdict.level}"
    )
    note(f"reports: {reports}/image-tests.html, .xml, .json")
