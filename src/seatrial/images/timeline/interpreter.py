"""Which Python the packages of an image are installed for."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from seatrial.images.catalog.systems import known
from seatrial.images.facts.versions import minor
from seatrial.images.story.model import Command, Install, SystemInstall
from seatrial.images.timeline.model import Interpreter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from seatrial.images.catalog import Contents
    from seatrial.images.story.model import Base, Step, Story

_VERSION = re.compile(r"(?<![\d.])(3\.\d{1,2})(?![\d])")
_APT = re.compile(r"python(3\.\d+)(?:-(?:dev|venv|minimal|full|distutils))?$")
_OTHERS = re.compile(
    r"conda|mamba|miniforge|pyenv|Python-3|python-build|asdf|\buv\b|deadsnakes|update-alternatives",
    re.IGNORECASE,
)
_SYSTEM = frozenset({"python3", "python3-pip", "python3-dev", "python3-venv", "python-is-python3"})


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
        return Interpreter(minor(contents.python), "the base image has it", at)
    system = _of_system(steps, contents)
    if system is not None:
        return system
    if base is None and story.python:
        return Interpreter(minor(story.python), "the project asks for it")
    return Interpreter("")


def _of_system(steps: Iterable[Step], contents: Contents | None) -> Interpreter | None:
    """The distribution's own Python, where the distribution installs it and no command may bring another one."""
    if contents is None or contents.python or contents.interpreter not in ("", "system") or not contents.os:
        return None
    steps = list(steps)
    if any(isinstance(one, Command) and _OTHERS.search(" ".join(one.words)) for one in steps):
        return None
    for step in steps:
        if isinstance(step, SystemInstall):
            for package in step.packages:
                if package.name in _SYSTEM:
                    version = known(contents.os).python
                    return (
                        Interpreter(version, f"the python3 of {contents.os}", package.at) if version else None
                    )
    return None


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
