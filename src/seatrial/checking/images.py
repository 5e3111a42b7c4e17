"""Dockerfiles and dependency files, each Dockerfile judged with what it installs."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from seatrial.checking.subject import Subject
    from seatrial.findings import Finding
    from seatrial.images.story.model import Story
    from seatrial.sources.text import Source

_DEPENDENCIES = frozenset({"requirements", "pyproject", "conda-environment"})


def check(subjects: Sequence[Subject]) -> list[Finding]:
    """Findings about images. Dependency files that no Dockerfile installs are judged by themselves."""
    dockerfiles = [one.source for one in subjects if one.recognised.kind == "dockerfile"]
    listing = [one.source.path for one in subjects if one.recognised.kind in _DEPENDENCIES]
    if not dockerfiles and not listing:
        return []
    from seatrial.images import judge
    from seatrial.images.timeline.target import target

    first = subjects[0]

    def read(changed: Mapping[str, Source]) -> list[Story]:
        files = [changed.get(one.path, one) for one in dockerfiles]
        return list(_stories(files, listing, _over(changed, first.read)))

    resolver = None
    if first.images.resolve:
        from seatrial.images.resolving import resolver as make

        resolver = make(refresh=first.images.refresh)
    return judge.check(read, target(first.target), resolver, keep=first.images.keep)


def _over(
    changed: Mapping[str, Source], read: Callable[[str], Source | None]
) -> Callable[[str], Source | None]:
    """Read files, some of them as they would be after a change."""
    return lambda path: changed[path] if path in changed else read(path)


def _stories(
    dockerfiles: Sequence[Source], listing: Sequence[str], read: Callable[[str], Source | None]
) -> Iterator[Story]:
    from seatrial.images.story.model import Install
    from seatrial.images.story.reading import from_sources

    used: set[str] = set()
    for one in dockerfiles:
        story = _in_its_context(one, read)
        used |= {
            file.path
            for stage in story.stages
            for step in stage.steps
            if isinstance(step, Install)
            for file in step.files
        }
        yield story
    # Beside a Dockerfile that installs its own, other dependency files are for other purposes; they are judged too.
    rest = [path for path in listing if path not in used]
    if rest:
        story = from_sources(None, read, rest)
        if story.stages:
            yield story


def _in_its_context(dockerfile: Source, read: Callable[[str], Source | None]) -> Story:
    """The story of a Dockerfile in the folder that it is most likely built in: where what it copies is."""
    from seatrial.images.story.reading import from_sources

    folder = posixpath.dirname(dockerfile.path)
    contexts = [folder]
    while folder:
        folder = posixpath.dirname(folder)
        contexts.append(folder)
    stories = [from_sources(dockerfile, read, (), context=one) for one in contexts]
    return max(stories, key=lambda one: len(one.sources))
