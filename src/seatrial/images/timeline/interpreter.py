"""Which Python the packages of an image are installed for."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from seatrial.images.story.model import Command, Install, SystemInstall
from seatrial.images.timeline.model import Interpreter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.images.catalog import Contents
    from seatrial.images.story.model import Base, Step, Story

_VERSION = re.compile(r"(?<![\d.])(3\.\d{1,2})(?![\d])")
_APT = re.compile(r"python(3\.\d+)(?:-(?:dev|venv|minimal|full|distutils))?$")
_PROGRAM = re.compile(r"^python(3\.\d+)$")


def interpreter(
    asked: str, steps: Iterable[Step], contents: Contents | None, base: Base | None, story: Story, environment: str
) -> Interpreter:  # fmt: skip
    """The Python of an environment; the last word in the image counts, then its base, then the project's own files.

    `asked` is what the user said; it wins.
    """
    if asked:
        return Interpreter(asked, "as asked for")
    found = _installed(steps, environment)
    if found is not None:
        return found
    if contents is not None and contents.python:
        at = base.value or base.at if base is not None else None
        return Interpreter(_minor(contents.python), "the base image has it", at)
    if base is None and story.python:
        return Interpreter(_minor(story.python), "the project asks for it")
    return Interpreter("")


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def _installed(steps: Iterable[Step], environment: str) -> Interpreter | None:
    """Conda and uv say it outright; of Python packages of the distribution, only a single one is unambiguous."""
    system: dict[str, Interpreter] = {}
    said: Interpreter | None = None
    for step in steps:
        if isinstance(step, Install) and step.environment == environment:
            for one in step.requests:
                match = _VERSION.search(one.specifier) if one.name == "python" else None
                if match and step.tool == "conda":
                    said = Interpreter(match[1], "conda installs it", one.version or one.at)
        elif isinstance(step, SystemInstall):
            for package in step.packages:
                match = _APT.match(package.name)
                if match:
                    system.setdefault(match[1], Interpreter(match[1], f"{step.tool} installs it", package.at))
        elif isinstance(step, Command):
            said = _by_uv(step) or said
    if said is not None:
        return said
    return next(iter(system.values())) if len(system) == 1 else None


def _by_uv(step: Command) -> Interpreter | None:
    words = step.words
    if not words or posixpath.basename(words[0]) != "uv":
        return None
    if words[1:2] == ("venv",) or words[1:3] == ("python", "install"):
        match = _VERSION.search(" ".join(words[2:]))
        if match:
            return Interpreter(match[1], "uv installs it", step.at)
    return None
