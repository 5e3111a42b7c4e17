"""Dockerfiles and dependency files, each Dockerfile judged with what it installs."""

from __future__ import annotations

import posixpath
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from seatrial.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from seatrial.checking.subject import Subject
    from seatrial.findings import Finding
    from seatrial.images.story.model import Stage, Story
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
    known: dict[str, Story] = {}

    def read(changed: Mapping[str, Source]) -> list[Story]:
        found = dict(_stories(dockerfiles, listing, _over(changed, first.read), changed, known))
        if not changed:
            known.update(found)
        return list(found.values())

    resolver = None
    if first.images.resolve:
        from seatrial.images.resolving import resolver as make

        resolver = make(refresh=first.images.refresh)
    return judge.check(read, target(first.target), resolver, keep=first.images.keep)


def final(subjects: Sequence[Subject], *, without: str = "") -> Story:
    """The story of the image that a folder is for: of its one Dockerfile, or the one at its top; else of its requirements.

    `without` is a dependency file that does not count.

    Raises:
        UsageError: there is none, or several that could be meant.
    """
    from seatrial.images.story.reading import from_sources

    files = [one for one in subjects if one.recognised.kind == "dockerfile"]
    if files:
        return _in_its_context(_one([one.source for one in files]), files[0].read)
    listing = [
        one.source.path
        for one in subjects
        if one.recognised.kind in _DEPENDENCIES and one.source.path != without
    ]
    story = from_sources(None, subjects[0].read, listing) if listing else None
    if story is None or not story.stages:
        raise UsageError("no Dockerfile and no dependency file installs anything here")
    main = _one([_first_file(one) for one in story.stages])
    return msgspec.structs.replace(
        story, stages=tuple(one for one in story.stages if _first_file(one) == main)
    )


_TOP = ("Dockerfile", "Containerfile", "requirements.txt", "pyproject.toml", "environment.yml")


def _one(sources: Sequence[Source]) -> Source:
    """The only one, or the one that is called as everybody calls the main one."""
    for name in _TOP if len(sources) > 1 else ():
        for one in sources:
            if one.path == name:
                return one
    if len(sources) > 1:
        raise UsageError(
            f"which of them is meant? {', '.join(one.path for one in sources)}",
            why="one image is locked at a time",
            fix="give the folder of one of them",
        )
    return sources[0]


def _first_file(stage: Stage) -> Source:
    from seatrial.images.story.model import Install

    return next(step.at.source for step in stage.steps if isinstance(step, Install))


def _over(
    changed: Mapping[str, Source], read: Callable[[str], Source | None]
) -> Callable[[str], Source | None]:
    """Read files, some of them as they would be after a change."""
    return lambda path: changed[path] if path in changed else read(path)


def _stories(
    dockerfiles: Sequence[Source],
    listing: Sequence[str],
    read: Callable[[str], Source | None],
    changed: Mapping[str, Source],
    known: Mapping[str, Story],
) -> Iterator[tuple[str, Story]]:
    """Stories by what they are about. One in `known` is taken as it is, unless it read a file that `changed`."""
    from seatrial.images.story.reading import from_sources

    def again(name: str, make: Callable[[], Story]) -> Story:
        old = known.get(name)
        return make() if old is None or changed.keys() & old.sources.keys() else old

    used: set[str] = set()
    for one in dockerfiles:
        story = again(one.path, partial(_in_its_context, changed.get(one.path, one), read))
        used |= _installed(story)
        yield one.path, story
    # Beside a Dockerfile that installs its own, other dependency files are for other purposes; they are judged too.
    rest: dict[str, list[str]] = {}
    for path in listing:
        if path not in used:
            rest.setdefault(posixpath.dirname(path), []).append(path)
    for folder, paths in rest.items():
        name = f"{folder}/: {' '.join(paths)}"
        story = again(name, partial(from_sources, None, read, paths))
        if story.stages:
            yield name, story


def _installed(story: Story) -> set[str]:
    """The dependency files that a Dockerfile installs."""
    from seatrial.images.story.model import Install

    return {
        file.path
        for stage in story.stages
        for step in stage.steps
        if isinstance(step, Install)
        for file in step.files
    }


def _in_its_context(dockerfile: Source, read: Callable[[str], Source | None]) -> Story:
    """The story of a Dockerfile in the folder that it is most likely built in: where what it copies is."""
    from seatrial.images.story.model import Install
    from seatrial.images.story.reading import from_sources

    folder = posixpath.dirname(dockerfile.path)
    best = from_sources(dockerfile, read, (), context=folder)
    while folder and any(
        isinstance(step, Install) and step.unread for stage in best.stages for step in stage.steps
    ):
        folder = posixpath.dirname(folder)
        best = max(best, from_sources(dockerfile, read, (), context=folder), key=lambda one: len(one.sources))
    return best
