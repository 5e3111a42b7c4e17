"""From a story to its timelines: one for each environment of each stage that nothing else is built on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images import catalog, facts
from seatrial.images.story.model import Command, Install, Setting
from seatrial.images.timeline.interpreter import interpreter
from seatrial.images.timeline.model import Package, Packages, Target, Timeline
from seatrial.images.timeline.replay import replay

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from seatrial.images.catalog import Contents
    from seatrial.images.story.model import Base, Stage, Step, Story
    from seatrial.images.timeline.replay import Resolve

    Resolver = Callable[[Base | None, Contents | None, str, Target], Resolve]


def timelines(story: Story, target: Target | None = None, resolver: Resolver | None = None) -> list[Timeline]:
    """The timelines of a story; a stage that installs nothing has one as well, for rules about bases and settings.

    A `resolver` is asked about each install; without one, open versions stay open.
    """
    target = target or Target()
    return [
        _timeline(story, stage, environment, target, resolver)
        for stage in story.leaves
        for environment in _environments(list(story.steps(stage)))
    ]


def _environments(steps: Sequence[Step]) -> list[str]:
    found = dict.fromkeys(one.environment for one in steps if isinstance(one, Install))
    return ["", *(one for one in found if one)]


def _timeline(
    story: Story, stage: Stage, environment: str, target: Target, resolver: Resolver | None
) -> Timeline:
    steps = tuple(story.steps(stage))
    base = story.lineage(stage)[0].base
    contents = catalog.identify(base.reference) if base is not None and base.reference else None
    python = interpreter(target.python, steps, contents, base, story, environment)
    start = _brought(contents) if not environment and contents is not None else {}
    resolve = resolver(base, contents, python.version, target) if resolver is not None else None
    moments, final = replay(
        start, steps, environment, python.version, architecture=target.architecture, resolve=resolve
    )
    return Timeline(
        story=story,
        stage=stage,
        target=target,
        base=contents,
        environment=environment,
        python=python,
        steps=steps,
        moments=moments,
        final=final,
        variables={one.name: one for one in steps if isinstance(one, Setting)},
    )


def _brought(contents: Contents) -> Packages:
    """What the base brings; its torch is a build of its own where the version says so."""
    found: Packages = {}
    for name, version in contents.packages.items():
        label = ""
        if name in ("torch", "torchvision", "torchaudio"):
            label = _build(contents, version)
        found[name] = Package(name=name, versions=(version,), variant=label, base=True)
    return _companions(contents, found) | found


def _companions(contents: Contents, found: Packages) -> Packages:
    """What is beside a released torch without a version said was made for it."""
    torch = found.get("torch")
    made = facts.companions(torch.exact) if torch is not None and torch.variant != "ngc" else {}
    return {
        name: Package(name=name, versions=versions, variant=torch.variant if torch else "", base=True)
        for name, versions in made.items()
        if name in contents.present and versions
    }


def _build(contents: Contents, version: str) -> str:
    local = version.partition("+")[2]
    if local.startswith(("cu", "cpu", "rocm")):
        return local
    if local or "a0" in version:
        return "ngc"
    cuda = contents.torch_cuda or ""
    return f"cu{''.join(cuda.split('.')[:2])}" if cuda else ""


def commands(timeline: Timeline) -> list[Command]:
    """The commands that are no installs, in order."""
    return [one for one in timeline.steps if isinstance(one, Command)]
