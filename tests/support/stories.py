"""Stories of texts, and their installs in a form that is short to write down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images.story import from_sources
from seatrial.images.story.model import Install
from seatrial.sources.text import Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from seatrial.images.story.model import Request, Span, Stage, Step, Story

_KEYWORDS = ("RUN", "COPY", "ADD", "ENV", "ARG", "WORKDIR", "SHELL")


def story_of(files: Mapping[str, str], *, build_args: Mapping[str, str] | None = None) -> Story:
    """The story of `Dockerfile` among these files, or of the files alone where there is none."""
    sources = {path: Source(path, text) for path, text in files.items()}
    return from_sources(sources.get("Dockerfile"), sources.get, files, build_args=build_args)


def stage_of(text: str, files: Mapping[str, str] | None = None) -> Stage:
    """The last stage of a Dockerfile that begins `FROM base` and goes on with `text`."""
    return story_of({"Dockerfile": f"FROM base\n{text}\n", **(files or {})}).stages[-1]


def installs_of(stage: Stage) -> list[Install]:
    return [step for step in stage.steps if isinstance(step, Install)]


def install_of(text: str, files: Mapping[str, str] | None = None) -> Install:
    """The one install of instructions, or of a command."""
    found = installs_of(
        stage_of(text if text.split(" ", maxsplit=1)[0] in _KEYWORDS else f"RUN {text}", files)
    )
    assert len(found) == 1, [one.at.text for one in found]
    return found[0]


def short(request: Request) -> str:
    """`name[extra]==1.0 @url` with what it has of these."""
    extras = f"[{','.join(request.extras)}]" if request.extras else ""
    specifier = ",".join(sorted(request.specifier.split(",")))
    return f"{request.name}{extras}{specifier}" + (f" @{request.url}" if request.url else "")


def shorts(install: Install) -> list[str]:
    return [short(one) for one in install.requests]


def spans(story: Story) -> Iterator[tuple[str, Span, Step | Request]]:
    """Every place that a story names: what it is, where it is, and whose it is."""
    for stage in story.stages:
        for step in stage.steps:
            yield "at", step.at, step
            if isinstance(step, Install):
                for request in step.requests + step.constraints:
                    yield "at", request.at, request
                    if request.versions is not None:
                        yield "versions", request.versions, request
                    if request.version is not None:
                        yield "version", request.version, request
