"""Small projects to build, the base to build them for, and what asks the builder."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import sysconfig
import tarfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seatrial.images import bases
from seatrial.images.assemble.spec import ImageSpec
from seatrial.images.assemble.store import using
from seatrial.images.building.builder import builder
from seatrial.images.inputs.model import Unbuilt
from seatrial.images.probe import probe
from support.bases import base as small_base
from support.debian import needs_bwrap

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from seatrial.images.building.model import Limits
    from seatrial.images.inputs.model import Build, Built

IN_TREE = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
# A whole backend in a few lines: what is in `demo/` becomes a wheel. `run` is where a test puts what a build does.
BACKEND = """
import base64, hashlib, os, zipfile
NAME, VERSION, TAG = "demo", "1.0", "py3-none-any"

def build_wheel(out, config_settings=None, metadata_directory=None):
    run()
    stem = f"{NAME}-{VERSION}"
    pure = "true" if TAG.endswith("any") else "false"
    files = {f"{stem}.dist-info/METADATA": f"Metadata-Version: 2.1\\nName: {NAME}\\nVersion: {VERSION}\\n".encode(),
             f"{stem}.dist-info/WHEEL": f"Wheel-Version: 1.0\\nRoot-Is-Purelib: {pure}\\nTag: {TAG}\\n".encode()}
    for folder, _, names in os.walk("demo"):
        for name in names:
            with open(os.path.join(folder, name), "rb") as stream:
                files[os.path.join(folder, name)] = stream.read()
    digest = lambda c: base64.urlsafe_b64encode(hashlib.sha256(c).digest()).decode().rstrip("=")
    rows = [f"{name},sha256={digest(c)},{len(c)}" for name, c in files.items()]
    files[f"{stem}.dist-info/RECORD"] = "\\n".join([*rows, f"{stem}.dist-info/RECORD,,", ""]).encode()
    with zipfile.ZipFile(os.path.join(out, f"{stem}-{TAG}.whl"), "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return f"{stem}-{TAG}.whl"

def run():
    pass
"""
_PACKAGES = (
    "tomllib",
    "unittest",
    "asyncio",
    "email",
    "logging",
    "urllib",
    "http",
    "ctypes",
    "concurrent",
    "multiprocessing",
    "html",
    "xml",
)


def project(run: str = "pass", **values: str) -> dict[str, str]:
    """The files of a project whose build executes the lines of `run`; `values` are constants of the backend."""
    body = "".join(f"    {line}\n" for line in run.strip().splitlines())
    constants = "".join(f"{name} = {value!r}\n" for name, value in values.items())
    return {
        "pyproject.toml": IN_TREE,
        "backend.py": f"{BACKEND}\n{constants}\ndef run():\n{body}",
        "demo/__init__.py": "value = 1\n",
    }


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write the files of a project and return its folder."""
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
    return folder


def sdist(
    folder: Path, files: Mapping[str, str], *, name: str = "demo", version: str = "1.0", mode: str = "gz"
) -> Path:
    """Pack the files of a project as `NAME-VERSION.tar.gz` and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}.tar.{mode}"
    with tarfile.open(path, f"w:{mode}") as archive:  # type: ignore[call-overload]
        for place, content in files.items():
            entry, data = tarfile.TarInfo(f"{name}-{version}/{place}"), content.encode()
            entry.size, entry.mtime = len(data), 1_700_000_000
            archive.addfile(entry, io.BytesIO(data))
    return path


def base(layout: Path, *, env: Sequence[str] = ()) -> Path:
    """A base whose Python has all of the standard library that build backends use."""
    standard = Path(sysconfig.get_paths()["stdlib"])
    inside = f"usr/local/lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    extra = {
        f"{inside}/{path.relative_to(standard)}": path.read_bytes()
        for package in _PACKAGES
        for path in (standard / package).rglob("*.py")
    }
    for module in (standard / "lib-dynload").glob("*.so"):
        listed = subprocess.run(["ldd", str(module)], capture_output=True, text=True, check=False).stdout
        for library in re.findall(r"(/\S+\.so\S*)", listed):
            if "/ld-" not in library:  # it must be executable, and the small base has it
                extra[library.lstrip("/")] = Path(library).read_bytes()
    return small_base(layout, extra=extra, env=env)


@contextmanager
def building(
    base: Path, *, lines: list[str] | None = None, limits: Limits | None = None, **fields: Any
) -> Iterator[Build]:
    """A builder for an image on `base` (a layout, or a suite); what it says is added to `lines`."""
    needs_bwrap()
    said = lines if lines is not None else []
    options = {name: fields.pop(name) for name in ("point", "env", "refresh") if name in fields}
    spec = ImageSpec(root=Path("/"), base=str(base), **fields)
    with using() as use:
        prepared = bases.prepare(spec.base, use, packages=spec.packages, platform=spec.platform)
        yield builder(spec, prepared, probe(prepared, use), use, say=said.append, limits=limits, **options)


def of_sdist(path: Path, **fields: Any) -> Unbuilt:
    return Unbuilt(kind="sdist", url=str(path), **{"name": "demo", "version": "1.0", **fields})


def of_folder(path: Path, **fields: Any) -> Unbuilt:
    return Unbuilt(kind="folder", url=str(path), **fields)


def content_of(built: Built) -> dict[str, bytes]:
    """The files of a wheel in the store."""
    import zipfile

    from seatrial.images.assemble.fetch import wheel_path

    with zipfile.ZipFile(wheel_path(built.wheel.sha256)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}
