"""The image's entry point exists, may be executed, and is a program for this image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from seatrial.images import runtime
from seatrial.images.rootfs import locate
from seatrial.images.runtimes.launch import DEFAULT_PATH
from seatrial.images.testing import elf
from seatrial.images.testing.model import Check, Subject, failed, passed, skipped

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHELLS = {"sh", "bash", "dash", "ash"}


def check(subject: Subject) -> Iterator[Check]:
    """Look at the program, its script and its interpreter, in the order in which the kernel does."""
    settings = subject.root.settings
    if not (settings.get("Entrypoint") or settings.get("Cmd")):
        yield skipped("entrypoint", "the image has no entry point and no command")
        return
    line = runtime.command_of(subject.root, [], None)
    workdir = settings.get("WorkingDir") or "/"
    if locate(subject.root, workdir)[1] is None:
        yield failed(
            "entrypoint", f"the working directory {workdir} does not exist", "create it in the image"
        )
        return
    place, file, problem = _find(subject, line[0], workdir)
    if file is None or problem:
        yield failed("entrypoint", problem, "correct ENTRYPOINT or CMD, or add the program to the image")
        return
    yield _program(subject, line, place, file, workdir)


def _find(subject: Subject, program: str, workdir: str) -> tuple[str, Path | None, str]:
    variables = dict(str(item).partition("=")[::2] for item in subject.root.settings.get("Env") or [])
    path = variables.get("PATH", DEFAULT_PATH)
    for folder in [""] if "/" in program else path.split(":"):
        place = f"{folder}/{program}" if folder else program
        if not place.startswith("/"):
            place = f"{workdir}/{place}"
        resolved, file = locate(subject.root, place)
        if file is not None and file.is_dir():
            return resolved, None, f"the entry point {place} is a folder"
        if file is not None:
            return resolved, file, ""
        if "/" in program:
            dangling = (
                "is a symbolic link to nothing" if _is_link(subject, place) else "does not exist in the image"
            )
            return resolved, None, f"the entry point {place} {dangling}"
    return "", None, f"the entry point {program} is in no folder of PATH ({path})"


def _is_link(subject: Subject, place: str) -> bool:
    entry = subject.tree.get(place.strip("/"))
    return entry is not None and entry[1].kind == "l"


def _program(subject: Subject, line: list[str], place: str, file: Path, workdir: str) -> Check:
    mode = subject.tree[place.strip("/")][1].mode if place.strip("/") in subject.tree else 0o755
    if not mode & 0o111:
        return failed("entrypoint", f"{place} is not executable (mode {mode:04o})", f"chmod +x {place}")
    with file.open("rb") as stream:
        head = stream.read(256)
    if head.startswith(elf.MAGIC):
        problem = _binary(subject, place, file)
    elif head.startswith(b"#!"):
        problem = _script(subject, place, head)
    else:
        problem = (
            f"{place} is neither a program nor a script with #!",
            "give the script a first line such as #!/bin/sh",
        )
    if problem is None:
        problem = _argument(subject, line, workdir)
    return (
        failed("entrypoint", *problem)
        if problem
        else passed("entrypoint", f"{' '.join(line)[:200]} can start")
    )


def _binary(subject: Subject, place: str, file: Path) -> tuple[str, str] | None:
    header = elf.read(file)
    architecture = str(subject.root.config.get("architecture") or "")
    machine = elf.MACHINES.get(architecture)
    if header is None:
        return f"{place} is a damaged program", "build the image again"
    if machine and (header.machine, header.width) != machine:
        return f"{place} is not a program for {architecture}", f"build it for linux/{architecture}"
    if header.interpreter and locate(subject.root, header.interpreter)[1] is None:
        kind = "musl" if "musl" in header.interpreter else "glibc"
        return (
            f"{place} needs the loader {header.interpreter}, which is not in the image",
            f"it was built for a system with {kind}: use such a base image",
        )
    return None


def _script(subject: Subject, place: str, head: bytes) -> tuple[str, str] | None:
    first = head.partition(b"\n")[0]
    if first.endswith(b"\r"):
        return f"{place} has Windows line ends, so its interpreter is not found", "save it with \\n line ends"
    words = first[2:].decode(errors="replace").split()
    if not words:
        return f"{place} names no interpreter after #!", "write #!/bin/sh"
    if locate(subject.root, words[0])[1] is None:
        return (
            f"{place} is run by {words[0]}, which is not in the image",
            "install it or change the first line",
        )
    if words[0].endswith("/env") and len(words) > 1 and not words[1].startswith("-"):
        _, file, problem = _find(subject, words[1], "/")
        if file is None:
            return f"{place} is run by {words[1]}: {problem}", "install it or change the first line"
    return None


def _argument(subject: Subject, line: list[str], workdir: str) -> tuple[str, str] | None:
    """The script of `python FILE` and `sh FILE`: the first argument that is no option."""
    name = line[0].rpartition("/")[2]
    if not (name.startswith("python") or name in _SHELLS):
        return None
    for word in line[1:]:
        if word in ("-m", "-c"):
            return None
        if word.startswith("-"):
            continue
        place = word if word.startswith("/") else f"{workdir}/{word}"
        if locate(subject.root, place)[1] is None:
            return (
                f"{name} is to run {word}, which is not in the image at {place}",
                "copy it there or correct the path",
            )
        return None
    return None
