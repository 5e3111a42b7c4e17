"""`seatrial build generate`: a build of the project, for the service that is to run it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from seatrial.cli.common import directory_option, json_option, note, print_json

if TYPE_CHECKING:
    from seatrial.builds.generate.files import Kind

_WHY = {
    "edited": "it was changed since Seatrial wrote it",
    "foreign": "Seatrial did not write it",
}


@click.command(
    epilog="Example: seatrial build generate . --push 123456789012.dkr.ecr.eu-west-1.amazonaws.com/team/iris"
)
@click.argument("project", metavar="[DIR]", default=".", type=click.Path(path_type=Path))
@click.option(
    "--for",
    "kind",
    type=click.Choice(["codebuild", "github"]),
    default="codebuild",
    show_default=True,
    help="AWS CodeBuild or GitHub Actions.",
)
@click.option(
    "--image", default="", metavar="NAME", help="Which image of seatrial.yaml, when there are several."
)
@click.option(
    "--push",
    multiple=True,
    metavar="REPO",
    help="Push to REGISTRY/REPOSITORY. Default: what seatrial.yaml says.",
)
@click.option(
    "--seatrial", default="", metavar="SPEC", help="What pip installs in the build. Default: this version."
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Where to; - is stdout. Default: buildspec.yml or .github/workflows/image.yml in DIR.",
)
@click.option(
    "--check", is_flag=True, help="Write nothing; exit with 1 when the file is not what would be generated."
)
@click.option("--force", is_flag=True, help="Overwrite a file that was changed or is not Seatrial's.")
@json_option
@directory_option
def generate(  # noqa: PLR0917 - click passes by name
    project: Path,
    kind: Kind,
    image: str,
    push: tuple[str, ...],
    seatrial: str,
    output: Path | None,
    check: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Write a build that checks, builds, tests and pushes the image of the project in DIR.

    Looks at seatrial.yaml, Dockerfile, requirements and tests. A file that was changed by hand is not overwritten;
    the difference is shown instead.
    """
    from seatrial import __version__, config
    from seatrial.builds.generate import files
    from seatrial.builds.generate.project import look
    from seatrial.errors import UsageError
    from seatrial.files import write_atomic

    if check and (force or str(output) == "-"):
        raise UsageError("--check writes nothing", fix="leave --force and --output - out")
    root = project.resolve()
    wanted = look(root, config.load(root), push=push, image=image)
    made = files.generate(
        wanted,
        kind,
        seatrial=seatrial or f"seatrial=={__version__}",
        options=_options(kind, image, push, seatrial),
    )
    if str(output) == "-":
        sys.stdout.write(made.text)
        return
    path = output or root / files.PLACES[kind]
    there = _read(path)
    found = files.state(there, made.text)
    written = not check and found != "same" and (force or found in ("absent", "outdated"))
    if written:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, made.text)
    if as_json:
        print_json({"path": str(path), "kind": kind, "state": found, "written": written, "text": made.text})
    else:
        _say(path, there, made.text, found, written=written)
    if found != "same" and not written:
        raise SystemExit(1)


def _options(kind: str, image: str, push: tuple[str, ...], seatrial: str) -> list[str]:
    """The options that decide what is in the file; where it lies does not."""
    options = ["--for", kind] if kind != "codebuild" else []
    options += ["--image", image] if image else []
    options += [word for repository in push for word in ("--push", repository)]
    return options + (["--seatrial", seatrial] if seatrial else [])


def _read(path: Path) -> str | None:
    from seatrial.errors import UsageError

    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("the file that is there cannot be read", where=str(path), why=str(error)) from error


def _say(path: Path, there: str | None, wanted: str, found: str, *, written: bool) -> None:
    if found == "same":
        note(f"{path} is what would be generated")
        return
    if there is not None:
        from seatrial.reports.text import render_diff, wants_colour
        from seatrial.sources.text import Source

        pair = (Source(str(path), there), Source(str(path), wanted))
        sys.stdout.write(render_diff([pair], colour=wants_colour(sys.stdout)))
    if written:
        note(f"wrote {path}")
    elif found == "absent":
        note(f"there is no {path}")
    else:
        reason = _WHY.get(found, "another project, other options or another version of Seatrial made it")
        note(f"{path} is not what would be generated: {reason}; `--force` overwrites it")
