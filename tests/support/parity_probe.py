"""Runs inside a root: what is installed there and what can be imported, as JSON."""

from __future__ import annotations

import contextlib
import csv
import importlib
import io
import json
import os
import re
import signal
import sys
import sysconfig
from importlib import metadata
from pathlib import Path
from typing import Any

ASIDE = ("/RECORD", "/INSTALLER", "/REQUESTED", "/direct_url.json")
SECONDS = 60


def distributions() -> dict[str, Any]:
    """Name → version, entry points, files, those of them that are not there, and those without a hash."""
    found: dict[str, Any] = {}
    for one in metadata.distributions():
        name = one.metadata["Name"]
        if name in found:
            continue  # another one comes first on the path
        files = [p for p in one.files or () if not str(p).endswith(ASIDE) and "__pycache__" not in str(p)]
        rows = csv.reader(io.StringIO(one.read_text("RECORD") or ""))
        hashes = {row[0]: row[1] for row in rows if len(row) > 1}
        found[name] = {
            "version": one.version,
            "files": sorted({str(p) for p in files}),
            "points": sorted([p.group, p.name, p.value] for p in one.entry_points),
            "missing": sorted(str(p) for p in files if not Path(str(one.locate_file(p))).exists()),
            "unhashed": sorted(str(p) for p in files if not hashes.get(str(p), "x")),
        }
    return found


def tops() -> list[str]:
    """Everything at the top of the package folders that has the name of a module."""
    found = set()
    for folder in {sysconfig.get_paths()["purelib"], sysconfig.get_paths()["platlib"]}:
        for place in Path(folder).iterdir() if Path(folder).is_dir() else ():
            name = (
                place.name
                if place.is_dir()
                else re.sub(r"(\.cpython-\w+-[\w-]+|\.abi3)?\.so$|\.py$", "", place.name)
            )
            if name.isidentifier() and name != "__pycache__" and (place.is_dir() or name != place.name):
                found.add(name)
    return sorted(found)


def imports(name: str) -> str:
    """How an import ends, in a process of its own."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        answer = "fine"
        try:
            importlib.import_module(name)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is the answer
            answer = type(error).__name__
        os.write(writer, answer.encode())
        os._exit(0)
    os.close(writer)
    answer = os.read(reader, 200).decode()
    os.close(reader)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)
    return answer or "killed"


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    modules = {name: imports(name) for name in tops()}
    path = {str(number): place for number, place in enumerate(sys.path[1:])}
    print(json.dumps({"distribution": distributions(), "import": modules, "path": path}))
