"""A small base image with a Python that runs: this machine's interpreter and standard library."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.images import layout as oci

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_PACKAGES = ("collections", "encodings", "importlib", "json", "re", "lib-dynload")
PURELIB = f"/usr/local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
_LIBRARY_FOLDERS = ("usr/local/lib", PURELIB.lstrip("/").removesuffix("/site-packages"))
PASSWD = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33:web:/srv:/bin/false\n"


def base(
    layout: Path,
    *,
    extra: Mapping[str, bytes] | None = None,
    links: Mapping[str, str] | None = None,
    layers: Sequence[Mapping[str, bytes]] = (),
    env: Sequence[str] = (),
    python: bool = True,
    architecture: str = "amd64",
    config: Mapping[str, object] | None = None,
) -> Path:
    """Write a base as a layout and return it. Python is in /usr/local, as in the images named `python`.

    `extra` are further files, `links` symbolic links (path → target); `layers` are files of further layers.
    """
    oci.create(layout)
    first = dict(extra or {}) | {"/etc/passwd": PASSWD.encode(), "/etc/group": b"root:x:0:\nweb:x:33:\n"}
    blobs = [
        _layer(first, links or {}, python=python),
        *(_layer(files, {}, python=False) for files in layers),
    ]
    described = [oci.add_blob(layout, blob, oci.LAYER_GZIP.removesuffix("+gzip")) for blob in blobs]
    settings = {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin", *env], **(config or {})}
    top = oci.add_blob(
        layout,
        oci.encode(
            oci.Manifest(
                config=oci.add_blob(
                    layout,
                    oci.encode(
                        {
                            "architecture": architecture,
                            "os": "linux",
                            "config": settings,
                            "rootfs": {"type": "layers", "diff_ids": [d.digest for d in described]},
                        }
                    ),
                    oci.CONFIG,
                ),
                layers=tuple(described),
            )
        ),
        oci.MANIFEST,
        platform=oci.Platform(architecture),
    )
    oci.set_index(layout, oci.Index(manifests=(top,)))
    return layout


def _layer(files: Mapping[str, bytes], links: Mapping[str, str], *, python: bool) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for folder in (
            ("usr", "usr/local", "usr/local/bin", *_LIBRARY_FOLDERS, "etc", "tmp") if python else ()
        ):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            archive.addfile(entry)
        if python:
            _add_python(archive)
        for path, content in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
        for path, target in links.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return raw.getvalue()


def _add_python(archive: tarfile.TarFile) -> None:
    name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    program = Path(sys.executable).resolve()
    standard = Path(os.__file__).parent
    archive.add(program, f"usr/local/bin/{name}")
    entry = tarfile.TarInfo("usr/local/bin/python3")
    entry.type, entry.linkname = tarfile.SYMTYPE, name
    archive.addfile(entry)
    for place in standard.glob("*.py"):
        archive.add(place, f"usr/local/lib/{name}/{place.name}")
    for package in _PACKAGES:
        archive.add(standard / package, f"usr/local/lib/{name}/{package}", filter=_no_bytecode)
    entry = tarfile.TarInfo(PURELIB.lstrip("/"))
    entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    archive.addfile(entry)
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    libraries = sorted(set(re.findall(r"(/\S+\.so\S*)", listed)))
    # Engines make folders that no layer has, and not every engine lets other users into them.
    for folder in sorted({str(parent) for library in libraries for parent in Path(library).parents} - {"/"}):
        entry = tarfile.TarInfo(folder.lstrip("/"))
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(entry)
    for library in libraries:
        archive.add(Path(library).resolve(), library.lstrip("/"))


def _no_bytecode(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in entry.name or "/test" in entry.name else entry
