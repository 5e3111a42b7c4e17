"""From a folder, or files that were read already, to stories."""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.images.story.leftover import alone
from seatrial.images.story.model import Install, Story
from seatrial.images.story.stages import read_stages
from seatrial.sources import dockerfile as dockerfiles
from seatrial.sources import text
from seatrial.sources.text import Source, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from seatrial.sources.dockerfile_model import Dockerfile

_MOST_BYTES = 20_000_000


def read(
    root: Path,
    *,
    dockerfile: Path | None = None,
    build_args: Mapping[str, str] | None = None,
    python: str = "",
) -> Story:
    """The story of one Dockerfile with `root` as its build context; without one, of the dependency files in `root`.

    `dockerfile` is the one at the top of `root` unless given. `build_args` are what the builder is given with
    `--build-arg`. `python` is the version asked for where the files do not say one.

    Raises:
        SourceError: the Dockerfile cannot be read.
    """
    reader = _reader(root)
    path = _shown(dockerfile, root) if dockerfile is not None else _first_dockerfile(root)
    if path:
        return from_sources(_must(root, path), reader, (), build_args=build_args, python=python)
    return from_sources(None, reader, _top_files(root), python=python)


def read_all(
    root: Path, *, build_args: Mapping[str, str] | None = None, python: str = ""
) -> tuple[Story, ...]:
    """A story for every Dockerfile at the top of `root`, and one for the dependency files there that none of them installs.

    Raises:
        SourceError: a Dockerfile cannot be read.
    """
    reader = _reader(root)
    listing = _top_files(root)
    found = [
        from_sources(_must(root, path), reader, listing, build_args=build_args, python=python)
        for path in listing
        if is_dockerfile(path) and "/" not in path
    ]
    rest = from_sources(None, reader, leftover(found, listing), python=python)
    return (*found, rest) if rest.stages or not found else tuple(found)


def from_sources(
    dockerfile: Source | None,
    read: Callable[[str], Source | None],
    listing: Iterable[str],
    *,
    build_args: Mapping[str, str] | None = None,
    python: str = "",
    context: str | None = None,
) -> Story:
    """The story of a Dockerfile, or without one, of the dependency files in `listing`; nothing is read but through `read`.

    `read` gives a file by its path, as findings show it, or None. `context` is the folder of the build context; without
    one it is the folder of those paths, or the Dockerfile's own where more of what it copies is there.
    """
    seen: dict[str, Source | None] = {}
    paths = tuple(listing)

    def once(path: str) -> Source | None:
        path = posixpath.normpath(path)
        if path.startswith("../") or path == ".":
            return None
        if path not in seen:
            seen[path] = read(path)
        return seen[path]

    asked = ""
    if dockerfile is None:
        # A file above is for whatever else is there: it says nothing about the Python of these.
        folder = posixpath.commonpath([posixpath.dirname(path) for path in paths]) if paths else ""
        stages, asked = alone(once, paths)
    else:
        parsed = dockerfiles.read(dockerfile)
        folder = _context(parsed, paths, once) if context is None else context
        stages = read_stages(parsed, once, build_args or {}, folder)
    version = once(posixpath.join(folder, ".python-version"))
    lines = version.text.split() if version is not None else []
    sources = {path: source for path, source in seen.items() if source is not None}
    return Story(
        stages=stages,
        sources=sources | ({dockerfile.path: dockerfile} if dockerfile is not None else {}),
        dockerfile=dockerfile,
        python=(lines[0] if lines else "") or asked or python,
    )


def _context(dockerfile: Dockerfile, listing: tuple[str, ...], read: Callable[[str], Source | None]) -> str:
    """The folder that has more of the files that are copied: the one that paths start from, or the Dockerfile's own."""
    own = posixpath.dirname(dockerfile.source.path)
    if not own:
        return ""
    copied = {
        posixpath.normpath(word.text.lstrip("/"))
        for one in dockerfile.instructions
        if one.keyword in ("COPY", "ADD") and one.flag("from") is None
        for word in one.words[:-1]
        if not any(special in word.text for special in "$*?[:<") and word.text not in (".", "./", "/")
    }

    def there(folder: str) -> int:
        found = 0
        for name in copied:
            path = posixpath.normpath(posixpath.join(folder, name))
            known = any(one == path or one.startswith(path + "/") for one in listing)
            found += known or (not listing and read(path) is not None)
        return found

    return own if there(own) > there("") else ""


def leftover(stories: Iterable[Story], listing: Iterable[str]) -> tuple[str, ...]:
    """The files of a listing that no story installs; none where a Dockerfile brings dependency files that it reads."""
    stories = tuple(stories)
    used = {
        source.path
        for story in stories
        for stage in story.stages
        for step in stage.steps
        if isinstance(step, Install)
        for source in step.files
    }
    return () if used else tuple(path for path in listing if not is_dockerfile(path))


def is_dockerfile(path: str) -> bool:
    """Whether a file is a Dockerfile by its name."""
    name = posixpath.basename(path).lower()
    if name.endswith((".dockerignore", ".md", ".py", ".sh", ".j2", ".jinja")):
        return False
    return (
        name in ("dockerfile", "containerfile")
        or name.startswith("dockerfile.")
        or name.endswith(".dockerfile")
    )


def _reader(root: Path) -> Callable[[str], Source | None]:
    base = root.resolve()

    def reader(path: str) -> Source | None:
        file = root / path
        try:
            # A link that leaves the context is not in it; a builder would not follow it either.
            if (
                not file.is_file()
                or not file.resolve().is_relative_to(base)
                or file.stat().st_size > _MOST_BYTES
            ):
                return None
            return text.read(file, path)
        except (SourceError, OSError, ValueError):
            return None

    return reader


def _must(root: Path, path: str) -> Source:
    return text.read(root / path, path)


def _shown(file: Path, root: Path) -> str:
    import os

    return Path(os.path.relpath(file.absolute(), root.absolute())).as_posix()


def _top_files(root: Path) -> tuple[str, ...]:
    """The files of a folder, and those in its `requirements`."""
    found = [one.name for one in root.iterdir() if one.is_file()]
    inside = root / "requirements"
    if inside.is_dir():
        found += [f"requirements/{one.name}" for one in inside.iterdir() if one.is_file()]
    return tuple(sorted(found))


def _first_dockerfile(root: Path) -> str:
    names = [name for name in _top_files(root) if is_dockerfile(name) and "/" not in name]
    return min(
        names, key=lambda name: (name.lower() not in ("dockerfile", "containerfile"), name), default=""
    )
