"""The image's Python starts, is the one that its packages were installed for, and finds editable installs."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.errors import SeatrialError
from seatrial.images.rootfs import Root, locate
from seatrial.images.runtimes.launch import DEFAULT_PATH
from seatrial.images.runtimes.users import who
from seatrial.images.testing import elf
from seatrial.images.testing.model import Check, Subject, failed, passed, skipped
from seatrial.images.testing.python import Python, find_program, find_python

if TYPE_CHECKING:
    from collections.abc import Iterator

    from seatrial.images.testing.python import Distribution

_SITE = re.compile(
    r"^(?P<prefix>.*?)/?lib/python(?P<version>3\.\d+)/(?:site|dist)-packages/[^/]+\.dist-info$"
)
_PROGRAM = re.compile(r"(?:^|/)(?:bin|local)/python(3\.\d+)$")


def ask(root: Root) -> tuple[Python | None, Check | None]:
    """The image's interpreter; or None and why it cannot be asked, if it has one that does not start.

    Raises:
        MissingToolError: this machine cannot run programs in images.
    """
    try:
        who(root, str(root.settings.get("User") or ""))
    except SeatrialError as error:
        # The check of permissions says what to do about it.
        return None, skipped("python", f"no program of the image can be started: {error.what}")
    try:
        return find_python(root), None
    except SeatrialError as error:
        if error.exit_code != SeatrialError.exit_code:
            raise
        return None, _trouble(root, error)


def check(subject: Subject) -> Iterator[Check]:
    """Say what is wrong with the interpreter before anything that is so because of it."""
    if subject.trouble is not None:
        yield subject.trouble
        return
    problem = _dangling(subject) or _other_python(subject)
    if problem is not None:
        yield problem
    elif subject.python is None:
        yield skipped("python", "the image has no Python")
    elif lost := [line for d in subject.python.distributions for line in _lost(subject.root, d)]:
        fix = "install the project itself in the image (pip install ., without -e), or copy its folder there"
        yield failed("python", lost[0], fix, lost)
    else:
        version = subject.python.markers.get("python_full_version", "")
        yield passed("python", f"{subject.python.program} is Python {version}")


def _trouble(root: Root, error: SeatrialError) -> Check:
    """Why the interpreter does not start, from its file where the file says it."""
    words = f"{error.what}: {error.why}" if error.why else error.what
    fix = error.fix or "repair the image's interpreter"
    program = find_program(root)
    header = elf.read(place) if program and (place := locate(root, program)[1]) is not None else None
    if header is None:
        return failed("python", words, fix)
    architecture = str(root.config.get("architecture") or "")
    machine = elf.MACHINES.get(architecture)
    if machine and (header.machine, header.width) != machine:
        other = next((n for n, m in elf.MACHINES.items() if m == (header.machine, header.width)), "other")
        message = f"{program} is a program for {other}, the image is for {architecture}"
        return failed("python", message, f"build the image from a base for linux/{architecture}")
    if "Exec format error" in words:
        return skipped("python", f"this machine cannot run programs for {architecture}")
    if header.interpreter and locate(root, header.interpreter)[1] is None:
        kind = "musl" if "musl" in header.interpreter else "glibc"
        message = f"{program} needs the loader {header.interpreter}, which is not in the image"
        return failed("python", message, f"it was built for a system with {kind}: use such a base image")
    if lost := re.search(r"shared libraries: ([^:\s]+): cannot open", words):
        message = f"{program} does not start: its library {lost[1]} is not in the image"
        return failed("python", message, f"install the package that has {lost[1]}, or copy it with Python")
    return failed("python", words, fix)


def _dangling(subject: Subject) -> Check | None:
    """A `python` in PATH that points to nothing: the next one in PATH runs, without the packages."""
    variables = dict(str(item).partition("=")[::2] for item in subject.root.settings.get("Env") or [])
    for folder in variables.get("PATH", DEFAULT_PATH).split(":"):
        for name in ("python3", "python"):
            entry = subject.tree.get(f"{folder}/{name}".strip("/"))
            if entry is None or entry[1].kind != "l":
                continue
            target, file = locate(subject.root, f"{folder}/{name}")
            if file is None:
                message = f"{folder}/{name} is a symbolic link to {target}, which is not in the image"
                fix = (
                    "make the virtual environment with the Python of the final base, or copy that Python too"
                )
                return failed("python", message, fix)
    return None


def _other_python(subject: Subject) -> Check | None:
    """Packages for a Python that is nowhere in the image, as when a stage copies them from another base."""
    installed: dict[tuple[str, str], int] = {}
    programs = set()
    for path, (_, entry) in subject.tree.items():
        if entry.kind == "d" and (match := _SITE.match(path)):
            key = (match["prefix"], match["version"])
            installed[key] = installed.get(key, 0) + 1
        elif entry.kind in "fl" and (match := _PROGRAM.search(path)):
            programs.add(match[1])
    mine = subject.python.markers.get("python_version", "") if subject.python else ""
    if not mine and not programs:
        return None  # an embedded interpreter: nothing here says which
    for (prefix, version), count in sorted(installed.items()):
        if version not in programs | {mine}:
            where = f"/{prefix}/lib/python{version}".replace("//", "/")
            have = mine or ", ".join(sorted(programs))
            message = f"{count} packages in {where} are for Python {version}, but the image's is {have}"
            return failed(
                "python", message, f"install the packages with Python {have}, or take a base with {version}"
            )
    return None


def _lost(root: Root, distribution: Distribution) -> Iterator[str]:
    """Folders that an editable install points to and that are not there."""
    folder = Path(distribution.folder)
    try:
        origin: Any = json.loads((folder / "direct_url.json").read_text())
        if not origin.get("dir_info", {}).get("editable"):
            return
    except (OSError, ValueError, AttributeError):
        return
    for file in distribution.files:
        _, place = locate(root, f"{distribution.site}/{file}")
        if "/" in file or place is None or not place.is_file():
            continue
        for target in _targets(file, place.read_text(errors="replace")):
            if target.startswith("/") and locate(root, target)[1] is None:
                yield f"{distribution.name} is an editable install of {target}, which is not in the image"


def _targets(file: str, text: str) -> Iterator[str]:
    """The folders of a .pth file, or of the finder that setuptools writes instead (its `MAPPING`)."""
    if file.endswith(".pth"):
        yield from (line.strip() for line in text.splitlines() if line.startswith("/"))
    elif file.startswith("__editable__") and file.endswith("_finder.py"):
        for found in re.findall(r"^MAPPING[^=]*=\s*(\{.*\})\s*$", text, re.MULTILINE):
            try:
                yield from (str(value) for value in ast.literal_eval(found).values())
            except (ValueError, SyntaxError):
                continue
