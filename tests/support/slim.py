"""A base laid out like the images named `python`: a whole Python in /usr/local that can run pip.

It is this machine's interpreter with its standard library and what they are linked against. An interpreter that
a distribution patched to install elsewhere (Debian's own) does not fit.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from seatrial.images.layout import blob_path, read_image
from support.debian import image

if TYPE_CHECKING:
    from collections.abc import Sequence

NAME = f"python{sys.version_info[0]}.{sys.version_info[1]}"
SITE = f"usr/local/lib/{NAME}/site-packages"
_LEFT_OUT = (
    "site-packages",
    "test",
    "tests",
    "idle_test",
    "__pycache__",
    "turtledemo",
    "ensurepip",
    f"config-{sys.version_info[0]}",
)
_SETTINGS = {"Env": ["PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]}
# Compiled packages expect these from the system.
_ALSO = ("libstdc++.so.6", "libgcc_s.so.1", "libgomp.so.1")


def unfit() -> str:
    """Why this machine's interpreter cannot be a base; empty when it can."""
    if "posix_local" in sysconfig.get_scheme_names():
        return "this Python is a distribution's own, which installs packages elsewhere"
    if sys.implementation.name != "cpython":
        return "this Python is not CPython"
    return ""


def base(layout: Path, *, further: Sequence[bytes] = ()) -> Path:
    """Write the base as a layout and return it; `further` are layers (tar streams) on top."""
    image(layout, [_layer(), *further], _SETTINGS)
    return layout


def moved(layout: Path, out: Path, prefix: str) -> Path:
    """The same base with its Python in another place than /usr/local."""
    source = read_image(layout)
    raw = gzip.decompress(blob_path(layout, source.manifest.layers[0].digest).read_bytes())
    target = io.BytesIO()
    with tarfile.open(fileobj=io.BytesIO(raw)) as old, tarfile.open(fileobj=target, mode="w") as new:
        for member in old:
            content = old.extractfile(member) if member.isfile() else None
            member.name = re.sub(r"^usr/local(?=/|$)", prefix.lstrip("/"), member.name)
            new.addfile(member, content)
    image(out, [target.getvalue()], {"Env": [f"PATH={prefix}/bin:/usr/bin:/bin"]})
    return out


def _layer() -> bytes:
    raw = io.BytesIO()
    standard = Path(os.__file__).parent
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for folder in (
            "etc",
            "root",
            "tmp",
            "usr",
            "usr/bin",
            "usr/local",
            "usr/local/bin",
            "usr/local/lib",
            SITE,
        ):
            _add(archive, folder, tarfile.DIRTYPE)
        for path, text in (
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("etc/group", "root:x:0:\n"),
        ):  # fmt: skip
            entry = tarfile.TarInfo(path)
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
        program = Path(sys.executable).resolve()
        archive.add(program, f"usr/local/bin/{NAME}")
        for link in ("python3", "python"):
            _add(archive, f"usr/local/bin/{link}", tarfile.SYMTYPE, NAME if link == "python3" else "python3")
        archive.add(standard, f"usr/local/lib/{NAME}", filter=_wanted)
        headers = Path(sysconfig.get_paths()["include"])
        archive.add(headers / "pyconfig.h", f"usr/local/include/{NAME}/pyconfig.h")
        shell = Path("/bin/sh").resolve()
        archive.add(shell, "bin/sh")
        for library in sorted(_libraries([program, shell, *standard.glob("lib-dynload/*.so")])):
            # One from elsewhere is found here only where loaders look by themselves.
            usual = library.startswith(("/lib", "/usr/lib"))
            place = library.lstrip("/") if usual else f"usr/lib/{Path(library).name}"
            archive.add(Path(library).resolve(), place)
    return raw.getvalue()


def _add(archive: tarfile.TarFile, path: str, kind: bytes, target: str = "") -> None:
    entry = tarfile.TarInfo(path)
    entry.type, entry.mode, entry.linkname = kind, 0o755, target
    archive.addfile(entry)


def _wanted(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    name = entry.name.rpartition("/")[2]
    entry.uid = entry.gid = 0
    entry.mtime = 1_700_000_000
    return None if name.startswith(_LEFT_OUT) and not name.endswith(".py") else entry


def _libraries(programs: Sequence[Path]) -> set[str]:
    listed = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=False).stdout
    found = set(re.findall(r"(/\S+\.so\S*) \(0x", listed))
    cached = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False).stdout
    for name in _ALSO:
        found |= set(re.findall(rf"{re.escape(name)} \([^)]*(?:x86-64|AArch64)[^)]*\) => (\S+)", cached)[:1])
    return found
