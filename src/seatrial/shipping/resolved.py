"""Findings about what the resolver chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seatrial.findings import Finding
    from seatrial.images.assemble.spec import ImageSpec
    from seatrial.images.story.model import Story
    from seatrial.images.timeline.model import Resolved
    from seatrial.sources.text import Source


def findings_of(spec: ImageSpec, versions: Mapping[str, str], python: str) -> list[Finding]:
    """What is known to fail in this set of versions, placed where the requirement files ask for it."""
    from seatrial.images import judge
    from seatrial.images.timeline.model import Resolved, Target

    answer = Resolved(versions=versions, locked=True)

    def resolver(*_about: object) -> Callable[..., Resolved]:
        return lambda *_install: answer

    return judge.check(lambda changed: [_story(spec, changed)], Target(python=python), resolver)


def _story(spec: ImageSpec, changed: Mapping[str, Source]) -> Story:
    """All requirement files of the image as one install, and each other file as its tool reads it, without a base."""
    import posixpath

    from seatrial.images.inputs.reading import kind_of
    from seatrial.images.story.leftover import alone, together
    from seatrial.images.story.model import Story
    from seatrial.sources import text
    from seatrial.sources.text import SourceError

    sources = dict(changed)

    def read(path: str) -> Source | None:
        if path not in sources:
            try:
                sources[path] = text.read(spec.root / path, path)
            except (SourceError, OSError, ValueError):
                return None
        return sources[path]

    plain = tuple(name for name in spec.requirements if kind_of(spec.root / name) == "requirements.txt")
    others = [name for name in spec.requirements if name not in plain]
    beside = [
        posixpath.join(posixpath.dirname(name), "pyproject.toml") for name in others if name.endswith(".lock")
    ]
    stages, _ = alone(read, tuple(dict.fromkeys((*others, *beside))))
    return Story(stages=(together(read, plain), *stages) if plain else stages, sources=sources)
