"""What a stage's commands work on, and what a shell knows while they run."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from seatrial.images.story.scene import environment_of

if TYPE_CHECKING:
    from seatrial.images.story.image_files import ImageFiles
    from seatrial.images.story.values import Value, Variables
    from seatrial.sources.text import Source


class Machine:
    """What a stage's commands work on: its files, and what they leave behind for the next instruction."""

    def __init__(self, source: Source, files: ImageFiles) -> None:
        self.source = source
        self.files = files
        self.made: set[str] = set()
        self.clones: dict[str, str] = {}
        self.settings: dict[str, str] = {}
        self.login_environment = ""

    def copy(self) -> Machine:
        """The same for a stage that goes on from here."""
        other = Machine(self.source, self.files.copy())
        other.made = set(self.made)
        other.clones = dict(self.clones)
        other.settings = dict(self.settings)
        other.login_environment = self.login_environment
        return other


class Shell:
    """The state of one shell, or subshell: where it is, what it knows, and which environment is active."""

    def __init__(self, directory: str, variables: Variables, active: str | None) -> None:
        self.directory = directory
        self.variables = variables
        self.active = active

    def copy(self) -> Shell:
        return Shell(self.directory, self.variables.copy(), self.active)


def active_environment(variables: dict[str, Value], made: frozenset[str]) -> str:
    """The environment whose `bin` comes first on PATH; empty for the image's own Python."""
    path = variables.get("PATH")
    for entry in path.text.split(":") if path is not None else ():
        if entry.startswith("$"):
            break
        folder, name = posixpath.split(entry.rstrip("/"))
        if name == "bin":
            found = environment_of(folder, made)
            if found or re.search(r"conda|mamba|forge", folder):
                return found
    return ""
