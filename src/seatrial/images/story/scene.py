"""What a command meets: where it runs, which files and variables are there, and which Python it would use."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from seatrial.images.story.model import Span
    from seatrial.images.story.words import Word
    from seatrial.sources.text import Source


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Around one command. `directory` and the paths given to `read` are absolute paths of the image.

    `environment` is the one that plain `python` uses here, as in `Install.environment`; `made` are the virtual
    environments that exist, `clones` the folders that were cloned, with `git+URL`. `variables` are those that programs see, `own` those that are set for this command alone.
    """

    at: Span
    directory: str
    read: Callable[[str], Source | None]
    variables: Mapping[str, str]
    own: dict[str, str] = {}
    environment: str = ""
    made: frozenset[str] = frozenset()
    clones: Mapping[str, str] = {}
    certain: bool = True

    def path(self, text: str) -> str:
        """A path as a program in this place understands it."""
        return posixpath.normpath(posixpath.join(self.directory, text))

    def variable(self, *names: str) -> str:
        """The value of the first of these variables that has one."""
        for name in names:
            value = self.own.get(name) or self.variables.get(name)
            if value:
                return value
        return ""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A program with its arguments, without `sudo`, `env` and the like before it.

    `program` is the installer (`pip`, `uv`, `conda` …), or else the first word's last part. `environment` is where the
    way it is called makes it install, None where that says nothing.
    """

    program: str
    words: tuple[Word, ...]
    arguments: tuple[Word, ...]
    environment: str | None = None
    piped: bool = False


SYSTEM_PREFIXES = frozenset({"/usr", "/usr/local", "", "/", "/opt/python", "/usr/bin", "/root/.local"})
"""Below these, `bin/python` is the image's own Python and no virtual environment."""


def environment_of(prefix: str, made: frozenset[str]) -> str:
    """The environment at a prefix: conda's by their name, a virtual environment by its path, else the image's own."""
    prefix = posixpath.normpath(prefix) if prefix else ""
    if prefix in made:
        return prefix
    parent, name = posixpath.split(prefix)
    if posixpath.basename(parent) == "envs":
        return f"conda:{name}"
    lowered = posixpath.basename(prefix).lower()
    if prefix in SYSTEM_PREFIXES or lowered.startswith("$"):
        return ""
    return prefix if lowered.endswith(("venv", "virtualenv")) or lowered in ("env", ".env") else ""
