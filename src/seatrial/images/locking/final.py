"""The environment that the final image of a story runs: its own installs, and those of stages that it copies from."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from seatrial.images.story.model import Copy
from seatrial.images.timeline.read import timelines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.story.model import Stage, Story
    from seatrial.images.timeline.model import Moment, Package, Target, Timeline
    from seatrial.images.timeline.read import Resolver

# What is copied with these folders is what was installed into the image's own Python.
_OWN = ("/", "/usr", "/usr/local", "/usr/local/lib", "/opt/conda")
_INSIDE = ("site-packages", "dist-packages", "/.local")


class Final(msgspec.Struct, frozen=True):
    """`own` is a timeline of the final stage; `parts` are those whose packages end up in its environment, in order."""

    own: Timeline
    parts: tuple[Timeline, ...]

    @property
    def moments(self) -> Iterator[Moment]:
        for one in self.parts:
            yield from one.moments

    @property
    def packages(self) -> dict[str, Package]:
        """How it ends."""
        return {name: package for one in self.parts for name, package in one.final.items()}

    @property
    def python(self) -> str:
        """`3.11`, empty where nothing says it."""
        found = (one.python.version for one in (self.own, *self.parts))
        return next((one for one in found if one), "")


def final(story: Story, target: Target, resolver: Resolver | None) -> Final:
    """What is in the default environment of the last stage. Without a `resolver`, open versions stay open."""
    stage = story.stages[-1]
    lines = _of_stage(story, stage, target, resolver)
    parts = _parts(story, stage, stage.python_environment, target, resolver)
    own = next((one for one in lines if one.environment == stage.python_environment), lines[0])
    return Final(own, tuple(parts))


def _of_stage(story: Story, stage: Stage, target: Target, resolver: Resolver | None) -> list[Timeline]:
    """The timelines of any stage: what comes after it is cut off, so that nothing is built on it."""
    until = msgspec.structs.replace(story, stages=story.stages[: stage.index + 1])
    return [one for one in timelines(until, target, resolver) if one.stage.index == stage.index]


def _parts(
    story: Story, stage: Stage, environment: str, target: Target, resolver: Resolver | None
) -> list[Timeline]:
    found: list[Timeline] = []
    for step in story.steps(stage):
        origin = _origin(story, stage, step) if isinstance(step, Copy) else None
        if origin is None or not isinstance(step, Copy):
            continue
        there = _of_stage(story, origin, target, resolver)
        environments = dict.fromkeys((*(one.environment for one in there), origin.python_environment))
        for one in environments:
            if any(_covers(source, one) for source in step.sources):
                found += _parts(story, origin, one, target, resolver)
    here = [one for one in _of_stage(story, stage, target, resolver) if one.environment == environment]
    return _unique([*found, *here])


def _unique(lines: list[Timeline]) -> list[Timeline]:
    """Each environment of each stage once: a stage may be copied from several times."""
    return list({(one.stage.index, one.environment): one for one in lines}.values())


def _origin(story: Story, stage: Stage, step: Copy) -> Stage | None:
    """The earlier stage that is copied from; None where it is another image or the build context."""
    if not step.origin:
        return None
    for one in story.stages[: stage.index]:
        if step.origin in (one.name, str(one.index)) or step.origin.lower() == one.name.lower() != "":
            return one
    return None


def _covers(source: str, environment: str) -> bool:
    path = posixpath.normpath("/" + source.lstrip("/"))
    if not environment:
        return path in _OWN or any(part in path for part in _INSIDE)
    return path == environment or environment.startswith(path.rstrip("/") + "/")
