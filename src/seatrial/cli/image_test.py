"""`seatrial image test`: evidence that an image works."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from seatrial.cli.common import directory_option, json_option, note, print_json
from seatrial.cli.image_source import METAVAR, find_image, source_options

if TYPE_CHECKING:
    from seatrial.config.model import Call
    from seatrial.images.testing.model import Level, Verdict

_MARKS = {"pass": "ok  ", "fail": "FAIL", "skip": "skip"}


@click.command(epilog="Example: seatrial image test ./image --level quick --lock pylock.toml")
@click.argument("source", metavar=METAVAR)
@click.option(
    "--level", type=click.Choice(["quick", "standard", "full"]), default="standard", show_default=True
)
@click.option(
    "--lock", type=click.Path(exists=True, dir_okay=False), help="Compare installed versions with this lock."
)
@click.option("--import", "imports", multiple=True, metavar="MODULE", help="A module that must import.")
@click.option(
    "--config",
    "configs",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file of checks, in Seatrial's form or container-structure-test's. May be repeated.",
)
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
@click.option(
    "--gpu-type", metavar="GPU", help="GPU or instance type that it is for: A10G, sm_90, ml.g5.xlarge."
)
@click.option("--gpu", is_flag=True, help="It must see a GPU on this machine.")
@click.option(
    "--sagemaker", is_flag=True, help="Start it with `serve` and hold it to SageMaker's contract for hosting."
)
@click.option(
    "--scan",
    "scans",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    help="A scanner's report about the image: Trivy or Grype JSON, CycloneDX, SARIF.",
)
@click.option(
    "--project",
    "folder",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The project it was made from: its seatrial.yaml says what to test, and fixes name its files.",
)
@click.option("--image", "name", metavar="NAME", help="Which image of the project, when there are several.")
@click.option("--fresh", is_flag=True, help="Run all checks, also those that passed before.")
@click.option("--reports", type=click.Path(file_okay=False), default="test-reports", show_default=True)
@source_options
@json_option
@directory_option
def test(  # noqa: PLR0917 - click passes by name
    source: str,
    level: Level,
    lock: str | None,
    imports: tuple[str, ...],
    configs: tuple[Path, ...],
    request: str | None,
    expect: str | None,
    tolerance: float,
    port: int,
    serves: bool | None,
    gpu_type: str | None,
    gpu: bool,
    sagemaker: bool,
    scans: tuple[str, ...],
    folder: Path | None,
    name: str | None,
    fresh: bool,
    reports: str,
    platform: str,
    insecure: bool,
    as_json: bool,
) -> None:
    """Test an image and say what to do about each failure.

    What each level checks is in the reference, docs/reference/image-test.md. Reports are written as JSON, JUnit
    and HTML. What passed before for the same image and settings is answered from memory, security checks excepted.
    Exit code 1: a check failed.
    """
    from seatrial.cli.image_test_project import chosen_project, project_of, spec_for, with_configs
    from seatrial.images.testing.suite import run_tests

    project = chosen_project(folder, name)
    given: dict[str, Any] = {"imports": imports, "inference": _calls(request, expect, tolerance)}
    given |= {key: value for key, value in (("port", port), ("serves", serves)) if _is_given(key)}
    given |= _accelerated(gpu_type, gpu=gpu, sagemaker=sagemaker)
    spec = with_configs(spec_for(project, given, scans, source), configs)
    if project is not None and not _is_given("level"):
        level = project.image.test.level
    layout, digest = find_image(source, platform=platform, insecure=insecure)
    verdict = run_tests(
        layout,
        digest,
        level=level,
        spec=spec,
        lock=_locked(lock),
        out=Path(reports),
        project=project or project_of(digest),
        fresh=fresh,
    )
    if as_json:
        print_json(
            {"verdict": verdict.verdict, "checks": verdict.checks, "digest": verdict.digest, "level": level}
        )
    else:
        _print(verdict, reports)
    raise SystemExit(0 if verdict.verdict == "pass" else 1)


def _accelerated(gpu_type: str | None, *, gpu: bool, sagemaker: bool) -> dict[str, Any]:
    """What the command line says about GPUs and hosting; nothing where it leaves it to the project."""
    given: dict[str, Any] = {"gpu_required": gpu}
    if gpu_type is not None:
        from seatrial.images.testing.architectures import target_of

        target_of(gpu_type)
        given["gpu"] = gpu_type
    return given | ({"sagemaker": True} if sagemaker else {})


def _is_given(option: str) -> bool:
    source = click.get_current_context().get_parameter_source(option)
    return source is not click.core.ParameterSource.DEFAULT


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
    from seatrial.images.testing.report import edit_lines

    for check in verdict.checks:
        before = f" (as on {check.ran[:16]}Z)" if check.ran else ""
        click.echo(f"{_MARKS[check.status]} {check.id}: {check.message}{before}")
        if check.fix:
            click.echo(f"     fix: {check.fix}")
        if check.edit:
            for line in edit_lines(check.edit):
                click.echo(f"       {line}")
        if check.status == "fail":
            for line in check.details[:5]:
                click.echo(f"       {line}")
    click.echo(
        f"{verdict.verdict}: {len(verdict.checks)} checks in {verdict.seconds:.1f} s, level {verdict.level}"
    )
    remembered = sum(bool(check.ran) for check in verdict.checks)
    if remembered:
        note(f"{remembered} of them passed before and were not run again; --fresh runs all")
    note(f"reports: {reports}/image-tests.html, .xml, .json")
