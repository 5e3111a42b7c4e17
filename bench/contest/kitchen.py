"""What all contestants get alike: the lock, a folder of its wheels, the base in a registry, the project."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path  # noqa: TC003 - msgspec reads the annotation

import msgspec

from seatrial.images.assemble.fetch import wheel_path

HEAVY = ("torch", "pyarrow")  # what a careful author gives a layer of its own


class Kitchen(msgspec.Struct, frozen=True, kw_only=True):
    """The ingredients. `wheels` has every wheel of both locks; `base` is `HOST/base:1` in the registry.

    `lock` and `changed` are hashed requirement files that differ in one small pin, named `pin`. `docker` is the
    address of a Docker engine, or empty.
    """

    folder: Path
    cache: Path
    wheels: Path
    lock: str
    changed: str
    pin: str
    registry: str
    base: str
    uv: str
    docker: str


def resolve(requirements: str, find_links: Path | None, folder: Path, uv: str) -> str:
    """Requirements with exact versions and hashes for the base's Python."""
    asked = folder / "asked.in"
    asked.write_text(requirements)
    argv = [
        uv, "pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate", "--no-config",
        "--only-binary", ":all:", "--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_36",
        *(["--find-links", str(find_links)] if find_links else []), str(asked),
    ]  # fmt: skip
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def without_index(lock: str) -> str:
    """The lock alone: where its wheels are is said on the command line."""
    return "".join(line for line in lock.splitlines(keepends=True) if not line.startswith("--"))


def older(lock: str, name: str, find_links: Path | None, folder: Path, uv: str) -> str:
    """The same lock with one small package in its version before."""
    pins = re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s\\]+)", lock)
    kept = "".join(f"{one}=={version}\n" if one != name else f"{one}<{version}\n" for one, version in pins)
    return without_index(resolve(kept, find_links, folder, uv))


def fill_wheelhouse(folder: Path, lock: str, find_links: Path | None, base: str) -> Path:
    """Every wheel of the lock under its own name, fetched by Seatrial's own means and so in its store as well."""
    from seatrial.images.assemble.fetch import fetch
    from seatrial.images.assemble.image import prepare_project
    from seatrial.images.assemble.spec import ImageSpec
    from seatrial.images.assemble.store import using

    project = folder / "fetching"
    project.mkdir(exist_ok=True)
    (project / "requirements.txt").write_text(lock)
    if find_links:
        os.environ["UV_FIND_LINKS"] = str(find_links)
    wheels = folder / "wheels"
    wheels.mkdir(exist_ok=True)
    with using() as use:
        spec = ImageSpec(root=project, base=base, requirements=("requirements.txt",))
        resolution = prepare_project(spec, use).resolution
        fetch(resolution.lock.wheels, resolution.urls)
        for wheel in resolution.lock.wheels:
            place = wheels / wheel.filename
            if not place.exists():
                shutil.copyfile(wheel_path(wheel.sha256), place)
    os.environ.pop("UV_FIND_LINKS", None)
    return wheels


def write_project(folder: Path, lock: str, source: str) -> Path:
    """What a user has: a lock, a program, settings."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "requirements.txt").write_text(lock)
    names = "|".join(HEAVY)
    blocks = re.findall(rf"(?ms)^(?:{names})==.*?(?=^\S|\Z)", lock)
    (folder / "heavy.txt").write_text("".join(blocks))
    (folder / "app.py").write_text(source)
    return folder


PYTHON = sys.executable
