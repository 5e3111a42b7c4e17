"""`seatrial image diff`: what differs between two images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.image_source import METAVAR, find_image, source_options
from seatrial.cli.waiting import Waiting

if TYPE_CHECKING:
    from seatrial.images.attesting.compare import Comparison, Findings
    from seatrial.images.layout import Image
    from seatrial.images.testing.vulnerabilities_reports import Report

_REPORT = click.Path(path_type=Path, dir_okay=False, exists=True)
_SHOWN = 20


@click.command(epilog="Example: seatrial image diff ./before ./after")
@click.argument("before", metavar=METAVAR)
@click.argument("after", metavar=METAVAR)
@click.option("--scan", is_flag=True, help="Let trivy or grype look at both, and compare what they find.")
@click.option(
    "--scan-before",
    multiple=True,
    type=_REPORT,
    metavar="FILE",
    help="A scanner's report about the first image.",
)
@click.option(
    "--scan-after",
    multiple=True,
    type=_REPORT,
    metavar="FILE",
    help="A scanner's report about the second image.",
)
@click.option(
    "--files", "all_files", is_flag=True, help="Name every file that differs, not only their folders."
)
@click.option("--exit-code", is_flag=True, help="End with 1 when the images differ.")
@source_options
@json_option
@directory_option
def diff(before: str, after: str, **options: Any) -> None:
    """Compare two images: packages and their versions, files by folder, layers, settings, vulnerabilities.

    Everything is read from the layers; nothing of the images is started.
    """
    from seatrial.errors import ANSWER_IS_NO
    from seatrial.images.attesting import compare, inventory
    from seatrial.images.layout import read_image

    sides, reports = [], []
    given = (options["scan_before"], options["scan_after"])
    _check(given, scan=options["scan"])
    with Waiting(quiet=options["as_json"]) as waiting:
        for source, files in zip((before, after), given, strict=True):
            layout, digest = find_image(source, platform=options["platform"], insecure=options["insecure"])
            image = read_image(layout, digest=digest)
            taken = inventory.take(layout, image, say=waiting.say)
            sides.append(compare.Side(image, *taken))
            if options["scan"] or files:
                waiting.say("scanning")
                reports.append(_reports(layout, image, files))
        found = compare.compare(sides[0], sides[1], (reports[0], reports[1]) if reports else None)
    if options["as_json"]:
        print_json({**_plain(found), "same": found.same})
    else:
        _print(found, all_files=options["all_files"])
    if options["exit_code"] and not found.same:
        raise click.exceptions.Exit(ANSWER_IS_NO)


def _check(given: tuple[tuple[Path, ...], tuple[Path, ...]], *, scan: bool) -> None:
    from seatrial.errors import MissingToolError, UsageError
    from seatrial.images.testing.vulnerabilities_scanners import installed

    if bool(given[0]) != bool(given[1]):
        raise UsageError("there is a report about one image only", fix="give --scan-before and --scan-after")
    if scan and given[0]:
        raise UsageError("--scan makes reports, and some are given", fix="leave out one of them")
    if scan and not installed():
        raise MissingToolError(
            "neither trivy nor grype is installed",
            fix="install one of them, or give reports with --scan-before and --scan-after",
        )


def _reports(layout: Path, image: Image, files: tuple[Path, ...]) -> list[Report]:
    from seatrial.errors import SeatrialError
    from seatrial.images.testing import vulnerabilities_scanners as scanners
    from seatrial.images.testing.vulnerabilities_reports import read

    if not files:
        return [scanners.scan(scanners.installed(), layout, image.digest, timeout=600)]
    found = [read(file) for file in files]
    for one in found:
        if one.images and not one.images & {image.digest, image.manifest.config.digest}:
            raise SeatrialError(
                f"the {one.source} is about another image", why=f"this image is {image.digest}",
                fix="scan this image and give that report",
            )  # fmt: skip
    return found


def _plain(found: Comparison) -> dict[str, Any]:
    import msgspec

    return {name: getattr(found, name) for name in msgspec.structs.asdict(found)}


def _print(found: Comparison, *, all_files: bool) -> None:
    from seatrial.reports.units import size

    if found.same:
        click.echo("the images hold the same packages, files and settings")
    for one in found.packages:
        sign = {"added": "+", "removed": "-", "changed": "~"}[one.how]
        versions = " -> ".join(filter(None, (", ".join(one.before), ", ".join(one.after))))
        click.echo(f"{sign} {one.kind:<6} {one.name} {versions}  {_signed(one.size_after - one.size_before)}")
    if all_files:
        for file in found.files:
            owner = f"  ({file.owner})" if file.owner else ""
            sign = {"added": "+", "removed": "-", "changed": "~"}[file.how]
            click.echo(f"{sign} {file.path}  {_signed(file.size_after - file.size_before)}{owner}")
    for folder in found.folders[:_SHOWN] if not all_files else ():
        counts = [(folder.added, "added"), (folder.removed, "removed"), (folder.changed, "changed")]
        said = ", ".join(f"{number} {word}" for number, word in counts if number)
        click.echo(f"  {folder.path}/  {said}  {_signed(folder.size_after - folder.size_before)}")
    if len(found.folders) > _SHOWN and not all_files:
        note(f"and {len(found.folders) - _SHOWN} more folders; --files names every file")
    for setting in found.settings:
        click.echo(f"  {setting.name}: {_value(setting.before)} -> {_value(setting.after)}")
    shared = found.layers
    click.echo(
        f"layers  {shared.shared} shared ({size(shared.shared_bytes)}), {shared.before} only before "
        f"({size(shared.before_bytes)}), {shared.after} only after ({size(shared.after_bytes)})"
    )
    click.echo(f"files   {size(found.size_before)} -> {size(found.size_after)}")
    if found.vulnerabilities is not None:
        _print_vulnerabilities(found.vulnerabilities)


def _print_vulnerabilities(found: Findings) -> None:
    for sign, several in (("+", found.new), ("-", found.gone)):
        for one in several:
            click.echo(f"{sign} {one.id} ({one.severity}) in {one.package} {one.version}".rstrip())
    click.echo(f"vulnerabilities  {len(found.new)} new, {len(found.gone)} gone, {found.both} in both")


def _signed(number: int) -> str:
    from seatrial.reports.units import size

    return f"{'+' if number >= 0 else '-'}{size(abs(number))}"


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
