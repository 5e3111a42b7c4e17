"""`seatrial image rebase`: an image's own layers onto a patched base."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.smoke import tell_smoke
from seatrial.reports.units import counted, megabytes

if TYPE_CHECKING:
    from seatrial.images.rebase.model import Rebased, Report
    from seatrial.images.testing.smoke import Smoke

_MARKS = {"pass": "ok  ", "fail": "FAIL", "skip": "skip"}
_SHOWN = 10


@click.command(
    epilog="Example: seatrial image rebase registry.example/team/app:1 --tag registry.example/team/app:2 --push"
)
@click.argument("image", metavar="FOLDER|REF")
@click.option(
    "--onto", metavar="BASE", help="The new base; by default the old one's name, made or looked up again."
)
@click.option(
    "--from", "old", metavar="BASE",
    help="The old base, when the image does not say it: a reference, a layout folder, or its number of layers.",
)  # fmt: skip
@click.option(
    "--oci", "out", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path), help="Write the result here."
)  # fmt: skip
@click.option("--tag", metavar="REGISTRY/REPO:TAG", help="What to push it as.")
@click.option("--push", is_flag=True, help="Push it; needs --tag.")
@click.option("--check", is_flag=True, help="Only say whether it may be done.")
@click.option(
    "--drop-bytecode", is_flag=True, help="Leave out Seatrial's bytecode layers if the new base's Python cannot use them."
)  # fmt: skip
@click.option(
    "--platform", default="", metavar="OS/ARCH", help="Only this image of several; default: all of them."
)
@click.option(
    "--smoke/--no-smoke", default=True, show_default=True, help="Start the new image for a moment, or not."
)
@click.option("--insecure", is_flag=True, help="Allow registries without TLS (loopback needs no flag).")
@json_option
@directory_option
def rebase(image: str, *, as_json: bool, push: bool, **options: Any) -> None:
    """Move the layers of an image onto a patched base, without building it again.

    Nothing is written unless the checks allow it. The layers themselves stay as they are, to the bit. Exit code 1:
    it may not be done; the checks say why.
    """
    if push != bool(options["tag"]):
        raise click.UsageError("--push and --tag belong together: --tag REGISTRY/REPO:TAG --push")
    if options["check"] and (push or options["out"]):
        raise click.UsageError("--check writes nothing, so it takes neither --oci nor --tag")
    from seatrial.images.rebase.model import Request
    from seatrial.images.rebase.run import rebase as run

    if push:
        from seatrial.images.reference import parse

        parse(options["tag"])
    wanted = options.pop("smoke")
    report = run(Request(image=image, **options))
    tried = _tried(report) if wanted else None
    if as_json:
        print_json({**_as_dict(report, image), "smoke": tried})
        raise SystemExit(1 if report.verdict == "may not" or (tried and tried.status == "fail") else 0)
    _print(report, image, pushed=push)
    if tried is not None:
        tell_smoke(tried, Path(report.place))
    raise SystemExit(1 if report.verdict == "may not" else 0)


def _tried(report: Report) -> Smoke | None:
    """A short test of what was written here. What only went to a registry is not here as a whole, and that is said."""
    from seatrial.images.assemble.spec import AssembledImage
    from seatrial.images.testing.smoke import Smoke, smoke

    if not report.digest:
        return None
    place = Path(report.place)
    if not (place / "index.json").is_file():
        return Smoke(status="skip", left_out=("the rebased image is in the registry only",))
    return smoke(
        place,
        [
            AssembledImage(platform=one.platform, digest=one.digest, size=0, layers=())
            for one in report.images
        ],
    )


def _as_dict(report: Report, image: str) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(report)
    found["checks"] = msgspec.to_builtins(report.checks)
    found["next"] = _next(report, image)
    return found


def _next(report: Report, image: str) -> str:
    if report.verdict == "may" and not report.digest:
        return f"seatrial image rebase {image}"
    return f"seatrial image test {report.place}" if report.digest else ""


def _print(report: Report, image: str, *, pushed: bool) -> None:
    for one in report.images:
        if len(report.images) > 1:
            click.echo(f"{one.platform}:")
        _print_image(one)
    for line in report.notes:
        note(f"note: {line}")
    if report.read:
        note(f"read {counted(len(report.read), 'layer')}, {megabytes(report.read_bytes)}, from registries")
    if report.digest:
        new = sum(layer.size for one in report.images for layer in one.layers if not layer.reused)
        note(f"{megabytes(report.size)}, of which {megabytes(new)} new, in {report.seconds:.1f} s")
        sent = f", {megabytes(report.pushed_bytes)} sent" if pushed else ""
        note(f"the rebased image is in {report.place}{sent}")
    following = _next(report, image)
    if following:
        note(f"next: {following}")
    sys.stdout.write(f"{report.digest or report.verdict}\n")


def _print_image(one: Rebased) -> None:
    if one.base is not None and one.onto is not None:
        note(f"from {_side(one.base.name, one.base.digest)} to {_side(one.onto.name, one.onto.digest)}")
    for check in one.checks:
        note(f"{_MARKS[check.status]} {check.id}: {check.message}")
        if check.fix:
            note(f"     fix: {check.fix}")
        if check.status == "fail":
            _list(check.details)
    for title, lines in (("packages of the base", one.packages), ("settings", one.changes)):
        if lines:
            note(f"{title}:")
            _list(lines)


def _side(name: str, digest: str) -> str:
    return " ".join(part for part in (name or "a base", digest[7:19]) if part)


def _list(lines: tuple[str, ...]) -> None:
    for line in lines[:_SHOWN]:
        note(f"       {line}")
    if len(lines) > _SHOWN:
        note(f"       … and {len(lines) - _SHOWN} more (--json lists them)")
