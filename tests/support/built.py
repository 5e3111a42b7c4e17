"""Builds run by the command line, in a folder of a test's own."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from support.commands import seatrial


def write(folder: Path, spec: str, **files: str) -> Path:
    """A source folder with a buildspec and further files (`__` in a name stands for a dot)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "buildspec.yml").write_text(spec)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content)
    return folder


def phases(**commands: list[str] | str) -> str:
    """A buildspec of version 0.2; a phase is a list of commands, or YAML."""
    lines = ["version: 0.2", "phases:"]
    for name, what in commands.items():
        lines.append(f"  {name}:")
        if isinstance(what, str):
            lines += [f"    {line}" for line in what.splitlines()]
        else:
            lines += ["    commands:", *(f"      - {json.dumps(command)}" for command in what)]
    return "\n".join(lines) + "\n"


def build(folder: Path, *arguments: str, **environ: str) -> dict[str, Any]:
    """Run the build of a folder and return what `--json` prints."""
    done = seatrial(folder, "build", "run", ".", "--json", *arguments, **environ)
    assert done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    expected = {"SUCCEEDED": 0, "STOPPED": 130}.get(found["build_status"], 1)
    assert done.returncode == expected, done.stderr
    return found


def statuses(found: dict[str, Any]) -> dict[str, str | None]:
    return {stage["name"]: stage["phase_status"] for stage in found["stages"]}


def log(folder: Path, found: dict[str, Any], step: str = "") -> str:
    """The build's log, or that of one of its steps."""
    done = seatrial(folder, "runs", "logs", found["id"], *([step] if step else []))
    assert done.returncode == 0, done.stderr
    return done.stdout


def context(found: dict[str, Any], phase: str) -> tuple[str, str]:
    stage = next(stage for stage in found["stages"] if stage["name"] == phase)
    (one,) = stage["contexts"]
    return one["statusCode"], one["message"]


def living(mark: str, file: str) -> list[str]:
    """Processes of this machine that have `mark` in their `file` (`cmdline`, `environ`)."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit() and int(place.name) != os.getpid():
            with suppress(OSError):
                found += [place.name] if mark.encode() in (place / file).read_bytes() else []
    return found
