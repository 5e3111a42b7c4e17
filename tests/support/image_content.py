"""What broken and healthy images are made of: installed wheels, compiled modules, servers."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sysconfig
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.debian import PACKAGES, Item

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SERVER = """
import http.server, os, signal, sys, time
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(float(os.environ.get("SLOW", "0")))
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
    def log_message(self, *args): pass
if os.environ.get("STUBBORN"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Page).serve_forever()
"""
_MODULE = """
#define Py_LIMITED_API 0x03080000
#include <Python.h>
%(before)s
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "%(name)s", 0, -1, 0};
PyMODINIT_FUNC PyInit_%(name)s(void) { %(body)s; return PyModule_Create(&definition); }
"""


def wheel(
    name: str,
    version: str,
    files: Mapping[str, str | bytes],
    requires: Sequence[str] = (),
    *,
    site: str = PACKAGES,
    more: Mapping[str, str] | None = None,
    lost: Sequence[str] = (),
) -> list[Item]:
    """What installing a wheel leaves behind; `lost` are files that it lists and does not have."""
    info = f"{name}-{version}.dist-info"
    metadata = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}"]
    content: dict[str, str | bytes] = {
        **files,
        f"{info}/METADATA": "\n".join([*metadata, *(f"Requires-Dist: {r}" for r in requires)]) + "\n",
        **{f"{info}/{path}": text for path, text in (more or {}).items()},
    }
    content[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*content, *lost, f"{info}/RECORD"])
    return [Item(f"{site}/{path}", text) for path, text in content.items()]


def editable(name: str, source: str, *, site: str = PACKAGES) -> list[Item]:
    """What `pip install -e` leaves behind: a file that names the source folder."""
    origin = json.dumps({"url": f"file://{source}", "dir_info": {"editable": True}})
    return wheel(
        name,
        "1.0",
        {f"__editable__.{name}-1.0.pth": f"{source}\n"},
        site=site,
        more={"direct_url.json": origin},
    )


def compiled(
    source: str, *flags: str, libraries: Mapping[str, bytes] | None = None, language: str = "c"
) -> bytes:
    """A shared object or program, compiled for real; `libraries` lie in the folder that `-L.` names."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("gcc is not installed: a compiled part cannot be made")
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (libraries or {}).items():
            (Path(folder) / name).write_bytes(content)
        (Path(folder) / f"x.{language}").write_text(source)
        for number, flag in enumerate(flags):
            if flag.startswith("@"):  # a version script, given as text
                (Path(folder) / "versions").write_text(flag[1:])
                flags = (*flags[:number], "-Wl,--version-script=versions", *flags[number + 1 :])
        done = subprocess.run(
            [gcc, "-O0", "-o", "out", f"x.{language}", *flags],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return (Path(folder) / "out").read_bytes()


def shared(source: str, soname: str, *flags: str, libraries: Mapping[str, bytes] | None = None) -> bytes:
    return compiled(source, "-shared", "-fPIC", f"-Wl,-soname,{soname}", *flags, libraries=libraries)


def extension(
    name: str, body: str = "", before: str = "", *flags: str, libraries: Mapping[str, bytes] | None = None
) -> bytes:
    """An extension module for any CPython from 3.8 on."""
    headers = sysconfig.get_paths()["include"]
    if not (Path(headers) / "Python.h").is_file():
        pytest.skip("Python.h is not installed: an extension module cannot be compiled")
    source = _MODULE % {"name": name, "body": body, "before": before}
    return compiled(source, "-shared", "-fPIC", f"-I{headers}", *flags, libraries=libraries)


def needing(soname: str) -> bytes:
    """An extension module `_core` linked against a library of that name."""
    library = shared("int answer(void) { return 42; }", soname)
    return extension(
        "_core", "answer()", "int answer(void);", "-L.", f"-l:{soname}", libraries={soname: library}
    )


def for_arm(content: bytes) -> bytes:
    """The same ELF file with the machine of aarch64 in its header, which is what loaders look at."""
    return content[:18] + struct.pack("<H", 183) + content[20:]
